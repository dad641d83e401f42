//! Named clients with keys of their own (`auth: clients`).
//!
//! [`mod@file`] is what is written, [`Clients`] what is made of it: a table that nothing changes, in which
//! [`crate::pipeline`] looks keys up. [`follow`] reads the file again and gives workers a new table, [`edit`] writes it
//! for `holysheep-proxy client`, and [`key`] knows what a key is.

pub mod edit;
pub mod file;
pub mod follow;
pub mod key;
pub mod pattern;
pub mod table;

use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use crate::config::{ClientLimits, ClientLimitsFile};
use crate::limits::{Quotas, Terms};
use crate::metrics::ClientCounts;
use crate::route::{ROUTES, Route, RouteId};
use key::KeyId;
use pattern::Pattern;
pub use table::{Clients, Place};

/// What requests are accounted to that come from no client by name.
pub const ANONYMOUS: &str = "anonymous";

/// One client, as it is used.
#[derive(Debug)]
pub struct Client {
    /// Its name: in logs, metrics and bills.
    pub name: Box<str>,
    /// Its keys, without what they are told by.
    pub keys: Box<[KeyFacts]>,
    /// The models it may ask for; all of them if there is no list.
    pub models: Option<Box<[Pattern]>>,
    /// The routes it may use.
    pub routes: Routes,
    /// From then on it is refused.
    pub expires: Option<SystemTime>,
    /// It is refused until it is allowed again.
    pub disabled: bool,
    /// How much it may ask for, where that is not what holds for all.
    pub limits: ClientLimitsFile,
    /// What it has asked, also under tables before this one.
    pub counts: Arc<ClientCounts>,
}

/// What people may know of a key.
#[derive(Debug)]
pub struct KeyFacts {
    /// Which it is.
    pub id: KeyId,
    /// When it was made, as it is written in the file.
    pub created: Option<Box<str>>,
    /// What was asked with it: whether it can be taken back when another has taken its place.
    pub counts: Arc<ClientCounts>,
}

/// Why a client is refused that has the right key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is not.
    Good,
    /// Its time is over.
    Expired,
    /// Somebody has said so.
    Disabled,
}

impl Standing {
    /// As it is shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "active",
            Self::Expired => "expired",
            Self::Disabled => "disabled",
        }
    }
}

impl Client {
    /// Whether it may ask for a model.
    pub fn may_ask(&self, model: &[u8]) -> bool {
        let models = self.models.as_deref();
        models.is_none_or(|models| models.iter().any(|pattern| pattern.matches(model)))
    }

    /// Whether it is let in. The clock is read only if that depends on it.
    pub fn standing(&self, now: impl FnOnce() -> SystemTime) -> Standing {
        match (self.disabled, self.expires) {
            (true, _) => Standing::Disabled,
            (false, Some(end)) if end <= now() => Standing::Expired,
            (false, _) => Standing::Good,
        }
    }
}

/// Some routes of the table, or all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Routes(u64);

/// A bit for each route.
const _: () = assert!(ROUTES.len() <= u64::BITS as usize);

impl Routes {
    /// All of them.
    pub const ALL: Self = Self(u64::MAX);
    /// None.
    pub const NONE: Self = Self(0);

    /// These and the one of this path, if there is one.
    #[must_use]
    pub fn with(self, template: &str) -> Option<Self> {
        let index = ROUTES.iter().position(|route| route.template == template)?;
        Some(Self(self.0 | 1 << index))
    }

    /// Whether a route is one of them.
    pub fn contain(self, route: RouteId) -> bool {
        self.0 & 1 << route.index() != 0
    }

    /// Their paths; nothing if they are all.
    pub fn templates(self) -> Option<Vec<&'static str>> {
        let is_in = |(index, _): &(usize, &Route)| self.0 & 1 << index != 0;
        let some = ROUTES.iter().enumerate().filter(is_in);
        (self != Self::ALL).then(|| some.map(|(_, route)| route.template).collect())
    }
}

/// The table as one worker has it. Requests count their handles by this and not by the `Arc` within: a number that all
/// workers share would have each request write to one line of memory.
#[derive(Debug)]
pub struct Table {
    clients: Arc<Clients>,
    /// What holds for each of them.
    terms: Box<[Arc<Terms>]>,
}

impl Table {
    /// One worker's; `limits` hold for a client unless it has its own.
    pub fn new(clients: Arc<Clients>, limits: &ClientLimits, quotas: &Quotas) -> Self {
        Self {
            terms: terms(&clients, limits, quotas),
            clients,
        }
    }

    /// The same clients under other limits.
    #[must_use]
    pub fn under(&self, limits: &ClientLimits, quotas: &Quotas) -> Self {
        Self::new(Arc::clone(&self.clients), limits, quotas)
    }
}

/// What holds for each client, if `limits` hold for one that has none of its own.
pub fn terms(clients: &Clients, limits: &ClientLimits, quotas: &Quotas) -> Box<[Arc<Terms>]> {
    let terms = clients.all().iter().map(|client| {
        // Checked when the file was read.
        let limits = client.limits.checked(limits, "", &mut Vec::new());
        quotas.set(&client.name, limits)
    });
    terms.collect()
}

impl Deref for Table {
    type Target = Clients;

    fn deref(&self) -> &Clients {
        &self.clients
    }
}

/// The client of a request: a place in its worker's table.
#[derive(Clone, Debug)]
pub struct Known {
    clients: Rc<Table>,
    place: Place,
}

impl Known {
    /// The client at a place that comes from this table.
    pub const fn new(clients: Rc<Table>, place: Place) -> Self {
        Self { clients, place }
    }

    /// Counts a request that has ended with this status on a worker.
    pub fn count(&self, worker: usize, status: u16) {
        let key = self.keys.get(self.place.key).map(|key| &key.counts);
        let counts = [Some(&self.counts), key].into_iter().flatten();
        for counters in counts.filter_map(|counts| counts.of(worker)) {
            counters.count(status);
        }
    }

    /// How much it may have, and what it has had.
    pub fn terms(&self) -> Option<&Arc<Terms>> {
        self.clients.terms.get(self.place.client)
    }
}

impl Deref for Known {
    type Target = Client;

    fn deref(&self) -> &Client {
        self.clients.at(self.place.client)
    }
}
