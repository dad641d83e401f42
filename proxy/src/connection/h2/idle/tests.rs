//! Tests of `idle.rs`.

use super::*;
use std::future::poll_fn;

const LIMIT: Duration = Duration::from_secs(75);

#[tokio::test(start_paused = true)]
async fn a_connection_without_streams_is_left_and_then_cut() {
    let start = Instant::now();
    let mut idle = IdleLimit::new(Streams::new(), LIMIT);
    assert_eq!(poll_fn(|cx| idle.poll(cx)).await, Idle::Leave);
    assert_eq!(start.elapsed().as_secs(), LIMIT.as_secs());
    assert_eq!(poll_fn(|cx| idle.poll(cx)).await, Idle::Cut);
    assert_eq!(start.elapsed().as_secs(), (LIMIT + GOODBYE).as_secs());
}

#[tokio::test(start_paused = true)]
async fn the_limit_counts_from_the_end_of_the_last_stream() {
    let start = Instant::now();
    let streams = Streams::new();
    let mut idle = IdleLimit::new(Rc::clone(&streams), LIMIT);
    let (long, short) = (streams.open(), streams.open());
    drop(short);
    let busy = LIMIT * 3 + Duration::from_secs(10);
    let early = tokio::time::timeout(busy, poll_fn(|cx| idle.poll(cx))).await;
    assert!(early.is_err(), "a stream is open");
    drop(long);
    assert_eq!(poll_fn(|cx| idle.poll(cx)).await, Idle::Leave);
    assert_eq!(start.elapsed().as_secs(), (busy + LIMIT).as_secs());
    // A request that was on its way is served, GOAWAY or not.
    let late = streams.open();
    let cut = tokio::time::timeout(LIMIT * 2, poll_fn(|cx| idle.poll(cx))).await;
    assert!(cut.is_err(), "a stream is open");
    drop(late);
    assert_eq!(poll_fn(|cx| idle.poll(cx)).await, Idle::Cut);
}
