//! What the kernel adds up: one record for each upstream and CPU, and what was lost.

use crate::Histogram;

/// Slots for upstreams that have figures of their own. One more, after the last in use, takes all others.
pub const SLOTS: u32 = 512;

/// Words of the bitmap of listening ports.
pub const PORT_WORDS: u32 = 1024;

/// What the sockets of one upstream experienced, on one CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotStats {
    /// From the first SYN to the established connection.
    pub connect: Histogram,
    /// Smoothed round-trip times, one for each measurement of the kernel's.
    pub rtt: Histogram,
    /// Segments that were sent again.
    pub retransmits: u64,
    /// Connections that ended before the peer had sent a byte, and not by an orderly close: refused, timed out, reset.
    pub connect_failures: u64,
}

const _: () = assert!(size_of::<SlotStats>() == 416);

impl SlotStats {
    /// Nothing counted.
    pub const EMPTY: Self = Self {
        connect: Histogram::EMPTY,
        rtt: Histogram::EMPTY,
        retransmits: 0,
        connect_failures: 0,
    };
}

/// What could not be kept, on one CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Accepted connections whose record was overwritten before anybody had read it.
    pub accepts_overwritten: u64,
}

const _: () = assert!(size_of::<Counters>() == 8);

/// Where a port stands in the bitmap: word and bit.
#[inline(always)]
pub const fn port_bit(port: u16) -> (u32, u64) {
    ((port >> 6) as u32, 1 << (port & 63))
}

#[cfg(feature = "user")]
mod pod {
    #![expect(
        unsafe_code,
        reason = "aya's marker for what may be copied out of a map"
    )]
    use super::{Counters, SlotStats};

    // SAFETY: `repr(C)`, integers only, without padding (the sizes are asserted above); any bytes are a value.
    unsafe impl aya::Pod for SlotStats {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Counters {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_port_has_a_bit_of_its_own() {
        assert_eq!(port_bit(0), (0, 1));
        assert_eq!(port_bit(63), (0, 1 << 63));
        assert_eq!(port_bit(64), (1, 1));
        assert_eq!(port_bit(u16::MAX), (PORT_WORDS - 1, 1 << 63));
    }
}
