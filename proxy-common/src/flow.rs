//! Records of single connections, in memory the kernel and the proxy share.
//!
//! A record's place follows from the socket's cookie, so nobody has to search and a record of a dead socket is
//! simply overwritten. Whoever reads compares the cookie: another one means that nothing is known.

/// Records for connections to upstream; a power of two. 2 MiB.
pub const FLOW_RECORDS: u32 = 1 << 14;

/// Records for connections that wait to be accepted; a power of two. 256 KiB.
pub const ACCEPT_RECORDS: u32 = 1 << 14;

/// Packets remembered of each response. Those before the response proper, such as session tickets, count.
pub const ARRIVALS: usize = 4;

/// [`FlowRecord::state`]: the socket is closed; its figures stay until the record is used again.
pub const CLOSED: u32 = 1;

/// [`FlowRecord::path`]: nobody wants to know what it carries.
pub const NO_PATH: u16 = u16::MAX;

/// 32 bits that the other side may change at any time.
#[cfg(not(feature = "user"))]
pub type Word = u32;
/// 32 bits that the other side may change at any time.
#[cfg(feature = "user")]
pub type Word = core::sync::atomic::AtomicU32;

/// 16 bits that the other side may change at any time.
#[cfg(not(feature = "user"))]
pub type WordShort = u16;
/// 16 bits that the other side may change at any time.
#[cfg(feature = "user")]
pub type WordShort = core::sync::atomic::AtomicU16;

/// 64 bits that the other side may change at any time.
#[cfg(not(feature = "user"))]
pub type WordLong = u64;
/// 64 bits that the other side may change at any time.
#[cfg(feature = "user")]
pub type WordLong = core::sync::atomic::AtomicU64;

/// A connection to upstream. Zeroed by the proxy when it registers the socket; each field says who writes it then.
///
/// What a request usually needs fills the first cache line, the first packet of its response included: a response arrives
/// on whatever CPU the network chose, so each line the proxy reads after it has to come from there.
#[repr(C)]
#[derive(Debug, Default)]
pub struct FlowRecord {
    /// The socket; written last. The proxy.
    pub cookie: WordLong,
    /// Number of the request the connection carries, 0 before the first. The proxy.
    pub request: Word,
    /// Smoothed round-trip time in microseconds, 0 while unknown. Both programs.
    pub srtt_us: Word,
    /// Segments sent again since the connection began. `socket_timing`.
    pub retransmits: Word,
    /// `retransmits` when the request began. The proxy.
    pub retransmits_before: Word,
    /// How many of `arrivals` are filled. `payload_timing`; the proxy empties them for a request.
    pub arrived: WordShort,
    /// A bit for each of `arrivals`: bytes before it were missing when it came. `payload_timing`.
    pub holes: WordShort,
    /// Where the kernel adds up. The proxy.
    pub slot: WordShort,
    /// Whose path the connection takes, by the number of its [`crate::PathRecord`]; [`NO_PATH`] where none is
    /// remembered. The proxy.
    pub path: WordShort,
    /// How long connecting took, 0 while unknown. `socket_timing`.
    pub connect_ns: WordLong,
    /// Whose record what the connection meets is added to, by its number ([`crate::EndpointRecord`]);
    /// [`crate::NO_ENDPOINT`] for nobody's. The proxy.
    pub endpoint: WordShort,
    /// Whether a segment with RST and without ACK has come; 0 or 1. That is how a peer answers that does not have the
    /// connection (RFC 9293 section 3.5.2). `payload_timing`.
    pub reset_plain: WordShort,
    /// Whether a segment with RST and ACK has come; 0 or 1. That is how a peer ends a connection it has. A field of its
    /// own, as the one before: each is written with one value only, so no writer on another CPU can undo it.
    /// `payload_timing`.
    pub reset_acked: WordShort,
    /// Nothing.
    pub unused: WordShort,
    /// The first packets after the request, in the order of their arrival. `payload_timing`.
    pub arrivals: [Arrival; ARRIVALS],
    /// When the first SYN was about to leave. `socket_timing`.
    pub connect_start_ns: WordLong,
    /// [`CLOSED`], or 0. `socket_timing`.
    pub state: Word,
    /// How much the peer had acknowledged when a segment was last sent again, bytes in order and segments out of order in
    /// one sum, which is only compared; 0 after a round trip was measured. `socket_timing`.
    pub answered: Word,
}

const _: () = assert!(size_of::<FlowRecord>() == 128);
const _: () = assert!(core::mem::offset_of!(FlowRecord, arrivals) + size_of::<Arrival>() == 64);

/// A packet of a response.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Arrival {
    /// When it came.
    pub at_ns: WordLong,
    /// Its first byte, counted from 0 at the connection's first; the low 32 bits.
    pub start: Word,
    /// The byte after its last.
    pub end: Word,
}

const _: () = assert!(size_of::<Arrival>() == 16);

/// A connection that was established by a peer.
#[repr(C)]
#[derive(Debug, Default)]
pub struct AcceptRecord {
    /// The socket; 0 after the proxy has read the record.
    pub cookie: WordLong,
    /// When the handshake was complete.
    pub established_ns: WordLong,
}

const _: () = assert!(size_of::<AcceptRecord>() == 16);

/// The place of a connection to upstream.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the low bits are what is wanted"
)]
pub const fn flow_index(cookie: u64) -> u32 {
    cookie as u32 & (FLOW_RECORDS - 1)
}

/// The place of an accepted connection.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the low bits are what is wanted"
)]
pub const fn accept_index(cookie: u64) -> u32 {
    cookie as u32 & (ACCEPT_RECORDS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_stay_within_their_tables() {
        assert_eq!(flow_index(u64::MAX), FLOW_RECORDS - 1);
        assert_eq!(flow_index(u64::from(FLOW_RECORDS)), 0);
        assert_eq!(accept_index(u64::MAX), ACCEPT_RECORDS - 1);
    }
}
