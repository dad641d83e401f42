//! The connections to upstream, as the kernel programs see them.
//!
//! A worker registers a socket before it connects it, numbers the requests it sends on it, and reads what the kernel
//! noted. All of that is memory shared with the kernel: no system call but the one that tells a socket's cookie.

use std::io;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::fence;
use std::sync::atomic::{AtomicU32, AtomicU64};

use proxy_common::{Arrival, CLOSED, FLOW_RECORDS, FlowRecord, flow_index};

use super::raw::Mapped;
use super::timeline::{self, Sent, Timeline};

/// All connections to upstream.
#[derive(Debug)]
pub struct FlowTable {
    records: Mapped<FlowRecord>,
    /// Upstreams with figures of their own; the slot after theirs is for all others.
    upstreams: u32,
    /// Slots there have been connections of, from the first.
    used: AtomicU32,
    evicted: AtomicU64,
    beyond: AtomicU64,
    unsure: AtomicU64,
}

impl FlowTable {
    /// A table that no kernel program writes to, as large as the real one: what a reader of it costs can be measured
    /// without root, and it knows as much of a connection as was registered.
    ///
    /// # Errors
    /// If there is no memory.
    pub fn detached() -> io::Result<Self> {
        Ok(Self::new(Mapped::anonymous(FLOW_RECORDS)?, 1))
    }

    /// Notes on a detached table, as `payload_timing` does, that the bytes from `start` to `end` of a connection have come.
    pub fn came(&self, cookie: u64, (start, end): (u32, u32), at_ns: u64) {
        let Some(record) = self.known(cookie) else {
            return;
        };
        let count = record.arrived.load(Relaxed);
        if let Some(arrival) = record.arrivals.get(usize::from(count)) {
            arrival.at_ns.store(at_ns, Relaxed);
            arrival.start.store(start, Relaxed);
            arrival.end.store(end, Relaxed);
            record.arrived.store(count + 1, Relaxed);
        }
    }

    pub(super) fn new(records: Mapped<FlowRecord>, upstreams: u32) -> Self {
        Self {
            records,
            upstreams,
            used: AtomicU32::new(0),
            evicted: AtomicU64::new(0),
            beyond: AtomicU64::new(0),
            unsure: AtomicU64::new(0),
        }
    }

    /// Whether another live socket has the record this one would get. A caller that has not connected yet may open
    /// another socket instead: its cookie leads elsewhere.
    pub fn is_taken(&self, cookie: u64) -> bool {
        self.record(cookie).is_some_and(|record| {
            let found = record.cookie.load(Relaxed);
            found != 0 && found != cookie && record.state.load(Relaxed) & CLOSED == 0
        })
    }

    /// Makes a socket known, before it is connected. `upstream` is its index among those told to
    /// [`super::Kernel::start`], `path` the number of the path it takes ([`super::Windows::path_to`]), `endpoint` that of the record
    /// to which what it meets is added, or [`proxy_common::NO_ENDPOINT`]. A live socket with the same record becomes
    /// unknown; that is counted.
    pub fn register(&self, cookie: u64, upstream: usize, path: u16, endpoint: u16) {
        if self.is_taken(cookie) {
            self.evicted.fetch_add(1, Relaxed);
        }
        let Some(record) = self.record(cookie) else {
            return;
        };
        record.cookie.store(0, Relaxed);
        fence(Release);
        clear(record);
        let upstream = u32::try_from(upstream).unwrap_or(u32::MAX);
        let slot = upstream.min(self.upstreams);
        self.used.fetch_max(slot + 1, Relaxed);
        let slot = u16::try_from(slot).unwrap_or(u16::MAX);
        record.slot.store(slot, Relaxed);
        record.path.store(path, Relaxed);
        record.endpoint.store(endpoint, Relaxed);
        record.cookie.store(cookie, Release);
    }

    /// How many slots there have been connections of, those without any between them included.
    pub(super) fn used_slots(&self) -> u32 {
        self.used.load(Relaxed)
    }

    /// Forgets a socket: what becomes of it is nobody's fault, as when a client leaves while its upstream connection
    /// is being opened.
    pub fn forget(&self, cookie: u64) {
        if let Some(record) = self.known(cookie) {
            record.cookie.store(0, Relaxed);
        }
    }

    /// Says that the next byte written to this socket begins a request.
    #[inline]
    pub fn begin(&self, cookie: u64) {
        if let Some(record) = self.known(cookie) {
            let retransmits = record.retransmits.load(Relaxed);
            record.retransmits_before.store(retransmits, Relaxed);
            // A packet that comes at this very moment may be kept yet: its place tells it from the response.
            record.arrived.store(0, Relaxed);
            // 0 means that there was no request yet.
            let next = record.request.load(Relaxed).wrapping_add(1).max(1);
            record.request.store(next, Release);
        }
    }

