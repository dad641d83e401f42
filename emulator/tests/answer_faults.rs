//! Faults of answers: reset, stalled, cut, dripped, oversized, malformed, early.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use holysheep_emulator::{Fault, FaultScope, Malformation, RetryHints};

use crate::client::{CHAT, Client, QUESTION, SOON, STREAMED, start};

#[tokio::test]
async fn reset_instead_of_an_answer() {
    let emulator = start().await;
    let mut client = Client::connect(&emulator).await.unwrap();
    let error = client.faulty("reset", QUESTION).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    let stats = emulator.stats();
    assert_eq!((stats.faulted, stats.cancelled, stats.in_flight), (1, 0, 0));
}

#[tokio::test]
async fn reset_within_the_body() {
    let emulator = start().await;
    let mut client = Client::connect(&emulator).await.unwrap();
    let field = "x-emulator-fault: reset;after=50\r\n";
    client.send("POST", CHAT, field, QUESTION).await.unwrap();
    let mut reply = client.head().await.unwrap();
    let error = client.body(&mut reply).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(reply.body.len(), 50);
}

#[tokio::test]
async fn stalls_end_with_their_pause() {
    let emulator = start().await;
    for fault in ["stall-before-headers;ms=20", "stall-after-headers;ms=20"] {
        let mut client = Client::connect(&emulator).await.unwrap();
        let begun = Instant::now();
        let reply = client.faulty(fault, QUESTION).await.unwrap();
        assert_eq!(reply.json()["usage"]["total_tokens"], 18);
        assert!(begun.elapsed() >= Duration::from_millis(20));
    }
}

#[tokio::test]
async fn stall_after_headers_sends_the_head() {
    let emulator = start().await;
    let mut client = Client::connect(&emulator).await.unwrap();
    let field = "x-emulator-fault: stall-after-headers\r\n";
    client.send("POST", CHAT, field, STREAMED).await.unwrap();
    assert_eq!(client.head().await.unwrap().status, 200);
    let nothing = tokio::time::timeout(Duration::from_millis(30), client.chunk());
    assert!(nothing.await.is_err());
}

#[tokio::test]
async fn a_cut_stream_has_no_last_chunk() {
    let emulator = start().await;
    let mut client = Client::connect(&emulator).await.unwrap();
    let field = "x-emulator-fault: cut;after=500\r\n";
    client.send("POST", CHAT, field, STREAMED).await.unwrap();
    let mut reply = client.head().await.unwrap();
    assert_eq!(reply.header("transfer-encoding"), Some("chunked"));
    let error = client.body(&mut reply).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    assert_eq!(reply.body.len(), 500);
    assert_eq!(emulator.stats().faulted, 1);
}

#[tokio::test]
async fn a_dripped_body_is_whole_and_slow() {
    let emulator = start().await;
    let mut client = Client::connect(&emulator).await.unwrap();
    let body = r#"{"model":"m","stream":true,"max_tokens":0,"messages":[]}"#;
    let field = "x-emulator-fault: drip;ms=1\r\n";
    let begun = Instant::now();
    client.send("POST", CHAT, field, body).await.unwrap();
    let mut reply = client.head().await.unwrap();
    while let Some(chunk) = client.chunk().await.unwrap() {
        assert_eq!(chunk.len(), 1);
        reply.body.extend(chunk);
    }
    assert!(reply.text().ends_with("data: [DONE]\n\n"));
    assert!(begun.elapsed().as_millis() >= reply.body.len() as u128 - 1);
    emulator
        .wait_until(SOON, |s| s.completed == 1)
        .await
        .unwrap();
}

#[tokio::test]
async fn statuses_come_in_sequence_then_all_is_well() {
    let emulator = start().await;
    let hints = RetryHints {
        after: Some(7),
        after_ms: Some(6500),
        should_retry: Some(false),
    };
    let limited = Fault::Status { status: 429, hints };
    emulator.set_fault(limited, FaultScope::Next(1)).unwrap();
    emulator
        .set_fault(Fault::status(502), FaultScope::Next(2))
        .unwrap();
    let mut client = Client::connect(&emulator).await.unwrap();
    let limited = client.post(CHAT, QUESTION).await.unwrap();
    assert_eq!(limited.status, 429);
    for (field, value) in [
        ("retry-after", "7"),
        ("retry-after-ms", "6500"),
        ("x-should-retry", "false"),
    ] {
        assert_eq!(limited.header(field), Some(value));
    }
    assert_eq!(limited.json()["error"]["code"], "rate_limit_exceeded");
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(client.post("/v1/messages", QUESTION).await.unwrap().status);
    }
    assert_eq!(statuses, [502, 502, 200]);
}

