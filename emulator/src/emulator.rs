//! The handle to a running emulator.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::bill::Billed;
use crate::builder::Builder;
use crate::fault::{Fault, FaultError, FaultScope, Scoped};
use crate::record::{Books, RecordedRequest};
use crate::server::{Shared, Worker};
use crate::stats::Stats;
use crate::tls::Authority;

/// How often [`Emulator::wait_until`] looks.
const LOOK: Duration = Duration::from_millis(1);

/// A running emulator. Dropping it closes the port and all connections and ends its threads.
pub struct Emulator {
    shared: Arc<Shared>,
    authority: Option<Arc<Authority>>,
    origin: String,
    base_url: String,
    // Each joins its thread when dropped.
    workers: Vec<Worker>,
}

/// What was waited for did not come; these were the counters in the end.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the emulator did not get there in {waited:?}: {stats:?}")]
pub struct WaitError {
    /// How long was waited.
    pub waited: Duration,
    /// The last reading.
    pub stats: Box<Stats>,
}

impl Emulator {
    /// An emulator to be configured.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn new(
        shared: Arc<Shared>,
        authority: Option<Arc<Authority>>,
        workers: Vec<Worker>,
    ) -> Self {
        let scheme = if shared.tls.is_some() {
            "https"
        } else {
            "http"
        };
        let address = shared.port.address();
        // Clients come to `localhost` by the addresses it usually has, and to any other by itself.
        let origin = match address.ip() {
            ip if ip == Ipv4Addr::LOCALHOST || ip == Ipv6Addr::LOCALHOST || ip.is_unspecified() => {
                format!("{scheme}://localhost:{}", address.port())
            }
            _ => format!("{scheme}://{address}"),
        };
        Self {
            base_url: format!("{origin}/v1"),
            origin,
            shared,
            authority,
            workers,
        }
    }

    /// What OpenAI clients take as base URL: `https://localhost:PORT/v1`, with the address instead of
    /// the name if it is none that `localhost` has.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// What Anthropic clients take as base URL: `https://localhost:PORT`.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The address listened on, with the actual port.
    pub fn addr(&self) -> SocketAddr {
        self.shared.port.address()
    }

    /// The accepted key, the first if there are several.
    pub fn api_key(&self) -> &str {
        self.shared.api_keys.first().map_or("", String::as_str)
    }

    /// All accepted keys, by the index that [`Emulator::set_fault_of_key`] takes.
    pub fn api_keys(&self) -> &[String] {
        &self.shared.api_keys
    }

    /// Who signed the certificates; `None` without TLS.
    pub fn authority(&self) -> Option<&Arc<Authority>> {
        self.authority.as_ref()
    }

    /// The counters now.
    pub fn stats(&self) -> Stats {
        self.shared.counters.read()
    }

    /// The last requests, oldest first; heads appear before their bodies are complete.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.shared.recorder.all()
    }

    /// The `x-request-id` of each billed request ([`Stats::billed`]) that carried one, oldest first, as
    /// many as [`Builder::record`] keeps. An id that is here twice was billed twice.
    pub fn billed_ids(&self) -> Vec<String> {
        self.shared.billed_ids.all()
    }

    /// What the last billed requests used, oldest first, as many as [`Builder::record`] keeps. Of an answer that is still
    /// being sent, what was made of it so far.
    pub fn billed(&self) -> Vec<Billed> {
        self.shared.ledger.all()
    }

    /// Requests and billed ids, also of an emulator that will have ended.
    pub fn books(&self) -> Books {
        Books {
            recorder: Arc::clone(&self.shared.recorder),
            billed_ids: Arc::clone(&self.shared.billed_ids),
        }
    }

    /// Waits until the counters satisfy `reached`. Needs a tokio runtime with its timer enabled.
    ///
    /// # Errors
    /// [`WaitError`] with the last reading when `limit` has passed.
    pub async fn wait_until(
        &self,
        limit: Duration,
        reached: impl Fn(&Stats) -> bool,
    ) -> Result<Stats, WaitError> {
        let end = tokio::time::Instant::now() + limit;
        loop {
            let stats = self.stats();
            if reached(&stats) {
                return Ok(stats);
            }
            if tokio::time::Instant::now() >= end {
                return Err(WaitError {
                    waited: limit,
                    stats: Box::new(stats),
                });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Puts a fault in force, behind those of its kind that are already. [`Fault::Refuse`] closes the
    /// port before this returns.
    ///
    /// # Errors
    /// [`FaultError::RefuseScope`] for [`Fault::Refuse`] with [`FaultScope::Next`].
    pub fn set_fault(&self, fault: Fault, scope: FaultScope) -> Result<(), FaultError> {
        let key = None;
        self.shared.set_fault(Scoped { fault, scope, key })
    }

    /// [`Emulator::set_fault`] for requests that carry the accepted key of this index, counted from 0.
    ///
    /// # Errors
    /// [`FaultError::KeyScope`] for a fault of connections, and if there is no such key.
    pub fn set_fault_of_key(
        &self,
        key: usize,
        fault: Fault,
        scope: FaultScope,
    ) -> Result<(), FaultError> {
        let key = Some(key);
        self.shared.set_fault(Scoped { fault, scope, key })
    }

    /// Ends all faults and opens the port if it is closed.
    ///
    /// # Errors
    /// When the port cannot be opened again.
    pub fn clear_faults(&self) -> std::io::Result<()> {
        self.shared.clear_faults()
    }

    /// Closes the port: connections are refused from here on, open ones stay.
    pub fn stop_accepting(&self) {
        self.shared.port.close();
    }

    /// Opens the port again, with its old number.
    ///
    /// # Errors
    /// When the port cannot be opened.
    pub fn resume_accepting(&self) -> std::io::Result<()> {
        self.shared.port.open()
    }

    /// Zero counters, empty record, no faults, open port.
    ///
    /// # Errors
    /// When the port cannot be opened again.
    pub fn reset(&self) -> std::io::Result<()> {
        self.shared.reset()
    }

    /// Refuses new connections, waits for the requests in flight up to `grace`, then ends. Needs a
    /// tokio runtime with its timer enabled; dropping the emulator ends it at once and anywhere.
    pub async fn shutdown(self, grace: Duration) {
        self.stop_accepting();
        // What is still in flight after the grace is cut off by the drop.
        let _in_flight = self.wait_until(grace, |stats| stats.in_flight == 0).await;
    }
}

impl std::fmt::Debug for Emulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Emulator")
            .field("base_url", &self.base_url)
            .field("threads", &self.workers.len())
            .finish_non_exhaustive()
    }
}
