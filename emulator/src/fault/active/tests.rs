//! Tests of `active.rs`.

use std::time::Duration;

use super::*;

fn none() -> ActiveFaults {
    ActiveFaults::new(7)
}

#[test]
fn counted_faults_queue_up_in_order() {
    let faults = none();
    faults.set(Fault::status(503), FaultScope::Next(2), None);
    faults.set(Fault::Reset { after: None }, FaultScope::Next(1), None);
    let taken: Vec<_> = (0..4).map(|_| faults.take(Stage::Request)).collect();
    let reset = Some(Fault::Reset { after: None });
    assert_eq!(
        taken,
        [
            Some(Fault::status(503)),
            Some(Fault::status(503)),
            reset,
            None
        ]
    );
}

#[test]
fn a_stage_sees_only_its_own_faults() {
    let faults = none();
    faults.set(Fault::ResetOnAccept, FaultScope::Always, None);
    assert_eq!(faults.take(Stage::Request), None);
    assert_eq!(faults.take(Stage::Accept), Some(Fault::ResetOnAccept));
    faults.clear();
    assert_eq!(faults.take(Stage::Accept), None);
}

#[test]
fn timed_faults_end() {
    let faults = none();
    faults.set(Fault::status(500), FaultScope::Until(Duration::ZERO), None);
    assert_eq!(faults.take(Stage::Request), None);
    assert!(faults.list().is_empty());
}

#[test]
fn a_fault_of_one_key_leaves_the_others_alone() {
    let faults = none();
    faults.set(Fault::status(429), FaultScope::Next(2), Some(0));
    faults.set(Fault::status(503), FaultScope::Next(1), None);
    let take = |key| faults.take_with_key(Stage::Request, key);
    assert_eq!(take(Some(0)), Some(Fault::status(429)));
    assert_eq!(take(Some(1)), Some(Fault::status(503)));
    assert_eq!([take(Some(1)), take(None)], [None, None]);
    assert_eq!(faults.list(), ["status;code=429;key=0"]);
    assert_eq!(take(Some(0)), Some(Fault::status(429)));
    assert_eq!(take(Some(0)), None);
}

#[test]
fn idle_times_are_drawn_from_the_whole_range_and_by_the_seed() {
    let ms = Duration::from_millis;
    let range = ms(10)..=ms(20);
    let draw = |seed| {
        let faults = ActiveFaults::new(seed);
        (0..1000).map(|_| faults.draw(&range)).collect::<Vec<_>>()
    };
    let drawn = draw(1);
    assert!(drawn.iter().all(|time| range.contains(time)));
    assert!(drawn.iter().any(|time| *time < ms(11)) && drawn.iter().any(|time| *time > ms(19)));
    assert_eq!(drawn, draw(1));
    assert_ne!(drawn, draw(2));
    assert_eq!(none().draw(&(ms(3)..=ms(3))), ms(3));
}
