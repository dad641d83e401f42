//! Histograms with powers of two as bounds.

/// Upper bound of the first bucket.
const FIRST_NANOS: u64 = 16_000;

/// Buckets: 23 with bounds of 16 µs to 67 s, and one for what took longer.
pub const BUCKETS: usize = 24;

/// Upper bounds, inclusive; the last bucket has none.
pub const BOUNDS_NANOS: [u64; BUCKETS - 1] = {
    let mut bounds = [0; BUCKETS - 1];
    let mut index = 0;
    while index < bounds.len() {
        bounds[index] = FIRST_NANOS << index;
        index += 1;
    }
    bounds
};

/// The bucket a duration belongs to. Bounds are inclusive, as Prometheus' `le` is: the bucket is that of the
/// logarithm rounded up.
#[inline(always)]
pub const fn bucket(nanos: u64) -> usize {
    // How many whole first buckets lie below; its length in bits is the logarithm.
    let below = nanos.saturating_sub(1) / FIRST_NANOS;
    let bits = (u64::BITS - below.leading_zeros()) as usize;
    if bits < BUCKETS { bits } else { BUCKETS - 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_powers_of_two_from_16_microseconds_to_67_seconds() {
        assert_eq!(BOUNDS_NANOS[0], 16_000);
        assert_eq!(BOUNDS_NANOS[1], 32_000);
        assert_eq!(BOUNDS_NANOS[BUCKETS - 2], 67_108_864_000);
    }

    #[test]
    fn a_duration_equal_to_a_bound_is_within_it() {
        for (index, bound) in BOUNDS_NANOS.into_iter().enumerate() {
            assert_eq!(bucket(bound - 1), index, "just below {bound}");
            assert_eq!(bucket(bound), index, "at {bound}");
            assert_eq!(bucket(bound + 1), index + 1, "just above {bound}");
        }
    }

    #[test]
    fn every_duration_has_a_bucket() {
        assert_eq!(bucket(0), 0);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }
}
