//! Tests of `flows.rs`.

use proxy_common::{FLOW_RECORDS, NO_ENDPOINT};

use super::*;

fn table() -> FlowTable {
    FlowTable::new(Mapped::anonymous(FLOW_RECORDS).unwrap(), 2)
}

#[test]
fn a_socket_is_known_from_registration_until_another_takes_its_record() {
    let table = table();
    let other = 5 + u64::from(FLOW_RECORDS);
    table.register(5, 1, 0, NO_ENDPOINT);
    assert!(table.known(5).is_some());
    assert!(!table.is_taken(5));
    assert!(table.is_taken(other));
    table.register(other, 0, 0, NO_ENDPOINT);
    assert!(table.known(5).is_none());
    assert_eq!((table.evicted(), table.occupied()), (1, 1));
    assert_eq!(table.connection(5), Timeline::default());
}

#[test]
fn the_record_of_a_closed_socket_is_free() {
    let table = table();
    table.register(5, 1, 0, NO_ENDPOINT);
    table.known(5).unwrap().state.store(CLOSED, Relaxed);
    let other = 5 + u64::from(FLOW_RECORDS);
    assert!(!table.is_taken(other));
    table.register(other, 0, 0, NO_ENDPOINT);
    assert_eq!((table.evicted(), table.occupied()), (0, 1));
    assert_eq!(table.known(other).unwrap().state.load(Relaxed), 0);
}

#[test]
fn upstreams_without_figures_of_their_own_share_the_last_slot() {
    let table = table();
    for (cookie, upstream, slot) in [(1, 0, 0), (2, 1, 1), (3, 2, 2), (4, usize::MAX, 2)] {
        table.register(cookie, upstream, 0, NO_ENDPOINT);
        assert_eq!(table.known(cookie).unwrap().slot.load(Relaxed), slot);
    }
}

#[test]
fn requests_are_numbered_and_their_retransmits_counted_from_there() {
    let table = table();
    table.register(5, 0, 0, NO_ENDPOINT);
    let record = table.known(5).unwrap();
    record.connect_start_ns.store(1, Relaxed);
    record.retransmits.store(3, Relaxed);
    table.begin(5);
    assert_eq!(record.request.load(Relaxed), 1);
    record.retransmits.store(4, Relaxed);
    assert_eq!(table.connection(5).retransmits, Some(1));
    record.request.store(u32::MAX, Relaxed);
    table.begin(5);
    assert_eq!(record.request.load(Relaxed), 1);
}

#[test]
fn a_forgotten_socket_is_unknown() {
    let table = table();
    table.register(5, 0, 0, NO_ENDPOINT);
    table.forget(5);
    assert!(table.known(5).is_none());
    assert!(table.known(0).is_none());
    assert_eq!(table.occupied(), 0);
}

#[test]
fn a_reset_without_ack_is_one_that_no_segment_contradicts() {
    let table = table();
    table.register(5, 0, 0, NO_ENDPOINT);
    assert!(!table.was_reset_without_ack(5));
    let record = table.known(5).unwrap();
    record.reset_plain.store(1, Relaxed);
    record.state.store(CLOSED, Relaxed);
    assert!(table.was_reset_without_ack(5));
    record.reset_acked.store(1, Relaxed);
    assert!(!table.was_reset_without_ack(5));
    assert!(!table.was_reset_without_ack(0));
    // Nothing of it is left for the next with the same record.
    record.reset_acked.store(0, Relaxed);
    let other = 5 + u64::from(FLOW_RECORDS);
    table.register(other, 0, 0, 7);
    assert!(!table.was_reset_without_ack(5) && !table.was_reset_without_ack(other));
    assert_eq!(table.known(other).unwrap().endpoint.load(Relaxed), 7);
}
