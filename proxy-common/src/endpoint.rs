//! What the connections to an endpoint of upstream's have met, one record for each endpoint.

use crate::{Word, WordLong};

/// Endpoints that have a record; a power of two. 16 KiB.
pub const ENDPOINT_RECORDS: u32 = 256;

/// [`crate::FlowRecord::endpoint`]: what the connection meets is kept for no endpoint.
pub const NO_ENDPOINT: u16 = u16::MAX;

/// An address and port that connections go to. Connections on several CPUs write to it: sums are added to atomically; of
/// the others the last writer's stands. One cache line, so that no two endpoints share one.
#[repr(C)]
#[derive(Debug, Default)]
pub struct EndpointRecord {
    /// When it last acknowledged something, as far as round trips were measured by it; 0 if never. Up to a tick too early
    /// while nothing is unanswered. Both programs.
    pub acked_ns: WordLong,
    /// When a segment was last sent again; 0 if never. `socket_timing`.
    pub lost_ns: WordLong,
    /// Connections that were established. `socket_timing`.
    pub connects: Word,
    /// Connections that count as [`crate::Figure::ConnectFailures`]. `socket_timing`.
    pub connect_failures: Word,
    /// Established connections the peer has reset. `socket_timing`.
    pub resets: Word,
    /// Segments sent again, SYNs included. `socket_timing`.
    pub retransmits: Word,
    /// Segments sent again since it last acknowledged anything new. Both programs.
    pub unanswered: Word,
    /// The latest smoothed round trip in microseconds, 0 while unknown. `socket_timing`.
    pub srtt_us: Word,
    /// Nothing; fills the record up to a whole cache line.
    pub unused: [Word; 6],
}

const _: () = assert!(size_of::<EndpointRecord>() == 64);