#[tokio::test]
async fn refusals_have_the_form_of_the_api() {
    let emulator = start().await;
    let mut client = Client::connect(&emulator).await.unwrap();
    for (status, openai, code, anthropic) in [
        (
            401,
            "invalid_request_error",
            Some("invalid_api_key"),
            "authentication_error",
        ),
        (
            402,
            "insufficient_quota",
            Some("insufficient_quota"),
            "billing_error",
        ),
        (403, "invalid_request_error", None, "permission_error"),
        (
            429,
            "rate_limit_error",
            Some("rate_limit_exceeded"),
            "rate_limit_error",
        ),
        (529, "server_error", None, "overloaded_error"),
    ] {
        let reply = client.faulty(&status.to_string(), QUESTION).await.unwrap();
        let error = &reply.json()["error"];
        assert_eq!(
            (reply.status, error["type"].as_str()),
            (status, Some(openai))
        );
        assert_eq!(error["code"].as_str(), code);
        assert_eq!(reply.header("x-should-retry"), None);
        let field = format!("x-emulator-fault: {status};should-retry=true\r\n");
        let reply = client
            .exchange("POST", "/v1/messages", &field, QUESTION)
            .await;
        let reply = reply.unwrap();
        assert_eq!(reply.json()["error"]["type"], anthropic);
        assert_eq!(reply.header("x-should-retry"), Some("true"));
    }
}

#[tokio::test]
async fn oversized_bodies_and_heads() {
    let emulator = start().await;
    let mut client = Client::connect(&emulator).await.unwrap();
    let reply = client
        .faulty("oversized-body;bytes=3000000", QUESTION)
        .await
        .unwrap();
    assert_eq!(reply.body.len(), 3_000_000);
    assert!(reply.json()["padding"].is_string());
    let reply = client
        .faulty("oversized-headers;bytes=100000", QUESTION)
        .await
        .unwrap();
    let fields = reply
        .head
        .iter()
        .filter(|(name, _)| name == "x-emulator-padding");
    assert_eq!(fields.map(|(_, value)| value.len()).sum::<usize>(), 100_000);
}

#[tokio::test]
async fn malformed_answers_are_what_they_say() {
    let emulator = start().await;
    for (kind, bytes) in [
        (Malformation::StatusLine, &["HTTP/1.1 banana"][..]),
        (Malformation::ChunkSize, &["chunked", "\r\nxyz\r\n"]),
        (
            Malformation::LengthAndChunked,
            &["content-length: 12", "chunked"],
        ),
    ] {
        emulator
            .set_fault(Fault::Malformed(kind), FaultScope::Next(1))
            .unwrap();
        let mut client = Client::connect(&emulator).await.unwrap();
        client.send("POST", CHAT, "", QUESTION).await.unwrap();
        let answer = String::from_utf8(client.rest().await.unwrap()).unwrap();
        for part in bytes {
            assert!(answer.contains(part), "{kind:?}: {answer}");
        }
    }
    assert_eq!(emulator.stats().faulted, 3);
}

#[tokio::test]
async fn an_early_response_does_not_wait_for_the_body() {
    let emulator = start().await;
    let mut client = Client::connect(&emulator).await.unwrap();
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n\
         x-emulator-fault: early-response;code=413\r\n\r\nonly the beginning"
    );
    client.write(head.as_bytes()).await.unwrap();
    assert_eq!(client.reply().await.unwrap().status, 413);
    assert!(!emulator.requests()[0].complete);
}

#[tokio::test]
async fn unknown_faults_fail_the_request() {
    let emulator = start().await;
    let mut client = Client::connect(&emulator).await.unwrap();
    for fault in ["explode", "cut;ms=1", "refuse"] {
        let reply = client.faulty(fault, QUESTION).await.unwrap();
        assert_eq!(reply.status, 400, "{fault}");
    }
}
