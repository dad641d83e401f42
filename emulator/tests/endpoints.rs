//! Every endpoint answers in its shape, with token counts that follow from the request.

use serde_json::json;

use crate::client::{CHAT, Client, QUESTION, start};

#[tokio::test]
async fn chat_completion_counts_tokens() {
    let emulator = start().await;
    let mut client = Client::connect(&emulator).await.unwrap();
    let reply = client.post(CHAT, QUESTION).await.unwrap();
    assert_eq!(reply.status, 200);
    assert!(reply.header("x-request-id").is_some());
    let answer = reply.json();
    assert_eq!(answer["object"], "chat.completion");
    assert_eq!(answer["model"], "m");
    let usage = json!({"prompt_tokens": 2, "completion_tokens": 16, "total_tokens": 18});
    assert_eq!(answer["usage"], usage);
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
}

#[tokio::test]
async fn limits_shorten_answers_of_every_family() {
    let emulator = start().await;
    let mut client = Client::connect(&emulator).await.unwrap();
    for (path, body, count, reason) in [
        (
            CHAT,
            r#"{"model":"m","max_completion_tokens":3,"messages":[]}"#,
            "/usage/completion_tokens",
            "/choices/0/finish_reason",
        ),
        (
            "/v1/completions",
            r#"{"model":"m","max_tokens":3,"prompt":"x"}"#,
            "/usage/completion_tokens",
            "/choices/0/finish_reason",
        ),
        (
            "/v1/responses",
            r#"{"model":"m","max_output_tokens":3,"input":"x"}"#,
            "/usage/output_tokens",
            "/status",
        ),
        (
            "/v1/messages",
            r#"{"model":"m","max_tokens":3,"messages":[]}"#,
            "/usage/output_tokens",
            "/stop_reason",
        ),
        (
            "/minimax/v1/messages",
            r#"{"model":"m","max_tokens":3,"messages":[]}"#,
            "/usage/output_tokens",
            "/stop_reason",
        ),
    ] {
        let answer = client.post(path, body).await.unwrap().json();
        assert_eq!(answer.pointer(count).unwrap(), 3, "{path}");
        let reason = answer.pointer(reason).unwrap().as_str().unwrap();
        assert!(["length", "max_tokens", "incomplete"].contains(&reason));
    }
}

#[tokio::test]
async fn other_endpoints_are_well_formed() {
    let emulator = start().await;
    let mut client = Client::connect(&emulator).await.unwrap();
    for (path, body, member, expected) in [
        (
            "/v1/embeddings",
            r#"{"model":"m","input":["a","b"]}"#,
            "/data/1/index",
            json!(1),
        ),
        (
            "/v1/moderations",
            r#"{"input":"a"}"#,
            "/results/0/flagged",
            json!(false),
        ),
        (
            "/v1/messages/count_tokens",
            r#"{"model":"m","system":"12345"}"#,
            "/input_tokens",
            json!(2),
        ),
        (
            "/v1/rerank",
            r#"{"model":"m","query":"q","documents":["a","b"]}"#,
            "/results/1/index",
            json!(1),
        ),
        ("/v1/images/generations", "{}", "/created", json!(null)),
        (
            "/v1/audio/transcriptions",
            "",
            "/text",
            json!("Hello from the emulator."),
        ),
        ("/v1/files", "", "/object", json!("file")),
        ("/v1/batches", "{}", "/object", json!("batch")),
    ] {
        let reply = client.post(path, body).await.unwrap();
        assert_eq!(reply.status, 200, "{path}");
        let answer = reply.json();
        let value = answer.pointer(member).unwrap();
        assert!(*value == expected || expected.is_null(), "{path}: {answer}");
    }
    let speech = client.post("/v1/audio/speech", "{}").await.unwrap();
    assert_eq!(speech.header("content-type"), Some("audio/mpeg"));
    assert_eq!(
        client.get("/v1/files/file-1/content").await.unwrap().status,
        200
    );
}

#[tokio::test]
async fn models_are_listed_and_found() {
    let emulator = start().await;
    let mut client = Client::connect(&emulator).await.unwrap();
    let list = client.get("/v1/models").await.unwrap().json();
    assert_eq!(list["data"][0]["object"], "model");
    let one = client.get("/v1/models/gpt-4.1").await.unwrap();
    assert_eq!(one.json()["id"], "gpt-4.1");
    let none = client.get("/v1/models/none").await.unwrap();
    assert_eq!(
        (none.status, none.json()["error"]["code"].as_str()),
        (404, Some("model_not_found"))
    );
}

#[tokio::test]
async fn mistakes_are_refused_in_the_dialect_of_the_path() {
    let emulator = start().await;
    let mut client = Client::connect(&emulator).await.unwrap();
    let unknown = client.get("/v2/chat").await.unwrap();
    assert_eq!(unknown.status, 404);
    assert_eq!(unknown.json()["error"]["type"], "invalid_request_error");
    assert_eq!(client.get(CHAT).await.unwrap().status, 405);
    let no_model = client.post(CHAT, r#"{"messages":[]}"#).await.unwrap();
    assert_eq!(no_model.status, 400);
    let not_json = client.post("/v1/messages", "{").await.unwrap();
    assert_eq!(not_json.status, 400);
    assert_eq!(not_json.json()["type"], "error");
    assert_eq!(emulator.stats().completed, 4);
}
