//! The addresses of upstream's name.
//!
//! The control thread resolves ahead of expiry and publishes; workers read the
//! list when they connect and never wait for a resolver while there is one.
//! Old addresses are kept while the resolver fails.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use hickory_resolver::TokioResolver;
use tokio::sync::watch;

use crate::config::BaseUrl;
use crate::metrics::Histogram;

/// Resolve again after this long at the earliest, however short the TTL.
const MIN_INTERVAL: Duration = Duration::from_secs(5);
/// And after this long at the latest.
const MAX_INTERVAL: Duration = Duration::from_secs(300);
/// While the resolver fails.
const RETRY_INTERVAL: Duration = Duration::from_secs(2);

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

    pub(super) fn publish(&self, resolution: Resolution) {
        self.current.store(Arc::new(resolution));
        self.changed.send_replace(());
    }
}

/// Keeps `addresses` up to date until the task is dropped. An address instead
/// of a name is published once.
pub async fn keep_resolved(url: BaseUrl, addresses: Arc<Addresses>, times: &Histogram) {
    if let Ok(ip) = url.host().parse::<IpAddr>() {
        let address = SocketAddr::new(ip, url.port());
        addresses.publish(Resolution::Known([address].into()));
        return;
    }
    let resolver = match resolver() {
        Ok(resolver) => resolver,
        Err(error) => {
            addresses.publish(Resolution::Failed(error.into()));
            return;
        }
    };
    let mut told = None;
    loop {
        let started = Instant::now();
        let result = resolve(&resolver, &url).await;
        times.observe(started.elapsed());
        let wait = match result {
            Ok((found, valid_for)) => {
                if told.take().is_some() {
                    tracing::info!(host = url.host(), "name resolution works again");
                }
                addresses.publish(Resolution::Known(found));
                // Ahead of expiry, so that no connect meets an expired entry.
                (valid_for.mul_f32(0.8)).clamp(MIN_INTERVAL, MAX_INTERVAL)
            }
            Err(reason) => {
                // Once for each reason, not once for each attempt.
                if told.as_ref() != Some(&reason) {
                    tracing::warn!(host = url.host(), %reason, "name resolution failed");
                    told = Some(reason.clone());
                }
                if !matches!(&*addresses.now(), Resolution::Known(_)) {
                    addresses.publish(Resolution::Failed(reason.into()));
                }
                RETRY_INTERVAL
            }
        };
        tokio::time::sleep(wait).await;
    }
}

/// Resolves once.
///
/// # Errors
/// What the resolver says.
pub async fn resolve_once(url: &BaseUrl) -> Result<Arc<[SocketAddr]>, String> {
    if let Ok(ip) = url.host().parse::<IpAddr>() {
        return Ok([SocketAddr::new(ip, url.port())].into());
    }
    let (addresses, _) = resolve(&resolver()?, url).await?;
    Ok(addresses)
}

fn resolver() -> Result<TokioResolver, String> {
    TokioResolver::builder_tokio()
        .and_then(hickory_resolver::ResolverBuilder::build)
        .map_err(|error| format!("the system's resolver configuration cannot be used: {error}"))
}

async fn resolve(
    resolver: &TokioResolver,
    url: &BaseUrl,
) -> Result<(Arc<[SocketAddr]>, Duration), String> {
    // An absolute name: no search list, whose `ndots:5` costs five lookups in
    // a pod. The hosts file knows names without the dot.
    let name = format!("{}.", url.host().trim_end_matches('.'));
    let found = resolver
        .lookup_ip(name)
        .await
        .map_err(|error| error.to_string())?;
    let addresses = interleave(found.iter(), url.port());
    if addresses.is_empty() {
        return Err("the name has no address".to_owned());
    }
    let valid_for = found
        .valid_until()
        .saturating_duration_since(Instant::now());
    Ok((addresses.into(), valid_for))
}

/// Alternates between families (RFC 8305 section 4), so that a broken one
/// costs one attempt and not half of the list.
fn interleave(found: impl Iterator<Item = IpAddr>, port: u16) -> Vec<SocketAddr> {
    let (v6, v4): (Vec<_>, Vec<_>) = found
        .map(|ip| SocketAddr::new(ip, port))
        .partition(SocketAddr::is_ipv6);
    let longest = v6.len().max(v4.len());
    (0..longest)
        .flat_map(|index| [v4.get(index), v6.get(index)])
        .flatten()
        .copied()
        .collect()
}

#[cfg(test)]
mod tests;
