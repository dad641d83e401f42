//! One amount split in proportion to others, so that the parts make the whole.

/// Splits `whole`, in its smallest units, in proportion to `weights`: each part is its exact share rounded up or down, the
/// largest remainders up, the first of equal ones. `None` if there is nothing to go by.
pub fn by_weight(whole: u64, weights: &[u128]) -> Option<Vec<u64>> {
    // Scaled down until products fit: a part in 2^60 decides nothing.
    let mut weights = weights.to_vec();
    let total = loop {
        match sum_of(&weights) {
            Some(0) => return None,
            Some(total) if total.checked_mul(u128::from(u64::MAX)).is_some() => break total,
            _ => weights.iter_mut().for_each(|weight| *weight >>= 1),
        }
    };
    let shares = weights.iter().map(|weight| {
        let product = u128::from(whole) * weight;
        (product / total, product % total)
    });
    let shares: Vec<_> = shares.collect();
    let mut parts: Vec<u64> = shares
        .iter()
        .map(|(share, _)| u64::try_from(*share).unwrap_or(u64::MAX))
        .collect();
    let given: u64 = parts.iter().sum();
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(shares.get(*index).map(|share| share.1)));
    let left = usize::try_from(whole - given).unwrap_or(usize::MAX);
    for index in order.into_iter().take(left) {
        if let Some(part) = parts.get_mut(index) {
            *part += 1;
        }
    }
    Some(parts)
}

fn sum_of(weights: &[u128]) -> Option<u128> {
    let mut weights = weights.iter();
    weights.try_fold(0_u128, |sum, weight| sum.checked_add(*weight))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_remainders_are_rounded_up() {
        assert_eq!(by_weight(100, &[1, 1, 1]), Some(vec![34, 33, 33]));
        assert_eq!(by_weight(10, &[3, 3, 1]), Some(vec![4, 4, 2]));
        assert_eq!(by_weight(1, &[1, 2]), Some(vec![0, 1]));
        assert_eq!(by_weight(5, &[0, 7, 0]), Some(vec![0, 5, 0]));
        assert_eq!(by_weight(0, &[1, 2]), Some(vec![0, 0]));
        assert_eq!(by_weight(5, &[]), None);
        assert_eq!(by_weight(5, &[0, 0]), None);
    }

    #[test]
    fn parts_make_the_whole_and_are_never_a_unit_off() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..20_000 {
            let whole = random.u64(..) >> random.u32(0..64);
            let count = random.usize(1..20);
            let shift = random.u32(0..100);
            let weight = |_| u128::from(random.u64(..)) << shift >> 20;
            let weights: Vec<u128> = (0..count).map(weight).collect();
            let Some(parts) = by_weight(whole, &weights) else {
                assert!(weights.iter().all(|weight| *weight == 0));
                continue;
            };
            let sum: u128 = parts.iter().map(|part| u128::from(*part)).sum();
            assert_eq!(sum, u128::from(whole), "{weights:?}");
            let Some(total) = sum_of(&weights).filter(|total| *total < 1 << 64) else {
                continue;
            };
            for (part, weight) in parts.iter().zip(&weights) {
                let exact = u128::from(whole) * weight;
                let part = u128::from(*part) * total;
                assert!(part.abs_diff(exact) < total, "{whole} {weights:?}");
            }
        }
    }
}
