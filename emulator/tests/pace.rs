//! Think times and token pace.

use std::time::{Duration, Instant};

use holysheep_emulator::Profile;

use crate::client::{CHAT, Client, QUESTION, STREAMED, start_with};

#[tokio::test]
async fn a_fixed_profile_delays_the_head() {
    let think = Duration::from_millis(15);
    let emulator = start_with(|builder| builder.profile(Profile::Fixed(think))).await;
    let mut client = Client::connect(&emulator).await.unwrap();
    let mut quickest = Duration::MAX;
    for _ in 0..20 {
        let begun = Instant::now();
        client.post(CHAT, QUESTION).await.unwrap();
        quickest = quickest.min(begun.elapsed());
    }
    assert!(quickest >= think);
    // tokio's timer alone would be 1 to 2 ms late; the best of many shows that it is not used.
    assert!(quickest < think + Duration::from_millis(5), "{quickest:?}");
}

#[tokio::test]
async fn the_article_profile_never_answers_at_once() {
    let emulator = start_with(|builder| builder.profile(Profile::Article).seed(7)).await;
    let mut client = Client::connect(&emulator).await.unwrap();
    let begun = Instant::now();
    client.post(CHAT, QUESTION).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(31));
}

#[tokio::test]
async fn tokens_come_at_the_configured_rate() {
    let emulator = start_with(|builder| builder.token_rate(500.0)).await;
    let mut client = Client::connect(&emulator).await.unwrap();
    let begun = Instant::now();
    client.post(CHAT, STREAMED).await.unwrap();
    // Sixteen tokens are fifteen intervals of 2 ms apart.
    assert!(begun.elapsed() >= Duration::from_millis(30));
}
