//! Tests of `snapshot.rs`.

use proxy_common::Figure;

use super::*;

#[test]
fn cells_become_histograms_and_counts() {
    let mut cells = [Cell::default(); CELLS as usize];
    let mut put = |figure: Figure, count, nanos| {
        cells[figure.cell() as usize] = Cell { count, nanos };
    };
    put(Figure::Connect(1), 2, 20_000);
    put(Figure::Connect(u64::MAX), 1, 80_000_000_000);
    put(Figure::Rtt(16_001), 5, 100_000);
    put(Figure::Retransmits, 7, 0);
    put(Figure::ConnectFailures, 3, 0);
    let timings = UpstreamTimings::of(&cells);
    assert_eq!(timings.connect.count(), 3);
    assert!((timings.connect.sum_seconds() - 80.00002).abs() < 1e-9);
    let buckets = timings.connect.buckets();
    assert_eq!((buckets.len(), buckets[0]), (24, (16e-6, 2)));
    assert_eq!(buckets[23], (f64::INFINITY, 1));
    assert_eq!(timings.rtt.buckets()[1], (32e-6, 5));
    assert_eq!((timings.retransmits, timings.connect_failures), (7, 3));
}
