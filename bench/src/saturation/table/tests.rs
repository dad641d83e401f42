//! Tests of `table.rs`.

use super::*;
use crate::cpu::turn_of;

/// A turn of so many requests a second, in which the peer and the rig used these shares of their CPUs.
fn turn(target: &str, place: (usize, usize), rate: f64, peer: f64, rig: f64) -> Turn {
    Turn {
        p99_us: place.0 as f64 * 10.0,
        peer_utilisation: peer,
        rig_utilisation: rig,
        ..turn_of(target, place, rate)
    }
}

fn report(turns: Vec<Turn>) -> Report {
    Report {
        facts: Facts::gather(None),
        missing: Vec::new(),
        rounds: 1,
        seconds: 1.0,
        connections: vec![1, 4, 16],
        ceiling: Vec::new(),
        turns,
    }
}

#[test]
fn the_most_is_the_greatest_median_and_has_the_p99_of_its_place() {
    let report = report(vec![
        turn("nginx", (1, 0), 10.0, 0.5, 0.1),
        turn("nginx", (4, 0), 29.0, 1.0, 0.1),
        turn("nginx", (4, 1), 31.0, 1.0, 0.1),
        turn("nginx", (16, 0), 25.0, 1.0, 0.1),
        turn("direct", (4, 0), 100.0, 0.0, 1.0),
        turn("direct", (4, 1), 100.0, 0.0, 1.0),
    ]);
    let most = report.most("nginx").unwrap();
    assert_eq!(
        (most.connections, most.requests_per_second.median),
        (4, 30.0)
    );
    assert_eq!((most.p99_us, most.held_up), (40.0, false));
    assert!(report.most("haproxy").is_none());
}

#[test]
fn who_is_as_fast_as_the_rig_is_marked_unless_its_own_cpu_is_full() {
    let held_up = |rate, peer, rig| {
        let report = report(vec![
            turn("direct", (4, 0), 100.0, 0.0, 1.0),
            turn("holysheep", (4, 0), rate, peer, rig),
        ]);
        assert!(!report.most("direct").unwrap().held_up, "the rig itself");
        report.most("holysheep").unwrap().held_up
    };
    assert!(held_up(91.0, 0.8, 0.8), "within 10 % of direct");
    assert!(held_up(50.0, 0.8, 0.97), "the rig's CPU is full");
    assert!(!held_up(89.0, 0.8, 0.8));
    assert!(!held_up(120.0, 0.97, 0.8), "the peer's own CPU is full");
}

#[test]
fn ratios_say_where_the_product_carries_fewer() {
    let report = report(vec![
        turn("nginx", (1, 0), 100.0, 1.0, 0.5),
        turn("holysheep", (1, 0), 90.0, 1.0, 0.5),
        turn("nginx", (4, 0), 100.0, 1.0, 0.5),
        turn("holysheep", (4, 0), 120.0, 1.0, 0.5),
    ]);
    let text = report.ratios();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[1].contains("0.900 – 0.900 – 0.900") && lines[1].ends_with("fewer"));
    assert!(lines[2].ends_with("1.200 – 1.200 – 1.200"));
}

#[test]
fn a_ratio_says_that_something_else_used_a_peers_cpu() {
    let mut disturbed = turn("nginx", (1, 0), 50.0, 0.5, 0.4);
    disturbed.peer_cpu_busy = 1.0;
    disturbed.rig_cpu_busy = 0.4;
    let mut own = turn("holysheep", (1, 0), 100.0, 1.0, 0.5);
    (own.peer_cpu_busy, own.rig_cpu_busy) = (1.0, 0.5);
    let report = report(vec![disturbed, own]);
    assert!(report.ratios().ends_with("2.000   disturbed\n"));
}
