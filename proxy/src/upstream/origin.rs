//! One worker's side of an upstream: its connections there, and what keeps them ready.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tokio::task::JoinSet;

use super::tls::ClientTls;
use super::{ConnectError, Dialer, Link, Multiplexed, Pool, Roster};
use crate::config::{Config, Upstream, UpstreamProtocol};
use crate::kernel::Sockets;
use crate::metrics::{UpstreamMetrics, WorkerMetrics};

/// Where a request goes.
#[derive(Clone, Debug)]
pub struct Place {
    /// The upstream. One that a changed configuration drops stays for as long as a request is on its way there.
    pub origin: Rc<Origin>,
    /// The position of the key it is sent with.
    pub key: usize,
}

impl Place {
    /// Whether that is the same upstream and key.
    pub fn is(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.origin, &other.origin) && self.key == other.key
    }
}

/// An upstream, as a worker uses it.
#[derive(Debug)]
pub struct Origin {
    /// What all workers share of it.
    pub link: Arc<Link>,
    /// Its `Host`.
    pub authority: String,
    /// HTTP/1.1 connections.
    pub pool: Rc<Pool>,
    /// The h2 connection.
    pub h2: Rc<Multiplexed>,
    /// Opens both.
    pub dialer: Rc<Dialer>,
    worker: usize,
    /// Those that keep connections ready; they end when dropped.
    tasks: RefCell<JoinSet<()>>,
}

impl Origin {
    /// No connection yet.
    pub fn new(
        link: &Arc<Link>,
        worker: usize,
        tls: Option<ClientTls>,
        config: &Config,
        (metrics, sockets): (&Arc<WorkerMetrics>, &Sockets),
    ) -> Self {
        let roster = Roster::new(
            Arc::clone(link),
            worker,
            Arc::clone(metrics),
            config.ejection,
        );
        let timeout = config.timeouts.connect;
        let dialer = Rc::new(Dialer::new(roster, worker, tls, timeout, sockets.clone()));
        Self {
            link: Arc::clone(link),
            authority: link.settings.base_url.authority(),
            pool: Rc::new(Pool::new(Rc::clone(&dialer), &link.settings)),
            h2: Rc::new(Multiplexed::new(Rc::clone(&dialer))),
            dialer,
            worker,
            tasks: RefCell::default(),
        }
    }

    /// Its settings.
    pub fn settings(&self) -> &Upstream {
        &self.link.settings
    }

    /// The worker's metrics of it.
    pub fn metrics(&self) -> &UpstreamMetrics {
        self.dialer.metrics()
    }

    /// Whether it is spoken to in h2.
    pub fn speaks_h2(&self) -> bool {
        self.settings().protocol == UpstreamProtocol::Http2
    }

    /// Opens the connections that are to be there ahead of need, at least one.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn connect(&self) -> Result<(), ConnectError> {
        match self.speaks_h2() {
            true => self.h2.open().await,
            false => self.pool.fill().await,
        }
    }

    /// Keeps connections ready, until this is retired or dropped.
    pub fn keep_ready(&self) {
        let mut tasks = self.tasks.borrow_mut();
        if self.speaks_h2() {
            let h2 = Rc::clone(&self.h2);
            tasks.spawn_local(async move { h2.keep_open().await });
        } else {
            tasks.spawn_local(Rc::clone(&self.pool).keep_warm());
            tasks.spawn_local(Rc::clone(&self.pool).keep_fresh());
        }
    }

    /// No more requests come. Those that are on their way go on, and the connection of each is closed at its end.
    pub fn retire(&self) {
        self.tasks.borrow_mut().abort_all();
        self.pool.retire();
    }

    /// Looks after what changes by itself: addresses, what the kernel sees, keys, and endpoints whose pause is over.
    pub fn look(&self, now: Instant) {
        let roster = self.dialer.roster();
        if let Some(gone) = roster.refresh() {
            gone.iter().for_each(|gone| self.pool.clear_at(gone));
            self.pool.ask_for_more();
        }
        roster.look(self.dialer.sockets(), now);
        // What is the same for all workers one of them sees to.
        if self.worker != 0 {
            return;
        }
        self.link.keys.prefer_first(now);
        for local in roster.all().iter() {
            if local.begins_check(now) {
                tokio::task::spawn_local(Rc::clone(&self.pool).check(Rc::clone(local)));
            }
        }
    }

    /// Takes over what can change.
    pub fn adopt(&self, config: &Config) {
        self.dialer.set_timeout(config.timeouts.connect);
        self.dialer.roster().set_ejection(config.ejection);
    }
}
