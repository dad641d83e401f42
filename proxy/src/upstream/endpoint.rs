//! The endpoints of an upstream, one for each address of its name, and what all workers know of them.
//!
//! Whether one gets requests is shared ([`Circuit`]); how busy and how fast it is each worker knows for itself, in a line
//! of memory that only it writes to ([`Load`]) and that others read for `/status` and `/metrics`.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::circuit::{Circuit, Limits};

/// One worker's figures of an endpoint.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Load {
    in_flight: AtomicU32,
    /// Moving average of the time to the first byte, microseconds; 0 before the first.
    first_byte: AtomicU32,
    requests: AtomicU64,
    failures: AtomicU64,
}

/// Only its worker writes, so no instruction has to be locked.
fn add(cell: &AtomicU64) {
    cell.store(cell.load(Relaxed).wrapping_add(1), Relaxed);
}

impl Load {
    /// Requests under way.
    #[inline]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// The average time to the first byte in microseconds; 0 before the first.
    #[inline]
    pub fn first_byte(&self) -> u32 {
        self.first_byte.load(Relaxed)
    }

    #[inline]
    pub(super) fn begin(&self) {
        self.in_flight.store(self.in_flight() + 1, Relaxed);
        add(&self.requests);
    }

    #[inline]
    pub(super) fn end(&self) {
        self.in_flight
            .store(self.in_flight().saturating_sub(1), Relaxed);
    }

    #[inline]
    pub(super) fn set_first_byte(&self, micros: u32) {
        self.first_byte.store(micros, Relaxed);
    }

    pub(super) fn count_failure(&self) {
        add(&self.failures);
    }
}

/// What all workers know of an endpoint, added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Requests under way.
    pub in_flight: u64,
    /// The average time to the first byte.
    pub first_byte: Option<Duration>,
    /// Requests sent since it is known.
    pub requests: u64,
    /// Of these, how many failed, and connections that could not be made.
    pub failures: u64,
}

/// An address of an upstream.
#[derive(Debug)]
pub struct Endpoint {
    /// Where it is.
    pub address: SocketAddr,
    /// Whether it gets requests.
    pub circuit: Circuit,
    loads: Box<[Load]>,
}

impl Endpoint {
    fn new(address: SocketAddr, workers: usize) -> Self {
        Self {
            address,
            circuit: Circuit::default(),
            loads: (0..workers.max(1)).map(|_| Load::default()).collect(),
        }
    }

    /// One worker's figures.
    #[inline]
    pub fn load(&self, worker: usize) -> &Load {
        // Workers are numbered from 0, and there is a line for each.
        self.loads.get(worker).unwrap_or(&self.loads[0])
    }

    /// All workers' figures.
    pub fn figures(&self) -> Figures {
        let sum = |of: fn(&Load) -> u64| self.loads.iter().map(of).sum();
        let known = self.loads.iter().map(Load::first_byte);
        let known: Vec<_> = known.filter(|micros| *micros != 0).collect();
        let mean = known.iter().map(|micros| u64::from(*micros)).sum::<u64>();
        let mean = mean.checked_div(known.len() as u64);
        Figures {
            in_flight: sum(|load| load.in_flight().into()),
            first_byte: mean.map(Duration::from_micros),
            requests: sum(|load| load.requests.load(Relaxed)),
            failures: sum(|load| load.failures.load(Relaxed)),
        }
    }
}

/// All endpoints of an upstream.
#[derive(Debug)]
pub struct Endpoints {
    workers: usize,
    known: Mutex<Vec<Arc<Endpoint>>>,
}

impl Endpoints {
    /// None is known yet.
    pub const fn new(workers: usize) -> Self {
        Self {
            workers,
            known: Mutex::new(Vec::new()),
        }
    }

    /// Those with the addresses that the name has now, in their order. What was known of others is forgotten.
    pub fn adopt(&self, addresses: &[SocketAddr]) -> Vec<Arc<Endpoint>> {
        let mut known = self.lock();
        let now = addresses.iter().map(|address| {
            let old = known.iter().find(|old| old.address == *address);
            let new = || Arc::new(Endpoint::new(*address, self.workers));
            old.cloned().unwrap_or_else(new)
        });
        let now: Vec<_> = now.collect();
        known.clone_from(&now);
        now
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<Endpoint>> {
        self.lock().clone()
    }

    /// Something failed at an endpoint; ejects it when it is time, unless half of them are out already.
    pub fn failed(&self, endpoint: &Endpoint, limits: &Limits, now: Instant) {
        if endpoint.circuit.failed(limits) {
            self.eject(endpoint, limits, now);
        }
    }

    /// Ejects an endpoint, unless half of them are out already. Whether it was not before.
    pub fn eject(&self, endpoint: &Endpoint, limits: &Limits, now: Instant) -> bool {
        let known = self.lock();
        let others = known
            .iter()
            .filter(|other| other.address != endpoint.address);
        let out = others.filter(|other| !other.circuit.is_closed()).count();
        if out >= known.len() / 2 && endpoint.circuit.is_closed() {
            return false;
        }
        let is_new = endpoint.circuit.open(limits, now);
        if is_new {
            tracing::warn!(endpoint = %endpoint.address, pause = ?endpoint.circuit.pause_left(now), "ejected");
        }
        is_new
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Endpoint>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        failures: 1,
        pause: Duration::from_secs(1),
        max_pause: Duration::from_secs(60),
    };

    fn addresses(count: u16) -> Vec<SocketAddr> {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        (1..=count).map(address).collect()
    }

    #[test]
    fn half_of_the_endpoints_stay() {
        for (count, most) in [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2)] {
            let endpoints = Endpoints::new(1);
            let all = endpoints.adopt(&addresses(count));
            for endpoint in &all {
                endpoints.failed(endpoint, &LIMITS, Instant::now());
            }
            let out = all.iter().filter(|endpoint| !endpoint.circuit.is_closed());
            assert_eq!(out.count(), most, "of {count}");
        }
    }

    #[test]
    fn what_is_known_of_an_address_stays_with_it() {
        let endpoints = Endpoints::new(2);
        let old = endpoints.adopt(&addresses(2));
        old[1].load(1).begin();
        let new = endpoints.adopt(&addresses(3)[1..]);
        assert!(Arc::ptr_eq(&old[1], &new[0]));
        let figures = new[0].figures();
        assert_eq!((figures.in_flight, figures.requests), (1, 1));
        assert_eq!(figures.first_byte, None);
        assert_eq!(endpoints.all().len(), 2);
    }
}
