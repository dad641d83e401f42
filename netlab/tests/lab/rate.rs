//! A narrow link is as narrow as it is told to be.

use std::time::Duration;

use netlab::{Direction, Journal, Path, Record, or_skip};

use crate::traffic;

const BITS_PER_SECOND: u64 = 10_000_000;
const QUEUE: u64 = 30_000;
const BYTES: usize = 2_000_000;

/// Of the rate, in percent.
const TOLERANCE: f64 = 2.0;

#[test]
fn a_narrow_link_passes_what_it_should_and_drops_the_rest() {
    let path = Path::builder()
        .round_trip(Duration::from_millis(10))
        .rate(BITS_PER_SECOND, QUEUE);
    let Some(path) = or_skip(path.start()) else {
        return;
    };
    let (client, server) = traffic::connect(&path, path.server().ipv4().into());
    traffic::send(&client, &server, BYTES);

    let journal = path.journal();
    let counts = journal.counts(Direction::ToServer);
    let rate = busiest(&journal);
    let percent = rate / BITS_PER_SECOND as f64 * 100.0;
    println!(
        "{rate:.0} bit/s while busy, {percent:.2} % of what was set; {} overflowed, {} sent again",
        counts.overflowed,
        traffic::retransmits(path.client(), client.local_addr().unwrap()).host
    );
    assert!((percent - 100.0).abs() < TOLERANCE);
    // Slow start fills so shallow a queue.
    assert!(counts.overflowed > 0);
    // No packet ever waited for more than the queue holds.
    let longest = Duration::from_secs_f64(QUEUE as f64 * 8.0 / BITS_PER_SECOND as f64);
    for record in sent(&journal) {
        let waited = due(record) - record.came - Duration::from_millis(5);
        assert!(waited <= longest, "{waited:?} in a queue of {longest:?}");
    }
}

/// Bits per second over the longest time in which the link was never idle.
fn busiest(journal: &Journal) -> f64 {
    let records: Vec<_> = sent(journal).collect();
    let mut best = (Duration::ZERO, 0);
    let (mut begin, mut bytes) = (Duration::ZERO, 0);
    for pair in records.windows(2) {
        let (before, after) = (pair[0], pair[1]);
        // It came while the one before it was still in the queue.
        if after.came + Duration::from_millis(5) >= due(before) {
            begin = Duration::ZERO;
            continue;
        }
        if begin.is_zero() {
            (begin, bytes) = (before.left().unwrap(), 0);
        }
        bytes += after.length;
        best = best.max((after.left().unwrap() - begin, bytes));
    }
    let (time, bytes) = best;
    println!("busy for {time:?}");
    bytes as f64 * 8.0 / time.as_secs_f64()
}

fn sent(journal: &Journal) -> impl Iterator<Item = &Record> {
    let to_server = |one: &&Record| one.direction == Direction::ToServer;
    let all = journal.records().iter().filter(to_server);
    all.filter(|record| record.left().is_some())
}

fn due(record: &Record) -> Duration {
    match record.fate {
        netlab::Fate::Left { due, .. } => due,
        other => panic!("{other:?}"),
    }
}
