//! What the path to an endpoint was seen to carry, and with how much a connection over it begins.

use crate::{Word, WordLong};

/// Endpoints whose paths are remembered.
pub const ENDPOINTS: u32 = 256;

/// What a connection may send at once unless it is known better, in segments: RFC 6928, and `TCP_INIT_CWND` in
/// include/net/tcp.h.
pub const DEFAULT_WINDOW: u32 = 10;

/// [`WindowSettings::start`]: half of what the path was seen to carry.
pub const START_AUTO: u32 = u32::MAX;
/// [`WindowSettings::start`]: the system's default.
pub const START_OFF: u32 = 0;

/// How long what a path has carried is believed, and how long a loss is remembered at most: ten minutes.
pub const REMEMBERED_NS: u64 = 600 * NANOS;
/// For how long connections begin with the system's default after a loss; doubled with each.
const FIRST_HOLD_S: u32 = 10;
/// The longest of those times.
const LONGEST_HOLD_S: u32 = 600;
/// Losses closer to each other than this are one.
pub const LOSS_EVENT_NS: u64 = NANOS;

/// A second.
const NANOS: u64 = 1_000_000_000;

/// Bytes of a congestion control's name, the zero at its end included: `TCP_CA_NAME_MAX` in include/net/tcp.h.
pub const CONGESTION_NAME: usize = 16;

/// A congestion control's name, with zeros behind it.
pub type CongestionName = [u8; CONGESTION_NAME];

/// What `upstream_window` does. Written by the proxy before the program is attached.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowSettings {
    /// Segments a connection begins with, [`START_AUTO`] or [`START_OFF`].
    pub start: u32,
    /// The most it begins with, in bytes.
    pub ceiling: u32,
    /// Whether all connections to upstream get the congestion control named at [`NAME_USUAL`]; 0 or 1.
    pub choose: u32,
    /// Whether a connection over a path that loses nothing changes to that named at [`NAME_STEADY`], and back to the usual
    /// one after a loss; 0 or 1.
    pub keep: u32,
}

const _: () = assert!(size_of::<WindowSettings>() == 16);

/// Congestion controls that have a place in the table of names.
pub const NAMES: u32 = 2;
/// That which keeps its window when idle.
pub const NAME_STEADY: u32 = 0;
/// That of all others: the one somebody has chosen, or the system's.
pub const NAME_USUAL: u32 = 1;

/// The path to an endpoint. Connections on several CPUs write to it without a lock: the worst that comes of it is that
/// one of two observations at the same moment is lost.
#[repr(C)]
#[derive(Debug, Default)]
pub struct PathRecord {
    /// When half of `carried` or more was last carried; 0 while nothing is known.
    pub seen_ns: WordLong,
    /// When a segment was last sent again; 0 if never.
    pub lost_ns: WordLong,
    /// The most bytes that were acknowledged within a quarter of a round trip, without a loss.
    pub carried: Word,
    /// The shortest round trip of the connection that carried them, in microseconds.
    pub rtt_us: Word,
    /// For how many seconds after `lost_ns` connections begin with the system's default.
    pub hold_s: Word,
    /// Bytes the last connection began with.
    pub started: Word,
}

const _: () = assert!(size_of::<PathRecord>() == 32);

/// Whether connections over a path may rely on what it has carried: something is known, not too old, and no loss has put
/// it on hold. For the kernel, and for whoever shows it.
#[inline(always)]
pub const fn is_steady(seen_ns: u64, lost_ns: u64, hold_s: u32, now_ns: u64) -> bool {
    let known = seen_ns != 0 && now_ns.saturating_sub(seen_ns) < REMEMBERED_NS;
    let held = lost_ns != 0 && now_ns.saturating_sub(lost_ns) < hold_s as u64 * NANOS;
    known && !held
}

/// Whether two round-trip times are of one path: neither is more than twice the other.
#[inline(always)]
pub const fn is_same_path(one_us: u32, other_us: u32) -> bool {
    one_us as u64 <= 2 * other_us as u64 && other_us as u64 <= 2 * one_us as u64
}

/// For how long the system's default holds after a loss at `now_ns`, in seconds.
#[inline(always)]
pub const fn next_hold(lost_ns: u64, hold_s: u32, now_ns: u64) -> u32 {
    if lost_ns == 0 || now_ns.saturating_sub(lost_ns) > REMEMBERED_NS {
        return FIRST_HOLD_S;
    }
    let doubled = hold_s.saturating_mul(2);
    if doubled > LONGEST_HOLD_S {
        LONGEST_HOLD_S
    } else if doubled < FIRST_HOLD_S {
        FIRST_HOLD_S
    } else {
        doubled
    }
}

#[cfg(feature = "user")]
mod pod {
    #![expect(unsafe_code, reason = "aya's marker for what may be copied into a map")]

    // SAFETY: `repr(C)`, integers only, without padding (the size is asserted above); any bytes are a value.
    unsafe impl aya::Pod for super::WindowSettings {}
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = NANOS;

    #[test]
    fn a_path_is_steady_while_its_memory_is_fresh() {
        assert!(!is_steady(0, 0, 0, SECOND));
        assert!(is_steady(SECOND, 0, 0, 2 * SECOND));
        assert!(!is_steady(SECOND, 0, 0, SECOND + REMEMBERED_NS));
    }

    #[test]
    fn a_loss_holds_it_for_a_while() {
        assert!(!is_steady(SECOND, 5 * SECOND, 10, 6 * SECOND));
        assert!(is_steady(SECOND, 5 * SECOND, 10, 15 * SECOND));
    }

    #[test]
    fn holds_double_up_to_a_limit_and_begin_anew_after_quiet() {
        assert_eq!(next_hold(0, 0, SECOND), FIRST_HOLD_S);
        assert_eq!(next_hold(SECOND, 10, 2 * SECOND), 20);
        assert_eq!(next_hold(SECOND, 400, 2 * SECOND), LONGEST_HOLD_S);
        assert_eq!(
            next_hold(SECOND, 400, 2 * SECOND + REMEMBERED_NS),
            FIRST_HOLD_S
        );
    }

    #[test]
    fn a_round_trip_twice_as_long_is_another_path() {
        assert!(is_same_path(30_000, 60_000) && is_same_path(60_000, 30_000));
        assert!(!is_same_path(30_000, 60_001) && !is_same_path(60_001, 30_000));
        assert!(!is_same_path(0, 1));
    }
}
