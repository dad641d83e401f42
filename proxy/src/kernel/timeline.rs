//! What one request experienced in the kernel, read from its connection's record.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use proxy_common::FlowRecord;

/// Times of one request; `None` is unknown, never "nothing".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    /// From the connection's first SYN until it was established.
    pub connect: Option<Duration>,
    /// The kernel's smoothed round-trip time.
    pub rtt: Option<Duration>,
    /// From the request's first byte leaving to the response's first byte arriving.
    pub first_byte: Option<Duration>,
    /// From the response's first byte arriving to the proxy's having read it.
    pub wakeup_lag: Option<Duration>,
    /// Segments sent again during the request.
    pub retransmits: Option<u32>,
}

impl Timeline {
    /// The value of a `Server-Timing` field (W3C Server Timing): durations in milliseconds, what is unknown left
    /// out. Empty if nothing is known.
    pub fn server_timing(&self) -> String {
        let durations = [
            ("connect", self.connect),
            ("rtt", self.rtt),
            ("first_byte", self.first_byte),
            ("wakeup_lag", self.wakeup_lag),
        ];
        let known = durations.iter().filter_map(|(name, time)| {
            // Cut off as in the log line, so that the two are the same number.
            let micros = time.as_ref()?.as_micros();
            Some(format!("{name};dur={}.{:03}", micros / 1000, micros % 1000))
        });
        let retransmits = self.retransmits;
        let retransmits = retransmits.map(|count| format!("retransmits;desc=\"{count}\""));
        known.chain(retransmits).collect::<Vec<_>>().join(", ")
    }
}

/// When a request's first byte left: not before, and not after. Nanoseconds of [`super::now_ns`], looked at around the
/// write.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// Before the write.
    pub before_ns: u64,
    /// After it.
    pub after_ns: u64,
}

/// How far a first byte may be off to be told at all, besides one part in a hundred of itself.
const TOLERANCE_NS: u64 = 50_000;

impl Sent {
    /// From the middle of what is possible to `arrived_ns`. Unknown if the request may have left so much earlier or later
    /// that this would not be true: the writer was not scheduled, or had to wait for the socket.
    fn until(self, arrived_ns: u64) -> Option<u64> {
        // What has been answered has left.
        let possible = self.after_ns.min(arrived_ns).checked_sub(self.before_ns)?;
        let elapsed = arrived_ns - self.before_ns - possible / 2;
        (possible / 2 <= TOLERANCE_NS + elapsed / 100).then_some(elapsed)
    }
}

/// When the packet with a certain byte came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// At this time, and the byte could be read from then on.
    InOrder(u64),
    /// At this time, but something before it was missing still.
    Early(u64),
    /// Not among the packets remembered; more have come than that.
    Beyond,
    /// It has not come, or nobody looked.
    Unknown,
}

/// Reads a record; the caller has compared the cookie.
pub(super) fn read(
    record: &FlowRecord,
    sent: Option<Sent>,
    arrival: &Arrival,
    read_ns: u64,
) -> Timeline {
    let known = |time: u64| (time != 0).then_some(time);
    let (arrived, readable) = match *arrival {
        Arrival::InOrder(at) => (Some(at), Some(at)),
        Arrival::Early(at) => (Some(at), None),
        Arrival::Beyond | Arrival::Unknown => (None, None),
    };
    let connect = record.connect_ns.load(Relaxed);
    let followed = connect != 0 || record.connect_start_ns.load(Relaxed) != 0;
    let retransmits = record.retransmits.load(Relaxed);
    let before = record.retransmits_before.load(Relaxed);
    Timeline {
        connect: known(connect).map(Duration::from_nanos),
        rtt: known(u64::from(record.srtt_us.load(Relaxed))).map(Duration::from_micros),
        first_byte: arrived
            .and_then(|at| sent?.until(at))
            .map(Duration::from_nanos),
        wakeup_lag: readable
            .and_then(|at| read_ns.checked_sub(at))
            .map(Duration::from_nanos),
        retransmits: followed.then(|| retransmits.wrapping_sub(before)),
    }
}

/// Looks for the packet that carried byte number `offset` of the connection.
///
/// Not the first packet that came: TLS sends records of its own, such as session tickets, that are no response.
#[expect(
    clippy::cast_possible_truncation,
    reason = "places are compared by their low 32 bits, as TCP does"
)]
pub(super) fn arrival(record: &FlowRecord, offset: u64) -> Arrival {
    let offset = offset as u32;
    let arrived = record.arrived.load(Relaxed) as usize;
    let arrivals = record.arrivals.get(..arrived).unwrap_or(&record.arrivals);
    let carries = |arrival: &proxy_common::Arrival| {
        let (start, end) = (arrival.start.load(Relaxed), arrival.end.load(Relaxed));
        offset.wrapping_sub(start) < end.wrapping_sub(start)
    };
    let Some(found) = arrivals.iter().position(carries) else {
        let full = arrivals.len() == record.arrivals.len();
        return if full {
            Arrival::Beyond
        } else {
            Arrival::Unknown
        };
    };
    let at = arrivals.get(found).map(|packet| packet.at_ns.load(Relaxed));
    match at {
        Some(at) if is_in_order(arrivals, record.holes.load(Relaxed), found) => {
            Arrival::InOrder(at)
        }
        Some(at) => Arrival::Early(at),
        None => Arrival::Unknown,
    }
}

/// Whether a packet could be read when it came: nothing was missing before it, or only what another packet had
/// brought that the socket had not got round to taking in.
fn is_in_order(arrivals: &[proxy_common::Arrival], holes: u16, index: usize) -> bool {
    let mut index = index;
    while holes >> index & 1 == 1 {
        let Some((packet, earlier)) = arrivals.get(..=index).and_then(<[_]>::split_last) else {
            return false;
        };
        let start = packet.start.load(Relaxed);
        let before = earlier
            .iter()
            .position(|other| other.end.load(Relaxed) == start);
        match before {
            Some(before) => index = before,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests;
