//! Tests of `active.rs`.

use std::time::Duration;

use super::*;

fn status(status: u16) -> Fault {
    Fault::Status {
        status,
        retry_after: None,
    }
}

#[test]
fn counted_faults_queue_up_in_order() {
    let faults = ActiveFaults::default();
    faults.set(status(503), FaultScope::Next(2));
    faults.set(Fault::Reset { after: None }, FaultScope::Next(1));
    let taken: Vec<_> = (0..4).map(|_| faults.take(Stage::Request)).collect();
    let reset = Some(Fault::Reset { after: None });
    assert_eq!(taken, [Some(status(503)), Some(status(503)), reset, None]);
}

#[test]
fn a_stage_sees_only_its_own_faults() {
    let faults = ActiveFaults::default();
    faults.set(Fault::ResetOnAccept, FaultScope::Always);
    assert_eq!(faults.take(Stage::Request), None);
    assert_eq!(faults.take(Stage::Accept), Some(Fault::ResetOnAccept));
    faults.clear();
    assert_eq!(faults.take(Stage::Accept), None);
}

#[test]
fn timed_faults_end() {
    let faults = ActiveFaults::default();
    faults.set(status(500), FaultScope::Until(Duration::ZERO));
    assert_eq!(faults.take(Stage::Request), None);
    assert!(faults.list().is_empty());
}
