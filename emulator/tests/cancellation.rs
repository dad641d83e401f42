//! Clients that go away are noticed at once and counted.

use std::time::Duration;

use crate::client::{CHAT, Client, QUESTION, SOON, STREAMED, start, start_with};

#[tokio::test]
async fn before_the_head() {
    let emulator = start().await;
    let mut client = Client::connect(&emulator).await.unwrap();
    let field = "x-emulator-fault: stall-before-headers\r\n";
    client.send("POST", CHAT, field, QUESTION).await.unwrap();
    emulator
        .wait_until(SOON, |s| s.in_flight == 1)
        .await
        .unwrap();
    drop(client);
    let stats = emulator
        .wait_until(SOON, |s| s.cancelled == 1)
        .await
        .unwrap();
    assert_eq!((stats.in_flight, stats.completed), (0, 0));
}

#[tokio::test]
async fn while_the_body_stalls() {
    let emulator = start().await;
    let mut client = Client::connect(&emulator).await.unwrap();
    let field = "x-emulator-fault: stall-after-headers\r\n";
    client.send("POST", CHAT, field, QUESTION).await.unwrap();
    client.head().await.unwrap();
    drop(client);
    emulator
        .wait_until(SOON, |s| s.cancelled == 1)
        .await
        .unwrap();
}

#[tokio::test]
async fn between_two_tokens_far_apart() {
    let hour = Duration::from_secs(3600);
    let emulator = start_with(|builder| builder.token_interval(hour)).await;
    let mut client = Client::connect(&emulator).await.unwrap();
    client.send("POST", CHAT, "", STREAMED).await.unwrap();
    client.head().await.unwrap();
    client.chunk().await.unwrap();
    assert_eq!(emulator.stats().cancelled, 0);
    drop(client);
    emulator
        .wait_until(SOON, |s| s.cancelled == 1)
        .await
        .unwrap();
}

#[tokio::test]
async fn within_the_request_body() {
    let emulator = start().await;
    let mut client = Client::connect(&emulator).await.unwrap();
    let head = format!("POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n{{");
    client.write(head.as_bytes()).await.unwrap();
    emulator
        .wait_until(SOON, |s| s.in_flight == 1)
        .await
        .unwrap();
    drop(client);
    emulator
        .wait_until(SOON, |s| s.cancelled == 1)
        .await
        .unwrap();
    assert!(!emulator.requests()[0].complete);
}

#[tokio::test]
async fn a_complete_answer_is_not_cancelled() {
    let emulator = start().await;
    let mut client = Client::connect(&emulator).await.unwrap();
    client.post(CHAT, STREAMED).await.unwrap();
    drop(client);
    let stats = emulator
        .wait_until(SOON, |s| s.connections_open == 0)
        .await
        .unwrap();
    assert_eq!((stats.completed, stats.cancelled), (1, 0));
}
