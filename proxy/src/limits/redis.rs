//! One limit over many replicas: what clients have had is in Redis (or Valkey), where a script takes a request out of all
//! of a client's limits in one round trip (`redis/take.lua`).
//!
//! A worker has a connection of its own, over which requests do not wait for each other. A task opens it, says
//! that this replica is there, and renews what long requests hold. While it has not succeeded, or a request got no answer
//! within the deadline, each replica gives its clients its share of the limits: see [`Terms::take_share`].

mod ask;
mod settle;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, IntoConnectionInfo, RedisError, Script};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::Terms;
use crate::config;
use settle::Settlement;

/// From one look at the connection to the next.
const BEAT: Duration = Duration::from_millis(500);
/// How long opening it, or a look, may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// A replica that has not been heard of for so long is gone.
const REPLICA_LIFE: Duration = Duration::from_secs(10);
/// A lease that nobody renews ends after so long; the replica that has it is gone.
const LEASE: Duration = Duration::from_secs(60);
/// Requests without an answer, one after the other, after which no more are sent until a look succeeds.
const FAILURES: u32 = 3;

/// Why Redis cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// The file with the password.
    #[error("limits.redis.password_file: {}: {reason}", .path.display())]
    Password {
        /// The file.
        path: std::path::PathBuf,
        /// Why it cannot be read.
        reason: std::io::Error,
    },
    /// The settings, which have been checked before.
    #[error("limits.redis.url: {0}")]
    Url(RedisError),
}

/// What all workers have in common.
pub struct Shared {
    settings: config::Redis,
    client: Client,
    /// This replica among the others.
    instance: String,
    take: Script,
    settle: Script,
    beat: Script,
    renew: Script,
    started: Instant,
    /// When as many replicas as now were heard of last, in milliseconds since then.
    most_at: AtomicU64,
    /// What it came to.
    pub counts: Counts,
}

/// How it goes, for `/metrics` and `/status`.
#[derive(Debug, Default)]
pub struct Counts {
    /// Workers whose connection works.
    pub up: AtomicU32,
    /// Replicas there are, as far as is known; 0 before that.
    pub replicas: AtomicU32,
    /// Requests that Redis has decided.
    pub asked: AtomicU64,
    /// Requests that it was asked about, and did not answer in time.
    pub failed: AtomicU64,
    /// Requests that this replica has decided by its share.
    pub shared: AtomicU64,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("settings", &self.settings)
            .field("instance", &self.instance)
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// For the server in the settings, which nothing is asked yet.
    ///
    /// # Errors
    /// If the file with the password cannot be read.
    pub fn new(settings: &config::Redis) -> Result<Self, Unusable> {
        let mut info = settings
            .url
            .as_str()
            .into_connection_info()
            .map_err(Unusable::Url)?;
        if let Some(path) = &settings.password_file {
            let password = std::fs::read_to_string(path).map_err(|reason| Unusable::Password {
                path: path.clone(),
                reason,
            })?;
            let with = info.redis_settings().clone().set_password(password.trim());
            info = info.set_redis_settings(with);
        }
        Ok(Self {
            settings: settings.clone(),
            client: Client::open(info).map_err(Unusable::Url)?,
            instance: format!("{:016x}", fastrand::u64(..)),
            take: Script::new(include_str!("redis/take.lua")),
            settle: Script::new(include_str!("redis/settle.lua")),
            beat: Script::new(include_str!("redis/beat.lua")),
            renew: Script::new(include_str!("redis/renew.lua")),
            started: Instant::now(),
            most_at: AtomicU64::new(0),
            counts: Counts::default(),
        })
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.settings.url
    }

    /// A key of a client; all of them in one slot, as a script's have to be.
    pub(super) fn key(&self, client: &str, of: &str) -> String {
        format!("{}:{{{client}}}:{of}", self.settings.prefix)
    }

    /// This process among the others.
    pub(super) fn instance(&self) -> &str {
        &self.instance
    }

    /// A connection that opens itself, again and again if it has to, and waits for each answer however long it takes.
    pub(super) fn connect(&self) -> Result<ConnectionManager, RedisError> {
        let settings = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(None)
            .set_number_of_retries(0);
        ConnectionManager::new_lazy_with_config(self.client.clone(), settings)
    }

    /// So many replicas have been heard of of late. Redis may just have been started, and heard of few.
    fn heard_of(&self, replicas: u32) {
        let counts = &self.counts;
        let (before, now) = (counts.replicas.load(Relaxed), self.started.elapsed());
        let since = Duration::from_millis(self.most_at.load(Relaxed));
        if replicas >= before || now > since + REPLICA_LIFE {
            counts.replicas.store(replicas, Relaxed);
            self.most_at.store(millis(now), Relaxed);
        }
    }

