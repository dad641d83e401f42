//! Tests of `verdict.rs`.

use super::*;
use crate::facts::Facts;
use crate::streams::turn::{Delays, Level};

fn turn(contender: &str, round: usize, p99: f64) -> Turn {
    let later_us = Delays {
        p50: 40.0,
        p99,
        max: p99,
    };
    Turn {
        contender: contender.to_owned(),
        streams: 1,
        round,
        complete: 8,
        errors: 0,
        first_error: None,
        first_us: Delays::default(),
        later_us,
        later: 392,
        together: 0,
        peer_share: 0.1,
        rig_share: 0.1,
        foreign: 0.0,
        steal: 0.0,
    }
}

fn report(turns: Vec<Turn>) -> Report {
    Report {
        facts: Facts::gather(None),
        contenders: vec!["direct".to_owned(), "holysheep".to_owned()],
        missing: Vec::new(),
        rounds: 2,
        events: 50,
        pace_ms: 20.0,
        levels: vec![Level {
            streams: 1,
            slices: 8,
        }],
        turns,
    }
}

#[test]
fn differences_are_of_the_same_round() {
    let report = report(vec![
        turn("direct", 0, 100.0),
        turn("holysheep", 0, 180.0),
        turn("holysheep", 1, 260.0),
        turn("direct", 1, 160.0),
    ]);
    let text = added(&report);
    assert!(text.contains("other events p99  80 – 90 – 100\n"), "{text}");
    let said = "other events p50  0 – 0 – 0   no difference seen";
    assert!(text.contains(said), "{text}");
    assert!(target(&report).contains("80 – 90 – 100: MET\n"));
}

#[test]
fn a_target_is_missed_or_not_measured() {
    let over = report(vec![turn("direct", 0, 100.0), turn("holysheep", 0, 500.0)]);
    assert!(target(&over).contains("400 – 400 – 400: MISSED\n"));
    let mut broken = turn("holysheep", 0, 100.0);
    broken.errors = 1;
    let broken = report(vec![turn("direct", 0, 100.0), broken]);
    assert!(target(&broken).contains("not measured"));
    assert!(added(&broken).contains("not measured"));
}
