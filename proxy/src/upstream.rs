//! The way to HolySheep, and to others: addresses, keys, connections, exchanges.
//!
//! What all workers share of an upstream ([`Link`]) is written by the control thread, or when something fails, and read
//! without locks. [`Links`] are those there are now. Each worker has its own connections to it ([`Origin`]).

pub mod any;
pub mod certificate;
pub mod choice;
pub mod circuit;
pub mod connect;
pub mod dns;
pub mod endpoint;
pub mod exchange;
pub(crate) mod eyeballs;
pub mod h2;
pub mod keys;
pub mod last_dial;
pub mod links;
pub mod message;
pub mod origin;
pub mod pool;
pub mod roster;
pub mod slots;
pub mod tls;
pub mod upkeep;

use std::sync::Arc;

pub use any::AnyExchange;
pub use certificate::Expiry;
pub use choice::Local;
pub use circuit::Circuit;
pub use connect::{ConnectError, Connection, Dialer};
pub use dns::Addresses;
pub use endpoint::Endpoints;
pub use exchange::{Exchange, NoBody, RequestBody};
pub use h2::Multiplexed;
pub use keys::Keys;
pub use last_dial::LastDial;
pub use links::{Links, NoSlot, SharedLinks};
pub use message::Message;
pub use origin::{Origin, Place};
pub use pool::Pool;
pub use roster::Roster;
pub use slots::Slots;
pub use upkeep::{Upkeep, UpstreamsError};

use crate::config::Upstream;

/// What all workers share of one upstream.
#[derive(Debug)]
pub struct Link {
    /// Its name's slot ([`slots`]).
    pub slot: usize,
    /// Its settings.
    pub settings: Upstream,
    /// The addresses its name resolves to.
    pub addresses: Arc<Addresses>,
    /// The endpoints at these addresses.
    pub endpoints: Arc<Endpoints>,
    /// Whether it gets requests at all.
    pub breaker: Circuit,
    /// The keys requests are sent with.
    pub keys: Keys,
    /// What each worker's last dial came to.
    pub dials: Box<[Arc<LastDial>]>,
    /// The end of the certificate upstream presented last.
    pub certificate: Arc<Expiry>,
}

impl Link {
    /// Nothing is known yet.
    pub fn new(slot: usize, settings: &Upstream, workers: usize) -> Self {
        Self {
            slot,
            settings: settings.clone(),
            addresses: Arc::default(),
            endpoints: Arc::new(Endpoints::new(workers)),
            breaker: Circuit::default(),
            keys: Keys::of(settings),
            dials: (0..workers).map(|_| Arc::default()).collect(),
            certificate: Arc::default(),
        }
    }
}
