//! One worker's list of an upstream's endpoints, kept in step with its name's addresses.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::Link;
use super::choice::{self, Local, pair};
use super::circuit::Limits;
use super::dns::Resolution;
use crate::config::Ejection;
use crate::kernel::Sockets;
use crate::metrics::WorkerMetrics;

/// The list.
#[derive(Debug)]
pub struct Roster {
    link: Arc<Link>,
    worker: usize,
    metrics: Arc<WorkerMetrics>,
    locals: RefCell<Rc<[Rc<Local>]>>,
    /// What it was made from.
    resolution: RefCell<Arc<Resolution>>,
    random: RefCell<fastrand::Rng>,
    ejection: Cell<Ejection>,
}

impl Roster {
    /// An empty list.
    pub fn new(
        link: Arc<Link>,
        worker: usize,
        metrics: Arc<WorkerMetrics>,
        ejection: Ejection,
    ) -> Self {
        let roster = Self {
            link,
            worker,
            metrics,
            locals: RefCell::new(Rc::new([])),
            resolution: RefCell::default(),
            random: RefCell::default(),
            ejection: Cell::new(ejection),
        };
        roster.refresh();
        roster
    }

    /// What all workers share of the upstream.
    pub const fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// The worker's metrics.
    pub const fn metrics(&self) -> &Arc<WorkerMetrics> {
        &self.metrics
    }

    /// Sets when endpoints are ejected from now on.
    pub fn set_ejection(&self, ejection: Ejection) {
        self.ejection.set(ejection);
    }

    /// When endpoints are ejected.
    pub fn limits(&self) -> Limits {
        let ejection = self.ejection.get();
        Limits {
            failures: ejection.failures,
            pause: ejection.pause,
            max_pause: ejection.max_pause,
        }
    }

    /// All endpoints.
    #[inline]
    pub fn all(&self) -> Rc<[Rc<Local>]> {
        Rc::clone(&self.locals.borrow())
    }

    /// Calls `with` with all endpoints.
    #[inline]
    pub(super) fn with<R>(&self, with: impl FnOnce(&[Rc<Local>]) -> R) -> R {
        with(&self.locals.borrow())
    }

    /// Two different positions of `count`, by chance.
    pub(super) fn pair(&self, count: usize) -> (usize, usize) {
        pair(count, &mut self.random.borrow_mut())
    }

    /// All endpoints, the best one first; those that get no requests stand at the end, and `avoid` behind all others.
    pub(super) fn in_order(&self, avoid: Option<SocketAddr>, now: Instant) -> Vec<Rc<Local>> {
        let mut order = choice::order(&self.all(), &mut self.random.borrow_mut(), now);
        order.sort_by_key(|local| {
            let is_avoided = Some(local.shared.address) == avoid;
            (is_avoided, !local.shared.circuit.is_closed())
        });
        order
    }

    /// The endpoint to which a connection is opened ahead of need: the one with the fewest, of those that get requests.
    pub(super) fn neediest(&self) -> Option<Rc<Local>> {
        self.with(|all| {
            let usable = all.iter().filter(|local| local.shared.circuit.is_closed());
            usable.min_by_key(|local| local.waiting()).cloned()
        })
    }

    /// Whether there is more than one.
    pub fn has_choice(&self) -> bool {
        self.with(|all| all.len() > 1)
    }

    /// How many endpoints get requests.
    pub(super) fn usable(&self) -> usize {
        self.with(|all| {
            let usable = all.iter().filter(|local| local.shared.circuit.is_closed());
            usable.count()
        })
    }

    /// Endpoints that get requests and have neither a connection nor a request.
    pub(super) fn lonely(&self) -> usize {
        self.with(|all| {
            let is_lonely = |local: &&Rc<Local>| {
                let has_none = local.waiting() == 0 && local.load().in_flight() == 0;
                has_none && local.shared.circuit.is_closed()
            };
            all.iter().filter(is_lonely).count()
        })
    }

    /// Takes over the addresses that the name has now, if they are others; gives the endpoints it no longer has.
    pub(super) fn refresh(&self) -> Option<Vec<Rc<Local>>> {
        let now = self.link.addresses.now();
        if Arc::ptr_eq(&now, &self.resolution.borrow()) {
            return None;
        }
        self.resolution.replace(Arc::clone(&now));
        let Resolution::Known(addresses) = &*now else {
            return None;
        };
        let old = self.all();
        let find = |address| {
            let mut old = old.iter();
            old.find(|local| local.shared.address == address).cloned()
        };
        let endpoints = self.link.endpoints.adopt(addresses).into_iter();
        let new: Rc<[Rc<Local>]> = endpoints
            .map(|shared| {
                find(shared.address).unwrap_or_else(|| {
                    let place = (self.link.slot, self.worker);
                    Local::new(shared, &self.link.endpoints, &self.metrics, place)
                })
            })
            .collect();
        let has_gone = |local: &&Rc<Local>| !new.iter().any(|new| Rc::ptr_eq(new, local));
        let gone: Vec<_> = old.iter().filter(has_gone).cloned().collect();
        for local in &gone {
            local.gone.set(true);
        }
        *self.locals.borrow_mut() = new;
        Some(gone)
    }

    /// Looks at what the kernel sees of each endpoint's connections.
    pub(super) fn look(&self, sockets: &Sockets, now: Instant) {
        // Of one alone there is nothing to choose, and it is never ejected.
        let all = self.all();
        if all.len() < 2 {
            return;
        }
        let views = all.iter().filter_map(|local| {
            let view = sockets.view(local.shared.address)?;
            Some((local, view))
        });
        let views: Vec<_> = views.collect();
        let nearest = views.iter().filter_map(|(_, view)| view.rtt).min();
        for (local, view) in &views {
            let is_gone = local.look(view, nearest.unwrap_or_default());
            if is_gone && self.ejection.get().kernel {
                local.eject(&self.limits(), now);
            }
        }
    }
}
