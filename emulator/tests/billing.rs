//! The books: which requests cost money, and that each does so once.

use std::time::Duration;

use holysheep_emulator::{Billed, Emulator, FaultScope, Stats};

use crate::client::{CHAT, Client, QUESTION, SOON, STREAMED, start, start_with};

/// Sends a chat request with an id, and a fault if one is named, and leaves once it is billed or over.
async fn send(emulator: &Emulator, id: &str, fault: Option<&str>) {
    let before = emulator.stats();
    let mut client = Client::connect(emulator).await.unwrap();
    let fault = fault.map(|fault| format!("x-emulator-fault: {fault}\r\n"));
    let fields = format!("x-request-id: {id}\r\n{}", fault.unwrap_or_default());
    client.send("POST", CHAT, &fields, STREAMED).await.unwrap();
    let decided = |s: &Stats| s.billed > before.billed || s.completed > before.completed;
    emulator.wait_until(SOON, decided).await.unwrap();
}

#[tokio::test]
async fn work_that_was_begun_is_billed_whatever_became_of_the_answer() {
    let emulator = start().await;
    let faults = [
        "reset",
        "reset;after=50",
        "cut;after=100",
        "drip;ms=1",
        "stall-before-headers",
        "stall-after-headers",
        "malformed;kind=status-line",
        "oversized-headers",
        "close-after",
    ];
    send(&emulator, "whole", None).await;
    for fault in faults {
        send(&emulator, fault, Some(fault)).await;
    }
    let stats = emulator.stats();
    assert_eq!(stats.billed, 1 + faults.len() as u64, "{stats:?}");
    let ids = emulator.billed_ids();
    assert_eq!(ids[0], "whole");
    assert_eq!(ids[1..], faults);
}

#[tokio::test]
async fn what_was_refused_costs_nothing() {
    let emulator = start().await;
    for fault in [
        "401",
        "402",
        "429;retry-after=1",
        "503",
        "early-response",
        "explode",
    ] {
        send(&emulator, fault, Some(fault)).await;
    }
    let mut client = Client::connect(&emulator).await.unwrap();
    for body in ["{", "{}"] {
        assert_eq!(client.post(CHAT, body).await.unwrap().status, 400);
    }
    assert_eq!(client.post("/v1/none", QUESTION).await.unwrap().status, 404);
    assert_eq!(client.get("/v1/models").await.unwrap().status, 200);
    let mut client = client.with_key("cr_wrong");
    assert_eq!(client.post(CHAT, QUESTION).await.unwrap().status, 401);
    // Broken off before its body was read.
    let head = format!("POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n{{");
    client.write(head.as_bytes()).await.unwrap();
    drop(client);
    let stats = emulator
        .wait_until(SOON, |s| s.cancelled == 1)
        .await
        .unwrap();
    assert_eq!(stats.billed, 0, "{stats:?}");
    assert!(emulator.billed_ids().is_empty());
}

#[tokio::test]
async fn the_same_id_twice_is_there_twice() {
    let emulator = start().await;
    let reset = "reset".parse().unwrap();
    emulator.set_fault(reset, FaultScope::Next(1)).unwrap();
    for _ in 0..2 {
        send(&emulator, "again", None).await;
    }
    assert_eq!(emulator.billed_ids(), ["again", "again"]);
    let mut client = Client::connect(&emulator).await.unwrap();
    let listed = client.get("/emulator/billed").await.unwrap().json();
    assert_eq!(listed, serde_json::json!(["again", "again"]));
    assert_eq!(client.post(CHAT, QUESTION).await.unwrap().status, 200);
    assert_eq!(emulator.stats().billed, 3);
    assert_eq!(
        emulator.billed_ids().len(),
        2,
        "without an id there is nothing to note"
    );
    emulator.reset().unwrap();
    assert_eq!(emulator.stats().billed, 0);
    assert!(emulator.billed_ids().is_empty());
}

#[tokio::test]
async fn as_many_ids_are_kept_as_requests() {
    let emulator = start_with(|builder| builder.record(2)).await;
    for id in ["1", "2", "3"] {
        send(&emulator, id, None).await;
    }
    assert_eq!(emulator.billed_ids(), ["2", "3"]);
    assert_eq!(emulator.stats().billed, 3);
}

#[tokio::test]
async fn the_books_outlast_the_emulator() {
    let emulator = start().await;
    send(&emulator, "first", None).await;
    let books = emulator.books();
    drop(emulator);
    assert_eq!(books.billed_ids(), ["first"]);
    let requests = books.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].header("x-request-id"), Some("first"));
}

#[tokio::test]
async fn tokens_are_billed_as_far_as_they_were_made() {
    let emulator = start_with(|builder| builder.token_interval(Duration::from_secs(60))).await;
    let mut client = Client::connect(&emulator).await.unwrap();
    // Whole answers wait for no token.
    assert_eq!(client.post(CHAT, QUESTION).await.unwrap().status, 200);
    let embeddings = r#"{"model":"e","input":"hello"}"#;
    let path = "/v1/embeddings";
    assert_eq!(client.post(path, embeddings).await.unwrap().status, 200);
    for (path, id) in [(CHAT, "chat"), ("/v1/messages", "messages")] {
        let mut leaver = Client::connect(&emulator).await.unwrap();
        let fields = format!("x-request-id: {id}\r\n");
        leaver.send("POST", path, &fields, STREAMED).await.unwrap();
        let is_first = |billed: &Billed| billed.id.as_deref() == Some(id) && billed.output == 1;
        let first_token = |_: &Stats| emulator.billed().iter().any(is_first);
        emulator.wait_until(SOON, first_token).await.unwrap();
        drop(leaver);
    }
    let left = |stats: &Stats| stats.cancelled == 2;
    emulator.wait_until(SOON, left).await.unwrap();
    send(&emulator, "lost", Some("stall-before-headers")).await;
    send(&emulator, "refused", Some("503")).await;
    let billed: Vec<_> = emulator
        .billed()
        .into_iter()
        .map(|billed| (billed.id, billed.model, billed.input, billed.output))
        .collect();
    let entry = |id: Option<&str>, model: &str, output| {
        (id.map(str::to_owned), model.to_owned(), 2, output)
    };
    assert_eq!(
        billed,
        [
            entry(None, "m", 16),
            entry(None, "e", 0),
            entry(Some("chat"), "m", 1),
            entry(Some("messages"), "m", 1),
            entry(Some("lost"), "m", 0),
        ]
    );
}
