//! Tests of `cpu.rs`.

use super::*;

#[test]
fn order_changes_first_place_and_neighbours() {
    let all = [1, 2, 3];
    assert_eq!(order(&all, 0), [&1, &2, &3]);
    assert_eq!(order(&all, 1), [&1, &3, &2]);
    assert_eq!(order(&all, 2), [&3, &1, &2]);
    assert_eq!(order(&all, 3), [&3, &2, &1]);
    assert!(order::<u8>(&[], 1).is_empty());
}

#[test]
fn system_calls_are_counted_at_every_number_of_connections() {
    let kinds = [Kind::Direct, Kind::Nginx, Kind::HaProxy, Kind::LiteLlm];
    let expected = [
        (4, &Kind::Nginx),
        (4, &Kind::HaProxy),
        (32, &Kind::Nginx),
        (32, &Kind::HaProxy),
    ];
    assert_eq!(counts(&[4, 32], &kinds), expected);
}
