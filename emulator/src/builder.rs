//! How an emulator is configured and started.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::Emulator;
use crate::bill::Ledger;
use crate::clock::Clock;
use crate::fault::active::ActiveFaults;
use crate::latency::{Profile, Sampler};
use crate::record::{BilledIds, Recorder};
use crate::server::handshake::TlsConfigs;
use crate::server::port::Port;
use crate::server::{OwnRuntime, Shared, Worker};
use crate::stats::{Counter, Counters};
use crate::tls::{Authority, TlsError};

/// The key accepted unless another is configured.
pub const DEFAULT_API_KEY: &str = "cr_emulator_0123456789abcdef";

/// Whether and with whose certificates the emulator speaks TLS.
#[derive(Clone, Debug, Default)]
pub enum Tls {
    /// Certificates of an authority made for this emulator.
    #[default]
    Own,
    /// Certificates of an authority that others may share.
    SignedBy(Arc<Authority>),
    /// No TLS: HTTP/1.1, or h2 with prior knowledge.
    Plain,
}

/// The emulator could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be bound.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// No thread, or no runtime for it.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] std::io::Error),
    /// No certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Settings of an [`Emulator`]; every one has a default fit for tests.
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    listen: SocketAddr,
    tls: Tls,
    names: Vec<String>,
    profile: Profile,
    token_interval: Duration,
    api_keys: Vec<String>,
    seed: u64,
    timestamps: bool,
    threads: usize,
    record: usize,
    record_body: usize,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            tls: Tls::Own,
            names: Vec::new(),
            profile: Profile::None,
            token_interval: Duration::ZERO,
            api_keys: vec![DEFAULT_API_KEY.to_owned()],
            seed: 0,
            timestamps: true,
            threads: 1,
            record: 256,
            record_body: 64 << 10,
        }
    }
}

impl Builder {
    /// Address to listen on; default `127.0.0.1:0`, a free port. Several emulators on one port, behind
    /// one name, listen on addresses such as 127.0.0.2 and 127.0.0.3.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// TLS with own or shared certificates, or none; default [`Tls::Own`].
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = tls;
        self
    }

    /// TLS with certificates of this authority: [`Tls::SignedBy`].
    pub fn authority(self, authority: &Arc<Authority>) -> Self {
        self.tls(Tls::SignedBy(Arc::clone(authority)))
    }

    /// One more name for the certificates, besides `localhost`, `127.0.0.1`, `::1` and the address
    /// listened on.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.names.push(name.into());
        self
    }

    /// Think time before each answer; default none.
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// Tokens per second in streams; default, zero or not finite: all at once.
    pub fn token_rate(self, per_second: f64) -> Self {
        let interval = Duration::try_from_secs_f64(per_second.recip());
        self.token_interval(interval.unwrap_or_default())
    }

    /// Time between two tokens in streams; default zero, all at once.
    pub fn token_interval(mut self, interval: Duration) -> Self {
        self.token_interval = interval;
        self
    }

    /// The only accepted key; default [`DEFAULT_API_KEY`].
    pub fn api_key(self, key: impl Into<String>) -> Self {
        self.api_keys([key])
    }

    /// All accepted keys, instead of those so far; with none every request is refused.
    pub fn api_keys(mut self, keys: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.api_keys = keys.into_iter().map(Into::into).collect();
        self
    }

    /// Seed of the think times, and of idle times; the same seed gives the same sequences.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Send times in heads and events, and ids that differ; default on. Off makes answers to equal
    /// requests equal to the byte, but for the `date` field.
    pub fn timestamps(mut self, on: bool) -> Self {
        self.timestamps = on;
        self
    }

    /// Serving threads, at least 1; default 1.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.max(1);
        self
    }

    /// How many requests are kept for [`Emulator::requests`], and ids for [`Emulator::billed_ids`];
    /// default 256, 0 for none.
    pub fn record(mut self, requests: usize) -> Self {
        self.record = requests;
        self
    }

    /// How much of each recorded body is kept, bytes; default 64 KiB.
    pub fn record_body(mut self, bytes: usize) -> Self {
        self.record_body = bytes;
        self
    }

    /// Starts serving; connections are accepted when this returns.
    ///
    /// # Errors
    /// [`StartError`] when the address, threads or certificates cannot be had.
    pub async fn start(self) -> Result<Emulator, StartError> {
        self.start_blocking()
    }

    /// [`Builder::start`] for code outside a runtime.
    ///
    /// # Errors
    /// As [`Builder::start`].
    pub fn start_blocking(self) -> Result<Emulator, StartError> {
        let authority = match &self.tls {
            Tls::Own => Some(Arc::new(Authority::new()?)),
            Tls::SignedBy(authority) => Some(Arc::clone(authority)),
            Tls::Plain => None,
        };
        let address = self.listen.ip().to_string();
        let names: Vec<&str> = ["localhost", "127.0.0.1", "::1", &address]
            .into_iter()
            .chain(self.names.iter().map(String::as_str))
            .collect();
        let tls = authority.as_deref().map(|a| TlsConfigs::new(a, &names));
        let tls = tls.transpose()?;

        let runtimes: Result<Vec<_>, _> = (0..self.threads).map(|_| OwnRuntime::new()).collect();
        let runtimes = runtimes.map_err(StartError::Thread)?;
        let handle = runtimes[0].handle().clone();
        let listen = |source| StartError::Listen {
            address: self.listen,
            source,
        };
        let (port, listeners) = Port::bind(self.listen, self.threads).map_err(listen)?;
        let clock = match self.profile {
            Profile::None => None,
            Profile::Fixed(_) | Profile::Article => {
                Some(Clock::start().map_err(StartError::Thread)?)
            }
        };
        let shared = Arc::new(Shared {
            api_keys: self.api_keys,
            timestamps: self.timestamps,
            token_interval: self.token_interval,
            sampler: Sampler::new(self.profile, self.seed),
            clock,
            tls,
            port,
            runtime: handle,
            faults: ActiveFaults::new(self.seed),
            recorder: Arc::new(Recorder::new(self.record, self.record_body)),
            billed_ids: Arc::new(BilledIds::new(self.record)),
            ledger: Ledger::new(self.record),
            counters: Counters::default(),
            connection_numbers: Counter::default(),
            answer_numbers: Counter::default(),
            request_numbers: Counter::default(),
        });
        let workers = runtimes.into_iter().zip(listeners).enumerate();
        let workers = workers.map(|(number, (runtime, listeners))| {
            Worker::start(number, runtime, listeners, Arc::clone(&shared))
        });
        let workers: Result<Vec<_>, _> = workers.collect();
        let workers = workers.map_err(StartError::Thread)?;
        Ok(Emulator::new(shared, authority, workers))
    }
}
