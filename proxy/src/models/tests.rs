//! Tests of `models.rs`.

use super::*;

#[test]
fn a_fetch_that_is_dropped_gives_its_turn_back_and_tells_those_who_wait() {
    let cache = Arc::new(ModelsCache::default());
    let mut waiting = cache.fetched.subscribe();
    let turn = cache.take_turn().unwrap();
    assert!(cache.take_turn().is_none());
    let fetch = std::thread::spawn(move || {
        let _turn = turn;
        panic!("as a fetch might");
    });
    assert!(fetch.join().is_err());
    assert!(waiting.has_changed().unwrap());
    let told = waiting.borrow_and_update().clone();
    assert_eq!(told.unwrap().unwrap_err(), ProxyError::UpstreamClosed);
    assert!(cache.take_turn().is_some());
}

#[test]
fn the_pause_grows_with_each_failure_up_to_its_limit() {
    let cache = Arc::new(ModelsCache::default());
    let mut last = 0;
    for failures in 0..40 {
        let before = cache.millis(Instant::now());
        drop(cache.take_turn());
        let pause = cache.not_before.load(Ordering::Relaxed) - before;
        let least = (500 << failures.min(10)).min(60_000);
        assert!(
            pause >= least && pause >= last.min(60_000),
            "{pause} after {failures}"
        );
        last = least;
        let now = Instant::now();
        assert!(cache.refresh(now, Duration::ZERO).is_none());
    }
    let later = Instant::now() + MAX_PAUSE;
    assert!(cache.refresh(later, Duration::ZERO).is_some());
}