    /// What the kernel saw of the request begun last, which left when `sent` says. `offset` is how many bytes had been read from the socket (as they
    /// came, encrypted) before those of the response; `read_ns` is [`super::now_ns`] right after the read that returned the
    /// byte at that place.
    #[inline]
    pub fn timeline(&self, cookie: u64, sent: Option<Sent>, offset: u64, read_ns: u64) -> Timeline {
        let Some(record) = self.known(cookie) else {
            return Timeline::default();
        };
        let arrival = timeline::arrival(record, offset);
        let result = timeline::read(record, sent, &arrival, read_ns);
        fence(Acquire);
        // Somebody else's by now?
        if record.cookie.load(Relaxed) != cookie {
            return Timeline::default();
        }
        match arrival {
            timeline::Arrival::Beyond => _ = self.beyond.fetch_add(1, Relaxed),
            timeline::Arrival::InOrder(_) | timeline::Arrival::Early(_)
                if result.first_byte.is_none() =>
            {
                self.unsure.fetch_add(1, Relaxed);
            }
            _ => {}
        }
        result
    }

    /// What the kernel saw of a connection whose response has not begun.
    pub fn connection(&self, cookie: u64) -> Timeline {
        let Some(record) = self.known(cookie) else {
            return Timeline::default();
        };
        let result = timeline::read(record, None, &timeline::Arrival::Unknown, 0);
        fence(Acquire);
        match record.cookie.load(Relaxed) == cookie {
            true => result,
            false => Timeline::default(),
        }
    }

    /// Whether the peer has reset a connection, and only with segments that acknowledge nothing, as a host does that does not
    /// have the connection. To be asked once the socket has said that it was reset.
    pub fn was_reset_without_ack(&self, cookie: u64) -> bool {
        let Some(record) = self.known(cookie) else {
            return false;
        };
        let plain = record.reset_plain.load(Relaxed) != 0;
        let acked = record.reset_acked.load(Relaxed) != 0;
        fence(Acquire);
        plain && !acked && record.cookie.load(Relaxed) == cookie
    }

    /// Live sockets whose record another one took.
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Relaxed)
    }

    /// Responses that began after the packets a record has room for, so that their first byte is unknown.
    pub fn beyond(&self) -> u64 {
        self.beyond.load(Relaxed)
    }

    /// Responses whose request may have left at any time within too long a one, so that their first byte is unknown.
    pub fn unsure(&self) -> u64 {
        self.unsure.load(Relaxed)
    }

    /// Records in use. Looks at every one: for a scrape, not for a request.
    pub fn occupied(&self) -> u64 {
        let live = |record: &&FlowRecord| {
            record.cookie.load(Relaxed) != 0 && record.state.load(Relaxed) & CLOSED == 0
        };
        self.records.iter().filter(live).count() as u64
    }

    #[inline]
    fn record(&self, cookie: u64) -> Option<&FlowRecord> {
        self.records.get(flow_index(cookie) as usize)
    }

    #[inline]
    fn known(&self, cookie: u64) -> Option<&FlowRecord> {
        let record = self.record(cookie)?;
        (cookie != 0 && record.cookie.load(Acquire) == cookie).then_some(record)
    }
}

/// Zeroes everything but the cookie.
fn clear(record: &FlowRecord) {
    // Named one by one, so that a new field is not forgotten.
    let FlowRecord {
        cookie: _,
        request,
        slot,
        path,
        endpoint,
        connect_start_ns,
        connect_ns,
        srtt_us,
        retransmits,
        retransmits_before,
        arrived,
        holes,
        reset_plain,
        reset_acked,
        state,
        answered,
        arrivals,
        unused: _,
    } = record;
    for long in [connect_start_ns, connect_ns] {
        long.store(0, Relaxed);
    }
    let words = [request, srtt_us, retransmits, retransmits_before];
    for word in words.into_iter().chain([state, answered]) {
        word.store(0, Relaxed);
    }
    let shorts = [slot, path, endpoint, arrived, holes];
    for short in shorts.into_iter().chain([reset_plain, reset_acked]) {
        short.store(0, Relaxed);
    }
    for Arrival { at_ns, start, end } in arrivals {
        at_ns.store(0, Relaxed);
        start.store(0, Relaxed);
        end.store(0, Relaxed);
    }
}

#[cfg(test)]
mod tests;
