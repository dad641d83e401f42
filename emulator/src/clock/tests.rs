//! Tests of `clock.rs`.

use std::time::Duration;

use super::*;

#[tokio::test]
async fn wakes_in_order_and_never_early() {
    let clock = Clock::start().unwrap();
    let start = Instant::now();
    let [late, soon] = [6, 2].map(|ms| start + Duration::from_millis(ms));
    let (second, first) = tokio::join!(
        async {
            clock.sleep_until(late).await;
            Instant::now()
        },
        async {
            clock.sleep_until(soon).await;
            Instant::now()
        },
    );
    assert!(soon <= first && first < second && late <= second);
}
