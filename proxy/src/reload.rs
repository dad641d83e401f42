//! The configuration file, read again when it changes or on SIGHUP.
//!
//! [`crate::cli`] says how a file's text becomes a configuration, [`Reloader`] runs on the control thread. A new file is
//! checked as at the start; upstreams that are new in it are connected to before it is used. What can change while the proxy runs ([`Config::adopting`]) is put where it is looked at:
//! readiness and health have snapshots, each worker gets a job, so that requests still read plain memory of their
//! worker's own. What cannot is named. A file that cannot be used changes nothing.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use aws_lc_rs::digest;
use data_encoding::HEXLOWER;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::config::{Config, ConfigError, ConfigFile, differences, document};
use crate::readiness::Readiness;
use crate::upstream::{Upkeep, UpstreamsError};
use crate::watch::FileWatch;
use crate::worker::Inbox;

/// Until a file is tried again that could not be used because of something outside it.
const AGAIN: Duration = Duration::from_secs(5);
/// Hexadecimal digits of a hash that are shown.
const DIGITS: usize = 12;

/// Where the configuration comes from, and what only the program can do about it.
pub struct Source {
    /// The file.
    pub path: PathBuf,
    /// Hash of the text the proxy was started with.
    pub hash: String,
    /// Lays command line and environment over a file and checks the whole.
    pub build: Box<dyn Fn(ConfigFile) -> Result<Config, ConfigError> + Send>,
    /// Sets the filter of the application log.
    pub log_level: Box<dyn Fn(&str) + Send>,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// The beginning of a text's SHA-256, as `sha256sum` shows it.
pub fn hash(text: &str) -> String {
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    let mut hex = HEXLOWER.encode(digest.as_ref());
    hex.truncate(DIGITS);
    hex
}

/// What became of the file, for `/metrics` and `/status`, and the way to ask for another look.
#[derive(Debug, Default)]
pub struct Reloads {
    /// Files that were taken over.
    pub ok: AtomicU64,
    /// Files that could not be used.
    pub failed: AtomicU64,
    /// The state of things.
    pub state: ArcSwap<State>,
    asked: Notify,
}

/// What is in force, and what is not.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// The file in force, and the hash of its text.
    pub file: Option<(PathBuf, String)>,
    /// When it was read.
    pub read: Option<SystemTime>,
    /// Why the file as it is now cannot be used.
    pub error: Option<String>,
    /// The fields in it that take effect after a restart only.
    pub restart: Vec<String>,
}

impl Reloads {
    /// Nothing was reloaded yet.
    pub fn new(source: Option<&Source>) -> Self {
        let state = State {
            file: source.map(|source| (source.path.clone(), source.hash.clone())),
            read: source.map(|_| SystemTime::now()),
            ..State::default()
        };
        Self {
            state: ArcSwap::from_pointee(state),
            ..Self::default()
        }
    }

    /// Asks for the file to be read even if nothing seems to have changed.
    pub fn ask(&self) {
        self.asked.notify_one();
    }
}

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Came {
    /// It is in force.
    Now,
    /// It is not, and will not be as it is.
    Never,
    /// It is not, but may be once something outside has changed.
    Later,
}

/// Follows the file.
#[derive(Debug)]
pub struct Reloader {
    /// Where it is.
    pub source: Source,
    /// Where configuration and limits of health are looked at.
    pub readiness: Arc<Readiness>,
    /// The workers.
    pub inboxes: Vec<Inbox>,
    /// What is told of it.
    pub reloads: Arc<Reloads>,
}

impl Reloader {
    /// Follows the file until the task is dropped; `upkeep` has the upstreams it names.
    pub async fn run(self, mut upkeep: Upkeep) {
        let mut watch = FileWatch::new([self.source.path.as_path()]);
        let mut seen = Ok(self.source.hash.clone());
        let (mut asked, mut again, mut may_do) = (false, false, false);
        loop {
            // The first time for what changed while the watch was set up.
            let text = ConfigFile::text(&self.source.path);
            let found = match &text {
                Ok(text) => Ok(hash(text)),
                Err(error) => Err(error.to_string()),
            };
            if asked || again || found != seen {
                let came = self.reload(text, &mut upkeep, again).await;
                may_do = came == Came::Later;
                seen = found;
            }
            (asked, again) = tokio::select! {
                () = watch.changed() => (false, false),
                () = self.reloads.asked.notified() => (true, false),
                () = sleep(AGAIN), if may_do => (false, true),
            };
        }
    }

    async fn reload(
        &self,
        text: Result<String, ConfigError>,
        upkeep: &mut Upkeep,
        again: bool,
    ) -> Came {
        let path = &self.source.path;
        let built = text.and_then(|text| {
            let config = document::build(path, &text, &self.source.build)?;
            Ok((config, hash(&text)))
        });
        let (config, hash) = match built {
            Ok(built) => built,
            Err(error) => {
                self.failed(&error.to_string(), false);
                return Came::Never;
            }
        };
        let restart = match self.adopt(&config, upkeep).await {
            Ok(restart) => restart,
            Err(error) => {
                self.failed(&error.to_string(), again);
                return Came::Later;
            }
        };
        self.reloads.state.store(Arc::new(State {
            restart,
            file: Some((path.clone(), hash)),
            read: Some(SystemTime::now()),
            error: None,
        }));
        self.reloads.ok.fetch_add(1, Relaxed);
        Came::Now
    }

    /// The file cannot be used. If it was tried again without anybody asking, the same reason is not told again.
    fn failed(&self, error: &str, again: bool) {
        let mut state = State::clone(&self.reloads.state.load());
        if again && state.error.as_deref() == Some(error) {
            return;
        }
        tracing::error!(
            error,
            "the new configuration cannot be used, the old one stays"
        );
        state.error = Some(error.to_owned());
        self.reloads.state.store(Arc::new(state));
        self.reloads.failed.fetch_add(1, Relaxed);
    }

    /// Puts in force what can be; gives the fields that cannot.
    async fn adopt(
        &self,
        new: &Config,
        upkeep: &mut Upkeep,
    ) -> Result<Vec<String>, UpstreamsError> {
        let old = self.readiness.config.load_full();
        let config = Arc::new(old.adopting(new));
        let links = upkeep.prepare(&config, &self.inboxes).await?;
        let has_others = !Arc::ptr_eq(&links, &self.readiness.links.load());
        if has_others {
            upkeep.settle(&links);
        }
        let changed = differences(&old, &config);
        let restart = differences(&config, new);
        self.readiness.health.set_limit(config.probes.worker_limit);
        if old.log_level != config.log_level {
            (self.source.log_level)(&config.log_level);
        }
        self.readiness.config.store(Arc::clone(&config));
        for inbox in &self.inboxes {
            let (config, links) = (Arc::clone(&config), Arc::clone(&links));
            inbox.send(move |worker| {
                if has_others {
                    worker.take_upstreams(&links);
                }
                worker.adopt(&config);
            });
        }
        tracing::info!(
            changed = changed.join(", "),
            "the configuration was reloaded"
        );
        if !restart.is_empty() {
            let fields = restart.join(", ");
            tracing::warn!(fields, "changed settings take effect after a restart only");
        }
        Ok(restart)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_sha256sum() {
        assert_eq!(hash(""), "e3b0c44298fc");
        assert_eq!(hash("abc"), "ba7816bf8f01");
    }
}
