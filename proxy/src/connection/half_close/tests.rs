//! Tests of `half_close.rs`.

use super::*;
use std::future::poll_fn;
use std::task::Waker;

const WAITING: Progress = Progress {
    begun: false,
    flushed: true,
    taken: 0,
};
const BEGUN: Progress = Progress {
    begun: true,
    flushed: true,
    taken: 1000,
};

fn now(half: &mut HalfClose, progress: Progress) -> Poll<Verdict> {
    half.poll(&mut Context::from_waker(Waker::noop()), progress)
}

async fn wait(half: &mut HalfClose, progress: Progress) -> (Verdict, Duration) {
    let start = Instant::now();
    let verdict = poll_fn(|cx| half.poll(cx, progress)).await;
    (verdict, start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn an_early_fin_is_asked_about_once_and_not_before_the_grace_is_over() {
    let mut half = HalfClose::default();
    assert_eq!(now(&mut half, WAITING), Poll::Pending);
    half.closed(WAITING);
    let (verdict, after) = wait(&mut half, WAITING).await;
    assert_eq!(verdict, Verdict::Ask);
    assert!(after >= GRACE, "{after:?}");
    tokio::time::advance(GRACE * 10).await;
    assert_eq!(now(&mut half, WAITING), Poll::Pending);
    // The next request it had sent is another one to ask about.
    half.next_request();
    assert_eq!(now(&mut half, WAITING), Poll::Pending);
    assert_eq!(wait(&mut half, WAITING).await.0, Verdict::Ask);
}

#[tokio::test(start_paused = true)]
async fn an_early_fin_means_nothing_once_the_response_has_begun() {
    let mut half = HalfClose::default();
    half.closed(WAITING);
    tokio::time::advance(GRACE * 10).await;
    assert_eq!(now(&mut half, BEGUN), Poll::Pending);
}

#[tokio::test(start_paused = true)]
async fn a_late_fin_ends_the_response_at_its_first_pause() {
    let mut half = HalfClose::default();
    half.closed(BEGUN);
    let mut progress = BEGUN;
    for _ in 0..10 {
        assert_eq!(now(&mut half, progress), Poll::Pending);
        tokio::time::advance(GRACE * 3 / 4).await;
        progress.taken += 1;
    }
    // A client that is slow is not gone: its kernel would have sent a reset.
    progress.flushed = false;
    for _ in 0..3 {
        assert_eq!(now(&mut half, progress), Poll::Pending);
        tokio::time::advance(GRACE * 2).await;
    }
    progress.flushed = true;
    progress.taken += 1;
    assert_eq!(wait(&mut half, progress).await.0, Verdict::Gone);
}
