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

/// What became of connections from sources of probes, on one CPU.
///
/// Counted is each time the kernel looks for a listener: once for a connection, and again for a SYN that is sent again.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Steered {
    /// Given to the listener for probes.
    pub steered: u64,
    /// Left on the usual way: there is no listener for probes, or another program had chosen already.
    pub left: u64,
}

const _: () = assert!(size_of::<Steered>() == 16);

#[cfg(feature = "user")]
mod pod {
    #![expect(
        unsafe_code,
        reason = "aya's marker for what may be copied out of a map"
    )]
    use super::Steered;

    // SAFETY: `repr(C)`, integers only, without padding (the size is asserted above); any bytes are a value.
    unsafe impl aya::Pod for Steered {}
}
