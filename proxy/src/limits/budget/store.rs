//! Where it is kept what clients have cost.

mod file;
mod in_redis;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::period::{Period, Span};
use crate::config::Config;
use crate::limits::redis;
use file::FileStore;
use in_redis::RedisStore;

/// What this process has added to what a client cost in a period: in all, so that it can be told again.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub client: Box<str>,
    pub span: Span,
    pub period: Period,
    /// In millionths of a millionth of a dollar.
    pub own: u64,
}

/// Why a store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// The directory or a file in it.
    #[error("state_dir: {}: {reason}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why it cannot be read or written.
        reason: std::io::Error,
    },
    /// The file is none of this program's.
    #[error("state_dir: {}: {reason}; mend it, or remove it to begin anew", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: serde_json::Error,
    },
    /// Redis.
    #[error("limits.redis: {0}")]
    Redis(#[from] ::redis::RedisError),
    /// It did not answer.
    #[error("limits.redis: no answer")]
    Silent,
    /// What is done in the background was broken off.
    #[error("it was broken off")]
    Aborted,
}

/// A store.
#[derive(Debug)]
pub enum Store {
    /// The memory of this process.
    Process,
    /// A file in `state_dir`. None while it is in use.
    File(Option<Box<FileStore>>),
    /// Redis, which all replicas share.
    Redis(Box<RedisStore>),
}

impl Store {
    /// The one that is configured.
    ///
    /// # Errors
    /// If it cannot be used. Redis is not tried here: it may come later.
    pub fn open(config: &Config, redis: Option<&Arc<redis::Shared>>) -> Result<Self, Unusable> {
        Ok(match (redis, &config.state_dir) {
            (Some(redis), _) => Self::Redis(Box::new(RedisStore::new(redis)?)),
            (None, Some(directory)) => Self::File(Some(Box::new(FileStore::open(directory)?))),
            (None, None) => Self::Process,
        })
    }

    /// As it stands in metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::File(_) => "file",
            Self::Redis(_) => "redis",
        }
    }

    /// Tells it what this process has added, and returns what all have, entry by entry.
    ///
    /// # Errors
    /// If it cannot be used; whoever asks keeps the entries, and tells them again.
    #[expect(
        clippy::disallowed_methods,
        reason = "it is called on the control thread"
    )]
    pub(super) async fn exchange(&mut self, entries: &[Entry]) -> Result<Vec<u64>, Unusable> {
        match self {
            Self::Process => Ok(entries.iter().map(|entry| entry.own).collect()),
            Self::Redis(redis) => redis.exchange(entries).await,
            Self::File(place) => {
                let mut file = place.take().ok_or(Unusable::Aborted)?;
                let entries = entries.to_vec();
                // It waits for the disk, which the control thread must not.
                let work = move || {
                    let result = file.exchange(&entries);
                    (file, result)
                };
                let done = tokio::task::spawn_blocking(work).await;
                let (file, result) = done.map_err(|_| Unusable::Aborted)?;
                *place = Some(file);
                result
            }
        }
    }

    /// The same at the start, where there is no runtime yet. Redis is not asked.
    ///
    /// # Errors
    /// If it cannot be used.
    pub(super) fn look(&mut self, entries: &[Entry]) -> Result<Option<Vec<u64>>, Unusable> {
        match self {
            Self::File(Some(file)) => file.exchange(entries).map(Some),
            _ => Ok(None),
        }
    }
}

/// What was told of before, by client and period.
type Told = HashMap<(Box<str>, Period), u64>;
