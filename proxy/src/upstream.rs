//! The way to HolySheep: addresses, key, connections, exchanges.
//!
//! Each worker owns a [`Pool`]; what all workers share ([`Link`]) is written
//! by the control thread and read without locks.

pub mod any;
pub mod certificate;
pub mod connect;
pub mod dns;
pub mod exchange;
mod eyeballs;
pub mod h2;
pub mod key;
pub mod last_dial;
pub mod pool;
pub mod tls;

use std::sync::Arc;

pub use any::AnyExchange;
pub use certificate::Expiry;
pub use connect::{ConnectError, Connection, Dialer};
pub use dns::Addresses;
pub use exchange::{Exchange, ExchangeError, RequestBody, Unsent};
pub use h2::{H2Request, Multiplexed};
pub use key::KeySlot;
pub use last_dial::LastDial;
pub use pool::Pool;

/// What all workers share of one upstream.
#[derive(Debug)]
pub struct Link {
    /// The addresses its name resolves to.
    pub addresses: Arc<Addresses>,
    /// The key requests are sent with.
    pub key: KeySlot,
    /// What each worker's last dial came to.
    pub dials: Box<[Arc<LastDial>]>,
    /// The end of the certificate upstream presented last.
    pub certificate: Arc<Expiry>,
}

impl Link {
    /// Nothing is known yet.
    pub fn new(workers: usize) -> Self {
        Self {
            addresses: Arc::default(),
            key: KeySlot::default(),
            dials: (0..workers).map(|_| Arc::default()).collect(),
            certificate: Arc::default(),
        }
    }
}
