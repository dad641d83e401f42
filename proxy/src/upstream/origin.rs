//! One worker's side of an upstream: its connections there, and what keeps them ready.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::tls::ClientTls;
use super::{Dialer, Link, Multiplexed, Pool, Roster};
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

    /// Keeps connections ready, until the tasks are dropped.
    pub fn keep_ready(&self) {
        if self.speaks_h2() {
            let h2 = Rc::clone(&self.h2);
            tokio::task::spawn_local(async move { h2.keep_open().await });
        } else {
            tokio::task::spawn_local(Rc::clone(&self.pool).keep_warm());
            tokio::task::spawn_local(Rc::clone(&self.pool).keep_fresh());
        }
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
