//! What connections to each of upstream's endpoints met in the kernel, seen from the proxy.
//!
//! The kernel side only knows records by number; which endpoint has which is kept here. A connection gets its endpoint's
//! number when it is registered ([`super::FlowTable::register`]). A look at an endpoint takes no lock: workers may take
//! one for each request.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use proxy_common::{EndpointRecord, NO_ENDPOINT};

use super::raw::Mapped;

/// What is known of an endpoint from all connections to it. Sums are since the first of them, and begin anew if so many
/// other endpoints were connected to in between that its record was needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointView {
    /// Connections that were established.
    pub connects: u32,
    /// Connections that ended before the peer had sent a byte, and not by an orderly close: refused, timed out, reset.
    pub connect_failures: u32,
    /// Established connections the peer has reset, whatever had been received. Always 0 where `payload_timing` does not run.
    pub resets: u32,
    /// Segments sent again, SYNs included.
    pub retransmits: u32,
    /// Segments sent again since the endpoint last acknowledged anything new.
    pub unanswered: u32,
    /// Since it last acknowledged something, as far as round trips were measured by it, which is once for each window of
    /// segments. Up to a tick of the kernel's (4 ms, or 10) too long, but never on the wrong side of `since_lost`.
    pub since_acked: Option<Duration>,
    /// Since a segment was last sent again.
    pub since_lost: Option<Duration>,
    /// The latest smoothed round trip of any connection.
    pub rtt: Option<Duration>,
}

impl EndpointView {
    fn of(record: &EndpointRecord, now_ns: u64) -> Self {
        let since = |moment: &AtomicU64| {
            let moment = moment.load(Relaxed);
            (moment != 0).then(|| Duration::from_nanos(now_ns.saturating_sub(moment)))
        };
        let rtt = u64::from(record.srtt_us.load(Relaxed));
        Self {
            connects: record.connects.load(Relaxed),
            connect_failures: record.connect_failures.load(Relaxed),
            resets: record.resets.load(Relaxed),
            retransmits: record.retransmits.load(Relaxed),
            unanswered: record.unanswered.load(Relaxed),
            since_acked: since(&record.acked_ns),
            since_lost: since(&record.lost_ns),
            rtt: (rtt != 0).then(|| Duration::from_micros(rtt)),
        }
    }
}

/// An endpoint as it is looked for. Not a `SocketAddr`: of IPv6 that has fields which do not name an endpoint.
type Key = (IpAddr, u16);

/// All endpoints.
#[derive(Debug)]
pub(super) struct Endpoints {
    records: Mapped<EndpointRecord>,
    numbers: ArcSwap<HashMap<Key, u16>>,
    /// When each was last connected to. Not in the shared records, since the kernel has no use for it.
    connected_ns: Box<[AtomicU64]>,
    /// Held by whoever gives numbers away.
    giving: Mutex<()>,
}

impl Endpoints {
    pub(super) fn new(records: Mapped<EndpointRecord>) -> Self {
        let connected_ns = records.iter().map(|_| AtomicU64::new(0)).collect();
        Self {
            records,
            numbers: ArcSwap::default(),
            connected_ns,
            giving: Mutex::new(()),
        }
    }

    /// The number of an endpoint that is about to be connected to. With more endpoints than records, the one not connected
    /// to for the longest time is forgotten; connections to it that are still open then count for the new one.
    pub(super) fn number_of(&self, endpoint: SocketAddr, now_ns: u64) -> u16 {
        let key = key(endpoint);
        let known = self.numbers.load().get(&key).copied();
        let number = known.unwrap_or_else(|| self.give(key));
        if let Some(connected_ns) = self.connected_ns.get(usize::from(number)) {
            connected_ns.store(now_ns, Relaxed);
        }
        number
    }

    /// What is known of an endpoint that was connected to.
    pub(super) fn view(&self, endpoint: SocketAddr, now_ns: u64) -> Option<EndpointView> {
        let number = *self.numbers.load().get(&key(endpoint))?;
        let record = self.records.get(usize::from(number))?;
        Some(EndpointView::of(record, now_ns))
    }

