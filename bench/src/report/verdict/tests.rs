//! Tests of `verdict.rs`.

use super::*;

#[test]
fn judgement_goes_by_the_median() {
    let ratio = |min, median, max| Spread { min, median, max };
    assert_eq!(judgement(ratio(0.7, 0.8, 0.84), 0.85), "MET");
    assert_eq!(
        judgement(ratio(0.7, 0.8, 0.9), 0.85),
        "MET, but not in every round"
    );
    assert_eq!(judgement(ratio(0.9, 0.95, 1.0), 0.85), "MISSED");
    assert_eq!(
        judgement(ratio(0.8, 0.95, 1.0), 0.85),
        "MISSED, but not in every round"
    );
}