    /// What a replica's share is a part of.
    fn replicas(&self) -> u32 {
        self.counts.replicas.load(Relaxed).max(1)
    }
}

/// One worker's connection.
pub struct Remote {
    shared: Arc<Shared>,
    worker: usize,
    connection: ConnectionManager,
    is_up: Cell<bool>,
    failures: Cell<u32>,
    next: Cell<u64>,
    /// Requests under way that hold one of those that a client may have at a time.
    leases: RefCell<HashMap<u64, Arc<Terms>>>,
    settlements: mpsc::UnboundedSender<Settlement>,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("shared", &self.shared)
            .field("worker", &self.worker)
            .field("is_up", &self.is_up)
            .finish_non_exhaustive()
    }
}

impl Remote {
    /// The connection of a worker, in whose runtime this is; a task opens it.
    ///
    /// # Errors
    /// Only if the settings make no sense, which have been checked before.
    pub fn new(shared: &Arc<Shared>, worker: usize) -> Result<Rc<Self>, Unusable> {
        let (settlements, settled) = mpsc::unbounded_channel();
        let remote = Rc::new(Self {
            shared: Arc::clone(shared),
            worker,
            connection: shared.connect().map_err(Unusable::Url)?,
            is_up: Cell::new(false),
            failures: Cell::new(0),
            next: Cell::new(0),
            leases: RefCell::default(),
            settlements,
        });
        tokio::task::spawn_local(settle::run(Rc::clone(&remote), settled));
        tokio::task::spawn_local(Rc::clone(&remote).keep());
        Ok(remote)
    }

    /// Looks at the connection again and again.
    async fn keep(self: Rc<Self>) {
        let mut renewed = Instant::now();
        loop {
            match timeout(PATIENCE, self.beat()).await {
                Ok(Ok(replicas)) => {
                    self.shared.heard_of(replicas);
                    self.set_up(true, &"");
                }
                Ok(Err(error)) => self.set_up(false, &error),
                Err(_) => self.set_up(false, &"no answer"),
            }
            if self.is_up.get() && renewed.elapsed() > LEASE / 3 {
                renewed = Instant::now();
                // A lease that is not renewed twice still holds.
                let _ = timeout(PATIENCE, self.renew()).await;
            }
            tokio::time::sleep(BEAT).await;
        }
    }

    async fn beat(&self) -> Result<u32, RedisError> {
        let key = format!("{}:replicas", self.shared.settings.prefix);
        let mut beat = self.shared.beat.key(key);
        beat.arg(&self.shared.instance).arg(millis(REPLICA_LIFE));
        beat.invoke_async(&mut self.connection.clone()).await
    }

    async fn renew(&self) -> Result<(), RedisError> {
        let mut by_client: HashMap<Box<str>, Vec<String>> = HashMap::new();
        for (lease, terms) in self.leases.borrow().iter() {
            let of_client = by_client.entry(terms.quota.name().into()).or_default();
            of_client.push(self.lease_name(*lease));
        }
        for (client, leases) in by_client {
            let mut renew = self.shared.renew.key(self.shared.key(&client, "running"));
            renew.arg(millis(LEASE)).arg(leases);
            renew
                .invoke_async::<()>(&mut self.connection.clone())
                .await?;
        }
        Ok(())
    }

    /// Takes note of whether it works, and says so when that changes.
    fn set_up(&self, is_up: bool, reason: &dyn fmt::Display) {
        if is_up {
            self.failures.set(0);
        }
        if self.is_up.replace(is_up) == is_up {
            return;
        }
        let up = &self.shared.counts.up;
        let url = self.shared.url();
        if is_up {
            up.fetch_add(1, Relaxed);
            tracing::info!(worker = self.worker, url, "limits are counted in Redis");
        } else {
            up.fetch_sub(1, Relaxed);
            let replicas = self.shared.replicas();
            tracing::warn!(
                worker = self.worker, url, %reason, replicas,
                "Redis does not answer; this replica grants its share of the limits"
            );
        }
    }

    /// A question has not been answered.
    fn failed(&self, reason: &dyn fmt::Display) {
        self.shared.counts.failed.fetch_add(1, Relaxed);
        self.failures.set(self.failures.get() + 1);
        if self.failures.get() >= FAILURES {
            self.set_up(false, reason);
        }
    }

    fn lease_name(&self, lease: u64) -> String {
        format!("{}-{}-{lease}", self.shared.instance, self.worker)
    }
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