    /// Gives a new endpoint a number: the next, or that of the endpoint to be forgotten.
    fn give(&self, key: Key) -> u16 {
        let _giving = self.giving.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.numbers.load();
        // Another worker was faster.
        if let Some(number) = known.get(&key) {
            return *number;
        }
        let mut numbers = HashMap::clone(&known);
        let mut number = u16::try_from(numbers.len()).unwrap_or(NO_ENDPOINT);
        if numbers.len() >= self.records.len() {
            let last = |number: &u16| self.connected_ns.get(usize::from(*number));
            let since = |number: &u16| last(number).map_or(0, |moment| moment.load(Relaxed));
            let oldest = numbers.iter().min_by_key(|(_, number)| since(number));
            let Some((oldest, freed)) = oldest.map(|(key, number)| (*key, *number)) else {
                return NO_ENDPOINT;
            };
            numbers.remove(&oldest);
            number = freed;
        }
        // Before anybody can find it under its new name.
        self.forget(number);
        numbers.insert(key, number);
        self.numbers.store(numbers.into());
        number
    }

    fn forget(&self, number: u16) {
        let Some(record) = self.records.get(usize::from(number)) else {
            return;
        };
        // Named one by one, so that a new field is not forgotten.
        let EndpointRecord {
            acked_ns,
            lost_ns,
            connects,
            connect_failures,
            resets,
            retransmits,
            unanswered,
            srtt_us,
            unused: _,
        } = record;
        for long in [acked_ns, lost_ns] {
            long.store(0, Relaxed);
        }
        let sums = [connects, connect_failures, resets, retransmits];
        for word in sums.into_iter().chain([unanswered, srtt_us]) {
            word.store(0, Relaxed);
        }
    }
}

const fn key(endpoint: SocketAddr) -> Key {
    (endpoint.ip(), endpoint.port())
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv6Addr, SocketAddrV6};

    use proxy_common::ENDPOINT_RECORDS;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn endpoints() -> Endpoints {
        Endpoints::new(Mapped::anonymous(ENDPOINT_RECORDS).unwrap())
    }

    fn address(port: u32) -> SocketAddr {
        ([192, 0, 2, 1], u16::try_from(port).unwrap()).into()
    }

    #[test]
    fn an_endpoint_is_an_address_and_a_port() {
        let endpoints = endpoints();
        let first = endpoints.number_of(address(1), SECOND);
        assert_ne!(first, endpoints.number_of(address(2), SECOND));
        assert_eq!(first, endpoints.number_of(address(1), SECOND));
        let six = |scope| SocketAddrV6::new(Ipv6Addr::LOCALHOST, 1, 0, scope).into();
        let third = endpoints.number_of(six(0), SECOND);
        assert_eq!((third, endpoints.number_of(six(7), SECOND)), (2, 2));
        assert_eq!(endpoints.view(address(3), SECOND), None);
    }

    #[test]
    fn a_view_tells_what_the_kernel_wrote_and_not_what_it_did_not() {
        let endpoints = endpoints();
        let number = endpoints.number_of(address(1), SECOND);
        let blank = endpoints.view(address(1), SECOND).unwrap();
        assert_eq!((blank.connects, blank.unanswered), (0, 0));
        assert_eq!((blank.since_acked, blank.since_lost), (None, None));
        assert_eq!(blank.rtt, None);
        let record = &endpoints.records[usize::from(number)];
        record.connects.store(5, Relaxed);
        record.connect_failures.store(4, Relaxed);
        record.resets.store(3, Relaxed);
        record.retransmits.store(2, Relaxed);
        record.unanswered.store(1, Relaxed);
        record.acked_ns.store(SECOND, Relaxed);
        record.lost_ns.store(3 * SECOND, Relaxed);
        record.srtt_us.store(1500, Relaxed);
        let expected = EndpointView {
            connects: 5,
            connect_failures: 4,
            resets: 3,
            retransmits: 2,
            unanswered: 1,
            since_acked: Some(Duration::from_secs(1)),
            // Noted between our look at the clock and at the record.
            since_lost: Some(Duration::ZERO),
            rtt: Some(Duration::from_micros(1500)),
        };
        assert_eq!(endpoints.view(address(1), 2 * SECOND), Some(expected));
    }

    #[test]
    fn with_too_many_endpoints_the_one_unused_for_longest_is_forgotten() {
        let endpoints = endpoints();
        for port in 0..ENDPOINT_RECORDS {
            let number = endpoints.number_of(address(port), u64::from(port) + 1);
            let record = &endpoints.records[usize::from(number)];
            record.connects.store(1, Relaxed);
        }
        // Used again, unlike the second.
        let first = endpoints.number_of(address(0), SECOND);
        let newest = endpoints.number_of(address(1000), SECOND);
        assert_eq!((first, newest), (0, 1));
        assert_eq!(endpoints.view(address(1), SECOND), None);
        let connects = |port| endpoints.view(address(port), SECOND).unwrap().connects;
        assert_eq!((connects(0), connects(1000), connects(2)), (1, 0, 1));
        assert_eq!(endpoints.numbers.load().len(), 256);
    }
}
