//! Tests of `verdict.rs`.

use super::*;
use crate::latency::report::{filled, turn};

#[test]
fn a_ratio_that_reaches_across_one_is_no_difference() {
    let mut report = filled(Bench::Table);
    report.turns = vec![
        turn("direct", 0, 40.0),
        turn("direct", 1, 40.0),
        turn("holysheep", 0, 39.9),
        turn("holysheep", 1, 40.1),
    ];
    let text = against_direct(&report);
    assert_eq!(text.matches("no difference seen").count(), FIGURES.len());
    assert!(text.contains("-100 – 0 – 100"), "{text}");
    assert!(text.contains("0.9975 – 1.0000 – 1.0025"), "{text}");
}

#[test]
fn a_proxy_that_sleeps_misses_its_targets() {
    let mut report = filled(Bench::Table);
    report.turns = vec![turn("direct", 0, 48.4), turn("holysheep", 0, 52.4)];
    let text = targets(&report);
    assert_eq!(
        text.matches(": MISSED").count(),
        FIGURES.len() + 1,
        "{text}"
    );
    report.turns = vec![turn("direct", 0, 48.4), turn("holysheep", 0, 48.6)];
    let text = targets(&report);
    assert!(!text.contains("MISSED"), "{text}");
    assert_eq!(text.matches(": MET").count(), FIGURES.len() + 1, "{text}");
}

#[test]
fn on_loopback_what_is_added_counts_and_so_does_nginx() {
    let mut report = filled(Bench::Latency);
    report.contenders.push("nginx".to_owned());
    let direct = turn("direct", 0, 0.1);
    report.turns = vec![
        direct.clone(),
        turn("holysheep", 0, 0.15),
        turn("nginx", 0, 0.2),
    ];
    let text = targets(&report);
    assert!(
        text.contains("adds ≤ 60 µs") && !text.contains("MISSED"),
        "{text}"
    );
    report.turns = vec![direct, turn("holysheep", 0, 0.4), turn("nginx", 0, 0.2)];
    let text = targets(&report);
    assert_eq!(text.matches("MISSED").count(), 2 + FIGURES.len(), "{text}");
}

#[test]
fn what_was_not_measured_is_said() {
    let mut report = filled(Bench::Table);
    report.turns.clear();
    assert!(targets(&report).contains("not measured"));
    assert!(against_direct(&report).contains("not measured"));
}
