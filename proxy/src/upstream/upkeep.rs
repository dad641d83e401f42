//! What the control thread does for upstreams: it finds their addresses, reads their keys again, and sees to it that
//! upstreams of a changed configuration can be used before anybody asks for them.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::keys::{self, KeyFileError};
use super::tls::{self, TlsSetupError};
use super::{ConnectError, Link, Links, NoSlot, SharedLinks, dns};
use crate::config::{Config, Dns};
use crate::metrics::ControlMetrics;
use crate::watch::FileWatch;
use crate::worker::Inbox;

/// Why upstreams cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamsError {
    /// Too many names.
    #[error(transparent)]
    NoSlot(#[from] NoSlot),
    /// A key file.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// One that would get requests without a key.
    #[error("upstream {0}: there is no key; set its api_key_file")]
    NoKey(String),
    /// TLS settings.
    #[error(transparent)]
    Tls(#[from] TlsSetupError),
    /// No addresses.
    #[error("upstream {name}: its name cannot be resolved: {reason}")]
    Addresses {
        /// Which.
        name: String,
        /// Why.
        reason: Arc<str>,
    },
    /// No connection.
    #[error("upstream {name} cannot be reached: {error}")]
    Unreachable {
        /// Which.
        name: String,
        /// Why.
        error: ConnectError,
    },
    /// A worker that does not answer.
    #[error("a worker has ended")]
    NoWorker,
}

/// Reads the keys of these, which are among `all`.
///
/// # Errors
/// A key that cannot be read, or one that is missing; but the first upstream may have none.
pub fn read_keys<'a>(
    config: &Config,
    all: &Links,
    these: impl IntoIterator<Item = &'a Arc<Link>>,
) -> Result<(), UpstreamsError> {
    for link in these {
        link.keys.load(&link.settings)?;
        if link.keys.is_any() || !config.auth.injects_key() {
            continue;
        }
        if !Arc::ptr_eq(link, all.first()) {
            return Err(UpstreamsError::NoKey(link.settings.name.clone()));
        }
        tracing::warn!(
            "no upstream API key: every request will be refused until HOLYSHEEP_API_KEY_FILE \
             or HOLYSHEEP_API_KEY is set"
        );
    }
    Ok(())
}

/// An upstream that is looked after.
#[derive(Debug)]
struct Kept {
    link: Arc<Link>,
    /// Ends when dropped.
    _resolving: JoinSet<()>,
}

/// Looks after upstreams.
#[derive(Debug)]
pub struct Upkeep {
    links: SharedLinks,
    dns: Dns,
    metrics: Arc<ControlMetrics>,
    kept: Vec<Kept>,
    /// Follows the key files of all.
    files: JoinSet<()>,
}

impl Upkeep {
    /// Begins with those there are. Lives on one thread.
    pub fn begin(links: &SharedLinks, dns: &Dns, metrics: &Arc<ControlMetrics>) -> Self {
        let mut upkeep = Self {
            links: Arc::clone(links),
            dns: dns.clone(),
            metrics: Arc::clone(metrics),
            kept: Vec::new(),
            files: JoinSet::new(),
        };
        upkeep.keep_only();
        upkeep
    }

    /// Looks after those there are now, and after no others.
    fn keep_only(&mut self) {
        let links = self.links.load_full();
        self.kept.retain(|kept| links.has(&kept.link));
        for link in links.iter() {
            self.resolve(link);
        }
        self.files = JoinSet::new();
        self.files.spawn_local(follow_keys(links));
    }

    fn resolve(&mut self, link: &Arc<Link>) {
        if self.kept.iter().any(|kept| Arc::ptr_eq(&kept.link, link)) {
            return;
        }
        let url = link.settings.base_url.clone();
        let (addresses, settings) = (Arc::clone(&link.addresses), self.dns.clone());
        let (metrics, slot) = (Arc::clone(&self.metrics), link.slot);
        let mut resolving = JoinSet::new();
        resolving.spawn_local(async move {
            dns::keep_resolved(url, addresses, settings, metrics.dns(slot)).await;
        });
        self.kept.push(Kept {
            link: Arc::clone(link),
            _resolving: resolving,
        });
    }

    /// The upstreams of a changed configuration: with keys and addresses, and each worker has connections to those that
    /// are new. [`Upkeep::settle`] has to follow.
    ///
    /// # Errors
    /// Why one of the new ones cannot be used. All is as it was then.
    pub async fn prepare(
        &mut self,
        config: &Arc<Config>,
        workers: &[Inbox],
    ) -> Result<Arc<Links>, UpstreamsError> {
        let old = self.links.load_full();
        let settings = old.iter().map(|link| &link.settings);
        if config.all_upstreams().eq(settings) {
            return Ok(old);
        }
        let links = Arc::new(old.following(config)?);
        let new = links.iter().filter(|link| !old.has(link));
        let new: Vec<_> = new.cloned().collect();
        let usable = self.make_usable(&links, &new, config, workers).await;
        usable.inspect_err(|_| {
            for worker in workers {
                worker.send(|worker| worker.drop_prepared());
            }
            self.keep_only();
        })?;
        Ok(links)
    }

    async fn make_usable(
        &mut self,
        all: &Links,
        new: &[Arc<Link>],
        config: &Arc<Config>,
        workers: &[Inbox],
    ) -> Result<(), UpstreamsError> {
        read_keys(config, all, new)?;
        new.iter().for_each(|link| self.resolve(link));
        for link in new {
            let name = link.settings.name.clone();
            let found = link.addresses.get().await;
            found.map_err(|reason| UpstreamsError::Addresses { name, reason })?;
        }
        let mut answers = Vec::new();
        for worker in workers {
            let (tell, answer) = oneshot::channel();
            let links = new.iter().map(|link| {
                let tls = tls::client(&link.settings)?;
                Ok::<_, TlsSetupError>((Arc::clone(link), tls))
            });
            let links: Vec<_> = links.collect::<Result<_, _>>()?;
            let config = Arc::clone(config);
            worker.send(move |worker| worker.prepare(links, config, tell));
            answers.push(answer);
        }
        for answer in answers {
            let (link, error) = match answer.await {
                Ok(Ok(())) => continue,
                Ok(Err(failed)) => failed,
                Err(_) => return Err(UpstreamsError::NoWorker),
            };
            let name = link.settings.name.clone();
            return Err(UpstreamsError::Unreachable { name, error });
        }
        Ok(())
    }

    /// Puts upstreams in force that [`Upkeep::prepare`] gave; the workers are told of them by the caller.
    pub fn settle(&mut self, links: &Arc<Links>) {
        self.links.store(Arc::clone(links));
        self.keep_only();
    }
}

/// Reads keys again when their files change.
async fn follow_keys(links: Arc<Links>) {
    let keys = || {
        let all = links.iter().map(|link| (link, link.keys.all()));
        all.flat_map(|(link, keys)| keys.iter().map(move |key| (&link.settings.name, key)))
    };
    let files: Vec<_> = keys().filter_map(|(_, key)| key.file()).collect();
    if files.is_empty() {
        return;
    }
    let mut watch = FileWatch::new(files);
    loop {
        // The first time for what changed while the watch was set up.
        for (upstream, key) in keys() {
            let Some(path) = key.file() else { continue };
            match keys::read_file(path) {
                Ok(new) if key.with(|old| old != Some(&new)) => {
                    key.set(new);
                    tracing::info!(
                        upstream,
                        key = key.name(),
                        "the upstream API key was replaced"
                    );
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(upstream, key = key.name(), %error, "the upstream API key stays as it was");
                }
            }
        }
        watch.changed().await;
    }
}
