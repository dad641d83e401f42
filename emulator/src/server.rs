//! The threads that serve, and what they share.
//!
//! `builder.rs` starts a [`Worker`] per thread; each owns a current-thread runtime and a listener and
//! serves its connections with `server/connection.rs`. The runtimes are the emulator's own, so that a
//! test's runtime, often a single thread, is neither slowed down nor able to stall its upstream, and
//! blocking code can use the emulator as well.

pub(crate) mod connection;
pub(crate) mod handshake;
pub(crate) mod io;
pub(crate) mod port;

use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;

use crate::bill::Ledger;
use crate::clock::Clock;
use crate::fault::active::ActiveFaults;
use crate::fault::{Fault, FaultError, FaultScope, Scoped, Stage};
use crate::latency::Sampler;
use crate::record::{BilledIds, Recorder};
use crate::stats::{Counter, Counters};
use handshake::TlsConfigs;
use port::Port;

/// Everything the connections of one emulator share.
pub(crate) struct Shared {
    pub(crate) api_keys: Vec<String>,
    pub(crate) timestamps: bool,
    /// Time between two tokens of a stream; zero writes them all at once.
    pub(crate) token_interval: Duration,
    pub(crate) sampler: Sampler,
    /// Absent when the profile never waits.
    pub(crate) clock: Option<Clock>,
    pub(crate) tls: Option<TlsConfigs>,
    pub(crate) port: Port,
    /// A worker's runtime, for what is to happen later without anybody waiting for it.
    pub(crate) runtime: Handle,
    pub(crate) faults: ActiveFaults,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) billed_ids: Arc<BilledIds>,
    pub(crate) ledger: Ledger,
    pub(crate) counters: Counters,
    pub(crate) connection_numbers: Counter,
    pub(crate) answer_numbers: Counter,
    pub(crate) request_numbers: Counter,
}

impl Shared {
    pub(crate) fn set_fault(self: &Arc<Self>, set: Scoped) -> Result<(), FaultError> {
        let Scoped { fault, scope, key } = set;
        if let Some(key) = key {
            self.limits(&fault, key)?;
        }
        match (fault, scope) {
            (Fault::Refuse, FaultScope::Next(_)) => Err(FaultError::RefuseScope),
            (Fault::Refuse, FaultScope::Always) => {
                self.port.close();
                Ok(())
            }
            (Fault::Refuse, FaultScope::Until(duration)) => {
                let closing = self.port.close();
                let shared = Arc::clone(self);
                self.runtime.spawn(async move {
                    tokio::time::sleep(duration).await;
                    // Should the port not open, connections stay refused, as anybody will see.
                    let _stays_closed = shared.port.open_after(closing);
                });
                Ok(())
            }
            (fault, scope) => {
                self.faults.set(fault, scope, key);
                Ok(())
            }
        }
    }

    /// Whether a fault can be for one key alone.
    fn limits(&self, fault: &Fault, key: usize) -> Result<(), FaultError> {
        let reason = if fault.stage() != Stage::Request {
            "it acts before a key is known"
        } else if key >= self.api_keys.len() {
            "no accepted key has this index"
        } else {
            return Ok(());
        };
        Err(FaultError::KeyScope {
            fault: fault.to_string(),
            key,
            reason,
        })
    }

    /// Ends all faults, a closed port included.
    pub(crate) fn clear_faults(&self) -> std::io::Result<()> {
        self.faults.clear();
        self.port.open()
    }

    /// Zero counters, empty record, no faults.
    pub(crate) fn reset(&self) -> std::io::Result<()> {
        self.counters.reset();
        self.recorder.clear();
        self.billed_ids.clear();
        self.ledger.clear();
        self.clear_faults()
    }
}

/// A thread that serves; dropping it stops the thread and closes its connections.
pub(crate) struct Worker {
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// A runtime that may be dropped anywhere, also where a start fails within another runtime; tokio
/// panics when its own is dropped there.
pub(crate) struct OwnRuntime {
    handle: Handle,
    /// Taken by `run` or by the drop.
    runtime: Option<Runtime>,
}

impl OwnRuntime {
    pub(crate) fn new() -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Self {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        })
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    fn run(mut self, serve: impl Future<Output = ()>) {
        if let Some(runtime) = self.runtime.take() {
            runtime.block_on(serve);
        }
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Worker {
    pub(crate) fn start(
        number: usize,
        runtime: OwnRuntime,
        listeners: UnboundedReceiver<TcpListener>,
        shared: Arc<Shared>,
    ) -> std::io::Result<Self> {
        let (stop, mut stopped) = watch::channel(false);
        let serve = async move {
            let each = |stream| {
                tokio::spawn(connection::serve(Arc::clone(&shared), stream));
            };
            tokio::select! {
                () = port::accept_all(listeners, each) => {}
                _changed = stopped.changed() => {}
            }
        };
        let thread = std::thread::Builder::new()
            .name(format!("emulator-{number}"))
            .spawn(move || runtime.run(serve))?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            let _joined = thread.join();
        }
    }
}
