//! The addresses of upstream's name.
//!
//! The control thread resolves ahead of expiry and publishes; workers read the
//! list when they connect and never wait for a resolver while there is one.
//! Old addresses are kept while there are no others (`dns/name.rs`).

mod lookup;
mod name;

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use hickory_resolver::TokioResolver;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use self::lookup::{Answer, Family};
use self::name::Name;
use crate::config::{BaseUrl, Dns};
use crate::metrics::DnsMetrics;

/// Until a question is asked again that was not answered, unless `dns.min_ttl` is shorter.
const RETRY: Duration = Duration::from_secs(1);
/// The same of one family after many failures, while the other has addresses.
const LONGEST_RETRY: Duration = Duration::from_secs(60);
/// For how long a name has no addresses of a family, if the name server does not say.
const NONE_FOR: Duration = Duration::from_secs(60);
/// How long IPv6 addresses wait for IPv4 to be known where there are none yet: until then a network
/// without IPv6 would have nothing to connect to.
const HEAD_START: Duration = Duration::from_millis(250);

/// What is known of the name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Resolution {
    /// Nothing yet.
    #[default]
    Pending,
    /// Addresses in the order they should be tried.
    Known(Arc<[SocketAddr]>),
    /// The last attempt failed and nothing older is known.
    Failed(Arc<str>),
}

/// The published resolution.
#[derive(Debug)]
pub struct Addresses {
    current: ArcSwap<Resolution>,
    changed: watch::Sender<()>,
}

impl Default for Addresses {
    fn default() -> Self {
        Self {
            current: ArcSwap::default(),
            changed: watch::Sender::new(()),
        }
    }
}

impl Addresses {
    /// The present resolution, without waiting.
    pub fn now(&self) -> Arc<Resolution> {
        self.current.load_full()
    }

    /// The addresses, waiting for the first resolution to end.
    ///
    /// # Errors
    /// Why the name has none.
    pub async fn get(&self) -> Result<Arc<[SocketAddr]>, Arc<str>> {
        let mut changed = self.changed.subscribe();
        loop {
            match &**self.current.load() {
                Resolution::Known(addresses) => return Ok(Arc::clone(addresses)),
                Resolution::Failed(reason) => return Err(Arc::clone(reason)),
                Resolution::Pending => {}
            }
            if changed.changed().await.is_err() {
                return Err("the proxy is stopping".into());
            }
        }
    }

    /// Publishes what differs from what is known; the same again is no change to anybody.
    pub(super) fn publish(&self, resolution: Resolution) {
        if **self.current.load() != resolution {
            self.current.store(Arc::new(resolution));
            self.changed.send_replace(());
        }
    }
}

/// Keeps `addresses` up to date until the task is dropped, by the name servers of the configuration.
/// Each question is noted in `metrics`. An address instead of a name is published once.
pub async fn keep_resolved(
    url: BaseUrl,
    addresses: Arc<Addresses>,
    dns: Dns,
    metrics: &DnsMetrics,
) {
    if let Ok(ip) = url.host().parse::<IpAddr>() {
        let address = SocketAddr::new(ip, url.port());
        addresses.publish(Resolution::Known([address].into()));
        return;
    }
    let resolver = usable_resolver(&dns, &addresses).await;
    let follower = Follower {
        resolver,
        url,
        dns,
        addresses,
        name: RefCell::default(),
        told: RefCell::default(),
        ask: Default::default(),
        answered: Notify::new(),
        metrics,
    };
    tokio::join!(follower.follow(Family::V4), follower.follow(Family::V6));
}

