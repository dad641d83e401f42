//! What the kernel adds up: cells in one array, those of an upstream beside each other; and what was lost.
//!
//! An element is as small as a cell because the kernel looks cells up by number. Computing a place within a larger
//! element is something it lets no program do that is loaded without `CAP_PERFMON`.

use crate::{BUCKETS, bucket};

/// Slots for upstreams that have figures of their own. One more, after the last in use, takes all others.
pub const SLOTS: u32 = 512;

/// Words of the bitmap of listening ports.
pub const PORT_WORDS: u32 = 1024;

/// A sum on one CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// How many.
    pub count: u64,
    /// How long together, if these are durations.
    pub nanos: u64,
}

const _: () = assert!(size_of::<Cell>() == 16);

/// What a cell counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// From the first SYN to the established connection; a duration of so many nanoseconds.
    Connect(u64),
    /// Smoothed round-trip time, one for each measurement of the kernel's; a duration of so many nanoseconds.
    Rtt(u64),
    /// Segments that were sent again.
    Retransmits,
    /// Connections that ended before the peer had sent a byte, and not by an orderly close: refused, timed out, reset.
    ConnectFailures,
    /// Connections that began with more than the system's default.
    WindowsStarted,
    /// Windows that were still open when a connection was used again after idling.
    WindowsKept,
    /// Windows that had to be opened anew.
    WindowsRestarted,
}

/// Cells of a histogram.
const HISTOGRAM: u32 = BUCKETS as u32;

/// Cells of a slot.
pub const CELLS: u32 = 2 * HISTOGRAM + 5;

impl Figure {
    /// The cell, counted from the first of its slot's. Durations have one for each bucket.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "there are 24 buckets")]
    pub const fn cell(self) -> u32 {
        match self {
            Self::Connect(nanos) => bucket(nanos) as u32,
            Self::Rtt(nanos) => HISTOGRAM + bucket(nanos) as u32,
            Self::Retransmits => 2 * HISTOGRAM,
            Self::ConnectFailures => 2 * HISTOGRAM + 1,
            Self::WindowsStarted => 2 * HISTOGRAM + 2,
            Self::WindowsKept => 2 * HISTOGRAM + 3,
            Self::WindowsRestarted => 2 * HISTOGRAM + 4,
        }
    }
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
    use super::{Cell, Counters};

    // SAFETY: `repr(C)`, integers only, without padding (the sizes are asserted above); any bytes are a value.
    unsafe impl aya::Pod for Cell {}
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

    #[test]
    fn figures_have_cells_of_their_own() {
        assert_eq!(Figure::Connect(0).cell(), 0);
        assert_eq!(Figure::Connect(u64::MAX).cell(), 23);
        assert_eq!(Figure::Rtt(0).cell(), 24);
        assert_eq!(Figure::Rtt(u64::MAX).cell(), 47);
        assert_eq!(Figure::Retransmits.cell(), 48);
        assert_eq!(Figure::ConnectFailures.cell(), 49);
        assert_eq!(Figure::WindowsRestarted.cell(), CELLS - 1);
    }
}
