//! Streams: one chunk per event, in the order and with the endings of each API.

use serde_json::Value;

use crate::client::{CHAT, Client, Reply, STREAMED, start};

/// The JSON of the data lines; `[DONE]` as a string.
pub(crate) fn data(reply: &Reply) -> Vec<Value> {
    let lines = reply.text().lines();
    let lines = lines.filter_map(|line| line.strip_prefix("data: "));
    lines
        .map(|line| serde_json::from_str(line).unwrap_or(Value::String(line.to_owned())))
        .collect()
}

pub(crate) fn types(events: &[Value]) -> Vec<&str> {
    let mut types: Vec<_> = events.iter().map(|e| e["type"].as_str().unwrap()).collect();
    types.dedup();
    types
}

#[tokio::test]
async fn chat_streams_end_with_usage_when_asked() {
    let emulator = start().await;
    let mut client = Client::connect(&emulator).await.unwrap();
    let body = r#"{"model":"m","stream":true,"stream_options":{"include_usage":true},
        "max_tokens":4,"messages":[{"role":"user","content":"12345678"}]}"#;
    let events = data(&client.post(CHAT, body).await.unwrap());
    // Role, four tokens, finish reason, usage, [DONE].
    assert_eq!(events.len(), 8);
    assert!(events[..6].iter().all(|event| event["usage"].is_null()));
    assert!(events[..6].iter().all(|event| event.get("usage").is_some()));
    assert_eq!(events[5]["choices"][0]["finish_reason"], "length");
    assert_eq!(events[6]["choices"].as_array().unwrap().len(), 0);
    assert_eq!(events[6]["usage"]["total_tokens"], 6);
    assert_eq!(events[7], "[DONE]");
}

#[tokio::test]
async fn chat_streams_say_nothing_of_usage_unasked() {
    let emulator = start().await;
    let mut client = Client::connect(&emulator).await.unwrap();
    let reply = client.post(CHAT, STREAMED).await.unwrap();
    assert!(!reply.text().contains("usage"));
    assert!(reply.text().ends_with("data: [DONE]\n\n"));
}

#[tokio::test]
async fn each_event_is_a_chunk_with_its_send_time() {
    let emulator = start().await;
    let mut client = Client::connect(&emulator).await.unwrap();
    client.send("POST", CHAT, "", STREAMED).await.unwrap();
    let head = client.head().await.unwrap();
    let mut before: u64 = head
        .header("x-emulator-sent-unix-ns")
        .unwrap()
        .parse()
        .unwrap();
    while let Some(chunk) = client.chunk().await.unwrap() {
        let text = String::from_utf8(chunk).unwrap();
        assert!(
            text.starts_with("data: ") && text.ends_with("\n\n"),
            "{text}"
        );
        if let Ok(event) = serde_json::from_str::<Value>(&text[6..]) {
            let sent = event["emulator_sent_unix_ns"].as_u64().unwrap();
            assert!(sent >= before);
            before = sent;
        }
    }
}

#[tokio::test]
async fn completions_stream_text() {
    let emulator = start().await;
    let mut client = Client::connect(&emulator).await.unwrap();
    let body = r#"{"model":"m","stream":true,"max_tokens":2,"prompt":"x"}"#;
    let events = data(&client.post("/v1/completions", body).await.unwrap());
    let texts: Vec<_> = events
        .iter()
        .map(|e| e["choices"][0]["text"].as_str())
        .collect();
    assert_eq!(texts, [Some("Hello"), Some(" from"), Some(""), None]);
}

#[tokio::test]
async fn messages_stream_typed_events() {
    let emulator = start().await;
    let mut client = Client::connect(&emulator).await.unwrap();
    let body = r#"{"model":"m","stream":true,"max_tokens":3,"messages":[]}"#;
    for path in ["/v1/messages", "/minimax/v1/messages"] {
        let events = data(&client.post(path, body).await.unwrap());
        let expected = [
            "message_start",
            "content_block_start",
            "ping",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop",
        ];
        assert_eq!(types(&events), expected);
        assert_eq!(events[events.len() - 2]["usage"]["output_tokens"], 3);
    }
}

#[tokio::test]
async fn responses_stream_typed_events() {
    let emulator = start().await;
    let mut client = Client::connect(&emulator).await.unwrap();
    let body = r#"{"model":"m","stream":true,"input":"x"}"#;
    let events = data(&client.post("/v1/responses", body).await.unwrap());
    let expected = [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ];
    assert_eq!(types(&events), expected);
    for (position, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], position);
    }
    let deltas = events.iter().filter_map(|event| event["delta"].as_str());
    let whole = &events.last().unwrap()["response"]["output"][0]["content"][0]["text"];
    assert_eq!(*whole, deltas.collect::<String>());
}