/// A resolver, as soon as one can be made.
async fn usable_resolver(dns: &Dns, addresses: &Addresses) -> TokioResolver {
    let mut told = false;
    loop {
        match lookup::resolver(dns) {
            Ok(resolver) => return resolver,
            Err(reason) => {
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(%reason, "name resolution failed");
                }
                addresses.publish(Resolution::Failed(reason.into()));
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Follows the addresses of one name, each family at its own pace.
struct Follower<'a> {
    resolver: TokioResolver,
    url: BaseUrl,
    dns: Dns,
    addresses: Arc<Addresses>,
    name: RefCell<Name>,
    /// Of each family, what was logged and has not been mended.
    told: RefCell<[Option<String>; 2]>,
    /// Ends the pause of a family.
    ask: [Notify; 2],
    /// An answer has come.
    answered: Notify,
    metrics: &'a DnsMetrics,
}

impl Follower<'_> {
    async fn follow(&self, family: Family) {
        let mut in_vain = 0;
        loop {
            let started = Instant::now();
            let answer = lookup::lookup(&self.resolver, self.url.host(), family).await;
            self.metrics.times.observe(started.elapsed());
            let is_news = self.name.borrow_mut().note(family, &answer);
            self.answered.notify_waiters();
            if is_news {
                self.ask[family.other() as usize].notify_one();
            }
            self.tell(family);
            self.give_way(family).await;
            let resolution = self.name.borrow().resolution(self.url.port());
            self.addresses.publish(resolution);
            in_vain = match answer {
                Answer::Failed(_) => in_vain + 1,
                _ => 0,
            };
            let pause = self.pause(&answer, in_vain);
            // Which of the two ended it does not matter.
            let _ = timeout(pause, self.ask[family as usize].notified()).await;
        }
    }

    /// Until a family is asked for again.
    fn pause(&self, answer: &Answer, in_vain: u32) -> Duration {
        // Ahead of expiry, so that no connect meets an expired entry.
        let ahead = |ttl: Duration| {
            let pause = ttl.mul_f32(0.8);
            pause.clamp(self.dns.min_ttl, self.dns.max_ttl)
        };
        let retry = self.dns.min_ttl.min(RETRY);
        let is_good = self.name.borrow().is_good();
        match answer {
            Answer::Found { ttl, .. } => ahead(*ttl),
            Answer::Empty { ttl } if is_good => ahead(ttl.unwrap_or(NONE_FOR)),
            Answer::Failed(_) if is_good => {
                let doubled = 1 << in_vain.saturating_sub(1).min(8);
                (retry * doubled).min(LONGEST_RETRY)
            }
            Answer::Empty { .. } | Answer::Failed(_) => retry,
        }
    }

    /// Lets IPv4 go first where nothing is known yet.
    async fn give_way(&self, family: Family) {
        let is_known = matches!(&*self.addresses.now(), Resolution::Known(_));
        let waits = {
            let name = self.name.borrow();
            !is_known && family == Family::V6 && name.has_found(family)
        };
        if !waits {
            return;
        }
        let v4_is_certain = async {
            loop {
                let answered = self.answered.notified();
                if self.name.borrow().is_certain(Family::V4) {
                    return;
                }
                answered.await;
            }
        };
        // It had its head start.
        let _ = timeout(HEAD_START, v4_is_certain).await;
    }

    /// Counts what went wrong, and logs it once for each reason, not once for each attempt.
    fn tell(&self, family: Family) {
        let name = self.name.borrow();
        let host = self.url.host();
        let records = family.record();
        let mut told = self.told.borrow_mut();
        let [mine, other] = [family, family.other()].map(|family| family as usize);
        match name.trouble(family) {
            Some(reason) => {
                self.metrics.failures.inc();
                if told[mine].as_deref() == Some(reason) {
                    return;
                }
                // Both families mostly fail together.
                if told[other].as_deref() != Some(reason) {
                    tracing::warn!(host, %records, reason, "name resolution failed");
                }
                told[mine] = Some(reason.to_owned());
            }
            None => {
                if told[mine].take().is_some() && name.has_found(family) {
                    tracing::info!(host, %records, "name resolution works again");
                }
            }
        }
    }
}

/// Resolves once.
///
/// # Errors
/// What the resolver says.
pub async fn resolve_once(url: &BaseUrl, dns: &Dns) -> Result<Arc<[SocketAddr]>, String> {
    if let Ok(ip) = url.host().parse::<IpAddr>() {
        return Ok([SocketAddr::new(ip, url.port())].into());
    }
    let resolver = lookup::resolver(dns)?;
    let [v4, v6] = Family::ALL.map(|family| lookup::lookup(&resolver, url.host(), family));
    let (v4, v6) = tokio::join!(v4, v6);
    let mut name = Name::default();
    name.note(Family::V4, &v4);
    name.note(Family::V6, &v6);
    match name.resolution(url.port()) {
        Resolution::Known(addresses) => Ok(addresses),
        Resolution::Failed(reason) => Err(reason.to_string()),
        Resolution::Pending => Err("no answer".to_owned()),
    }
}

#[cfg(test)]
mod tests;
