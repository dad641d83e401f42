//! Counters of what happened to connections and requests.
//!
//! `server/` and `exchange.rs` count, [`Stats`] is one reading of it all, for tests in the same
//! process and as JSON on `GET /emulator/stats`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::routes::Route;

/// One reading of the counters, all since the start or the last reset unless said otherwise.
///
/// Every request ends as completed, cancelled or faulted; until then it is in flight.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Stats {
    /// Connections accepted, those reset on accept included.
    pub connections_accepted: u64,
    /// Connections open now.
    pub connections_open: u64,
    /// Connections closed in an orderly way while bytes lay there that had come in the last moment and were never read. The
    /// system had acknowledged them, so that the other side cannot know it.
    pub connections_closed_unread: u64,
    /// TLS handshakes with a full key exchange.
    pub tls_handshakes_full: u64,
    /// TLS handshakes that resumed a session.
    pub tls_handshakes_resumed: u64,
    /// TLS handshakes that began with bytes from the peer and failed.
    pub tls_handshakes_failed: u64,
    /// Requests whose head was read; control paths are never counted.
    pub requests: u64,
    /// The same by route template; unknown paths are under `other`.
    pub requests_by_path: BTreeMap<String, u64>,
    /// Requests being answered now.
    pub in_flight: u64,
    /// Answers handed to the socket to the last byte, error answers included.
    pub completed: u64,
    /// Requests whose client went away before the answer was complete.
    pub cancelled: u64,
    /// Requests whose answer a fault broke off.
    pub faulted: u64,
    /// Requests refused for their key.
    pub unauthorized: u64,
    /// Requests that cost money: read to their end and not refused, whatever became of the answer.
    ///
    /// Cut, reset, stalled, dripped and malformed answers are billed, and so are those whose client
    /// did not wait. Not billed are error answers (faults, unknown keys, requests that make no sense)
    /// and what only looks something up, that is, any method but POST without a realtime session.
    pub billed: u64,
    /// HTTP bytes read, inside TLS.
    pub bytes_received: u64,
    /// HTTP bytes written, inside TLS.
    pub bytes_sent: u64,
}

/// A counter; statistics need no ordering among each other.
#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Adds one and returns what it was: a number nobody else gets.
    pub(crate) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn one_less(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) connections_accepted: Counter,
    pub(crate) connections_open: Counter,
    pub(crate) connections_closed_unread: Counter,
    pub(crate) tls_handshakes_full: Counter,
    pub(crate) tls_handshakes_resumed: Counter,
    pub(crate) tls_handshakes_failed: Counter,
    pub(crate) in_flight: Counter,
    pub(crate) completed: Counter,
    pub(crate) cancelled: Counter,
    pub(crate) faulted: Counter,
    pub(crate) unauthorized: Counter,
    pub(crate) billed: Counter,
    pub(crate) bytes_received: Counter,
    pub(crate) bytes_sent: Counter,
    by_route: [Counter; Route::COUNT],
}

impl Counters {
    pub(crate) fn request(&self, route: Route) {
        self.by_route[route.index()].add(1);
        self.in_flight.add(1);
    }

    pub(crate) fn read(&self) -> Stats {
        let by_path: BTreeMap<_, _> = Route::all()
            .map(|route| (route.template(), self.by_route[route.index()].value()))
            .filter(|(_, n)| *n > 0)
            .map(|(path, n)| (path.to_owned(), n))
            .collect();
        Stats {
            connections_accepted: self.connections_accepted.value(),
            connections_open: self.connections_open.value(),
            connections_closed_unread: self.connections_closed_unread.value(),
            tls_handshakes_full: self.tls_handshakes_full.value(),
            tls_handshakes_resumed: self.tls_handshakes_resumed.value(),
            tls_handshakes_failed: self.tls_handshakes_failed.value(),
            requests: by_path.values().sum(),
            requests_by_path: by_path,
            in_flight: self.in_flight.value(),
            completed: self.completed.value(),
            cancelled: self.cancelled.value(),
            faulted: self.faulted.value(),
            unauthorized: self.unauthorized.value(),
            billed: self.billed.value(),
            bytes_received: self.bytes_received.value(),
            bytes_sent: self.bytes_sent.value(),
        }
    }

    /// Back to zero, except for the gauges, which describe the present.
    pub(crate) fn reset(&self) {
        for counter in [
            &self.connections_accepted,
            &self.connections_closed_unread,
            &self.tls_handshakes_full,
            &self.tls_handshakes_resumed,
            &self.tls_handshakes_failed,
            &self.completed,
            &self.cancelled,
            &self.faulted,
            &self.unauthorized,
            &self.billed,
            &self.bytes_received,
            &self.bytes_sent,
        ]
        .into_iter()
        .chain(&self.by_route)
        {
            counter.reset();
        }
    }
}
