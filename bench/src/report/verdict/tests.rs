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

#[test]
fn h2_is_compared_on_the_same_side_and_with_the_product_without() {
    assert!(is_comparable("holysheep-h2", "nginx-h2"));
    assert!(is_comparable("holysheep-h2", "holysheep"));
    assert!(is_comparable("holysheep-h2-up", "haproxy-h2-up"));
    assert!(!is_comparable("holysheep-h2", "haproxy-h2-up"));
    assert!(!is_comparable("holysheep-h2", "nginx"));
    assert!(!is_comparable("holysheep", "nginx-h2"));
    assert!(is_comparable("holysheep", "nginx"));
    assert!(!is_comparable("holysheep-tls", "holysheep-keys"));
}
