//! Tests of `timeline.rs`.

use super::*;

const MS: u64 = 1_000_000;

/// A connection on whose second request these packets came.
fn record(packets: &[(u64, u32, u32)]) -> FlowRecord {
    let record = FlowRecord::default();
    record.connect_start_ns.store(10 * MS, Relaxed);
    record.connect_ns.store(30 * MS, Relaxed);
    record.srtt_us.store(31_000, Relaxed);
    record.request.store(2, Relaxed);
    record.retransmits.store(7, Relaxed);
    record.retransmits_before.store(5, Relaxed);
    record.arrived.store(packets.len() as u16, Relaxed);
    for (arrival, (at, start, end)) in record.arrivals.iter().zip(packets) {
        arrival.at_ns.store(at * MS, Relaxed);
        arrival.start.store(*start, Relaxed);
        arrival.end.store(*end, Relaxed);
    }
    record
}

/// Of a request that left at 100 ms, or within 20 µs of it.
fn timeline(record: &FlowRecord, offset: u64, read_ms: u64) -> Timeline {
    let sent = Sent {
        before_ns: 100 * MS - 20_000,
        after_ns: 100 * MS + 20_000,
    };
    read(record, Some(sent), &arrival(record, offset), read_ms * MS)
}

#[test]
fn a_response_is_timed_by_the_packet_with_its_first_byte() {
    let record = record(&[(180, 1000, 2400), (181, 2400, 3800)]);
    let expected = Timeline {
        connect: Some(Duration::from_millis(30)),
        rtt: Some(Duration::from_millis(31)),
        first_byte: Some(Duration::from_millis(80)),
        wakeup_lag: Some(Duration::from_millis(3)),
        retransmits: Some(2),
    };
    assert_eq!(timeline(&record, 1000, 183), expected);
}

#[test]
fn server_timing_says_what_is_known() {
    let mut timeline = Timeline {
        connect: Some(Duration::from_nanos(30_123_999)),
        first_byte: Some(Duration::from_millis(80)),
        retransmits: Some(2),
        ..Timeline::default()
    };
    let expected = "connect;dur=30.123, first_byte;dur=80.000, retransmits;desc=\"2\"";
    assert_eq!(timeline.server_timing(), expected);
    timeline = Timeline::default();
    assert_eq!(timeline.server_timing(), "");
}

#[test]
fn session_tickets_are_no_response() {
    let record = record(&[(131, 1000, 1250), (132, 1250, 1500), (180, 1500, 2900)]);
    let first_byte = timeline(&record, 1500, 181).first_byte;
    assert_eq!(first_byte, Some(Duration::from_millis(80)));
}

#[test]
fn a_response_in_the_tickets_packet_came_with_them() {
    let record = record(&[(131, 1000, 1900)]);
    let first_byte = timeline(&record, 1500, 140).first_byte;
    assert_eq!(first_byte, Some(Duration::from_millis(31)));
}

#[test]
fn what_is_beyond_the_packets_kept_is_unknown() {
    let packets: Vec<_> = (0..4)
        .map(|n| (110 + u64::from(n), n * 10, n * 10 + 10))
        .collect();
    let record = record(&packets);
    assert_eq!(arrival(&record, 40), Arrival::Beyond);
    let timeline = timeline(&record, 40, 200);
    assert_eq!((timeline.first_byte, timeline.wakeup_lag), (None, None));
    assert_eq!(timeline.retransmits, Some(2));
}

#[test]
fn a_first_byte_is_told_if_it_is_right_within_50_microseconds_and_one_percent() {
    let record = record(&[(180, 1000, 2400)]);
    let first_byte = |before_us: u64, after_us: u64| {
        let sent = Sent {
            before_ns: before_us * 1000,
            after_ns: after_us * 1000,
        };
        let timeline = read(&record, Some(sent), &arrival(&record, 1000), 181 * MS);
        assert_eq!(timeline.wakeup_lag, Some(Duration::from_millis(1)));
        timeline.first_byte.map(|time| time.as_micros())
    };
    assert_eq!(first_byte(100_000, 100_010), Some(79_995));
    // 50 µs and 800 µs on either side, and no more.
    assert_eq!(first_byte(99_155, 100_845), Some(80_000));
    assert_eq!(first_byte(99_145, 100_855), None);
    // The answer was there before the writer looked again.
    assert_eq!(first_byte(179_980, 180_400), Some(10));
    assert_eq!(first_byte(179_000, 180_400), None);
    assert_eq!(first_byte(180_001, 180_010), None);
}

#[test]
fn a_packet_that_overtook_another_has_no_lag() {
    let record = record(&[(150, 2400, 3800), (190, 1000, 2400)]);
    record.holes.store(0b01, Relaxed);
    let early = timeline(&record, 2400, 195);
    assert_eq!(early.first_byte, Some(Duration::from_millis(50)));
    assert_eq!(early.wakeup_lag, None);
    assert_eq!(arrival(&record, 1000), Arrival::InOrder(190 * MS));
}

#[test]
fn a_packet_right_behind_one_in_the_backlog_is_in_order() {
    let record = record(&[(150, 1000, 2400), (151, 2400, 3800), (152, 3800, 4000)]);
    record.holes.store(0b110, Relaxed);
    assert_eq!(arrival(&record, 3800), Arrival::InOrder(152 * MS));
}

#[test]
fn places_wrap_around() {
    let record = record(&[(180, u32::MAX - 9, 90)]);
    let offset = (7 << 32) - 10;
    assert_eq!(arrival(&record, offset), Arrival::InOrder(180 * MS));
    assert_eq!(arrival(&record, offset - 1), Arrival::Unknown);
    assert_eq!(arrival(&record, offset + 100), Arrival::Unknown);
}

#[test]
fn nothing_is_known_of_a_connection_nobody_followed() {
    let record = FlowRecord::default();
    assert_eq!(timeline(&record, 0, 1), Timeline::default());
}

#[test]
fn times_that_cannot_be_are_unknown() {
    let record = record(&[(90, 1000, 2400)]);
    let timeline = timeline(&record, 1000, 80);
    assert_eq!((timeline.first_byte, timeline.wakeup_lag), (None, None));
}
