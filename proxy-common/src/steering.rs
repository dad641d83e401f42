//! What `probe_steering` is told, and what it counts.

/// Slots of the table of listeners: the one for IPv4.
pub const LISTENER_IPV4: u32 = 0;
/// The one for IPv6.
pub const LISTENER_IPV6: u32 = 1;
/// How many there are.
pub const LISTENERS: u32 = 2;

/// Prefixes that can be sources of probes.
pub const SOURCES: u32 = 4096;

/// Bits in front of an IPv4 address in a [`SourceAddress`].
pub const IPV4_PREFIX_BITS: u32 = 96;

/// An IPv6 address in network order, or an IPv4 address mapped into one (RFC 4291 section 2.5.5.2), so that both are
/// found in one table.
pub type SourceAddress = [u8; 16];

/// What became of connections from sources of probes: numbers in the table of counters, one for each CPU.
///
/// Counted is each time the kernel looks for a listener: once for a connection, and again for a SYN that is sent again.
/// Numbers of their own, and not fields of one element: which field would be a computed place, and that the kernel lets no
/// program use that is loaded without `CAP_PERFMON`.
pub const STEERED_TO_PROBES: u32 = 0;
/// Left on the usual way: there is no listener for probes, or another program had chosen already.
pub const STEERED_NOT: u32 = 1;
/// How many counters there are.
pub const STEERED_COUNTERS: u32 = 2;
