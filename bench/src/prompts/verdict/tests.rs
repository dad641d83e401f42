//! Tests of `verdict.rs`.

use std::time::Duration;

use super::*;
use crate::facts::Facts;
use crate::prompts::cell::sample;

const IDLE: Situation = Situation::Idle(Duration::from_secs(1));

/// A report with cells of one path and of 40 KB: contender, situation, milliseconds.
fn report(path: &'static str, cells: &[(&str, Situation, f64)]) -> Report {
    let settings = crate::prompts::Settings::default();
    let samples = cells.iter().map(|&(contender, situation, took)| {
        let mut sample = sample(contender, situation, took);
        sample.path = path;
        sample
    });
    Report {
        facts: Facts::gather(None),
        paths: vec![crate::prompts::Emulated::named(path, &settings).unwrap()],
        contenders: Vec::new(),
        sizes: vec![Size(40_000)],
        situations: vec![Situation::Fresh, Situation::Cold, IDLE],
        missing: Vec::new(),
        repeated: 0,
        overruns: 0,
        samples: samples.collect(),
    }
}

#[test]
fn connections_opened_ahead_are_counted() {
    let mut report = report(
        "30ms",
        &[
            ("holysheep", Situation::Cold, 31.0),
            ("holysheep", Situation::Cold, 91.0),
            ("holysheep", IDLE, 31.0),
        ],
    );
    report.contenders = vec!["holysheep".to_owned()];
    report.samples[1].age_ms = 30.0;
    assert!(ahead(&report).contains("holysheep      1 of 2"));
}

#[test]
fn targets_are_met_or_missed_or_not_measured() {
    let text = targets(&report("30ms", &[("holysheep", IDLE, 35.0)]));
    assert!(
        text.contains("40 KB: at most 36 ms: 35.0 ms: MET"),
        "{text}"
    );
    assert!(
        text.contains("400 KB: at most 50 ms: not measured"),
        "{text}"
    );
    let text = targets(&report("30ms", &[("holysheep", IDLE, 36.1)]));
    assert!(text.contains("36.1 ms: MISSED"), "{text}");
}

#[test]
fn slower_than_direct_is_listed_and_so_are_the_extremes() {
    let text = against_direct(&report(
        "30ms",
        &[
            ("holysheep", IDLE, 32.0),
            ("direct", IDLE, 31.0),
            ("holysheep", Situation::Cold, 70.0),
            ("direct", Situation::Fresh, 92.0),
        ],
    ));
    assert!(text.contains("slower in 1 of 2 cells"), "{text}");
    let line = "30ms, idle 1 s, 40 KB: 32.0 ms, direct 31.0 ms, 1.0 more";
    assert!(text.contains(line), "{text}");
    assert!(text.contains("most above direct: +1.0 ms"), "{text}");
    assert!(
        text.contains("most below direct: -22.0 ms (30ms, cold, 40 KB)"),
        "{text}"
    );
}

#[test]
fn the_system_is_the_measure_where_segments_are_lost() {
    let cells = [("holysheep", IDLE, 40.0), (SYSTEM_WINDOW, IDLE, 50.0)];
    let text = against_system(&report("loss", &cells));
    assert!(
        text.contains("p50: slower in 0 and faster in 1 of 1 cells"),
        "{text}"
    );
    assert!(
        text.contains("2 segments sent again, holysheep-off 2"),
        "{text}"
    );
    let text = against_system(&report("30ms", &cells));
    assert!(text.contains("not measured"), "{text}");
}

#[test]
fn a_few_more_segments_may_be_sent_again() {
    assert!(again(20, 10).ends_with("20: MET"));
    assert!(again(21, 10).ends_with("20: MISSED"));
    assert!(again(5, 0).ends_with("5: MET"));
}
