//! Handing the listening sockets to another process, so that a new program takes an old one's place.
//!
//! Who serves with `take_over: PATH` offers its listening sockets at that Unix socket ([`Offer`]). Who starts with the same
//! path asks there first ([`ask`]), gets them, accepts from them as soon as it is ready, says so, and offers them itself.
//! The old process stops accepting at that moment and drains. Both have the very same sockets, so there is no moment
//! without a listener, and nobody's accept queue is thrown away, as it is when one of two sockets in a `SO_REUSEPORT`
//! group closes. [`crate::app`] wires it.

mod ask;
mod offer;
mod wire;

use std::io;
use std::path::PathBuf;

use tokio::sync::watch;

pub use ask::{Handed, ask};
pub use offer::{Offer, listen};
pub use wire::{Kind, Sockets};

/// Why there is no take-over.
#[derive(Debug, thiserror::Error)]
pub enum TakeOverError {
    /// The path cannot be used.
    #[error("take_over: {path}: {reason}")]
    Path {
        /// The Unix socket.
        path: PathBuf,
        /// The system's reason.
        reason: io::Error,
    },
    /// The running process does not give its sockets.
    #[error("take_over: the process that runs did not hand its sockets over: {0}; it goes on")]
    Refused(io::Error),
    /// This process has not become ready.
    #[error("take_over: not ready within {limit} s ({reasons}); the process that runs goes on")]
    NotReady {
        /// Seconds.
        limit: u64,
        /// Why not.
        reasons: String,
    },
}

/// Where accepting waits until this process may begin with it.
#[derive(Clone, Debug)]
pub struct Gate(watch::Receiver<bool>);

/// Opens the gate.
#[derive(Debug)]
pub struct GateKeeper(watch::Sender<bool>);

/// A closed gate.
pub fn gate() -> (GateKeeper, Gate) {
    let (sender, receiver) = watch::channel(false);
    (GateKeeper(sender), Gate(receiver))
}

impl GateKeeper {
    /// Lets everybody accept.
    pub fn open(&self) {
        self.0.send_replace(true);
    }
}

impl Gate {
    /// Waits until it is open.
    pub async fn opened(mut self) {
        if self.0.wait_for(|open| *open).await.is_err() {
            // The start has failed, and whoever waits ends with it.
            std::future::pending::<()>().await;
        }
    }
}
