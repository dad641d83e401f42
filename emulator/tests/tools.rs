//! Calls of tools, in the shape of each API: when there is one, whole and in pieces.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::client::{CHAT, Client, start};
use crate::streams::{data, types};

const MESSAGES: &str = "/v1/messages";
const RESPONSES: &str = "/v1/responses";
const ARGUMENTS: &str = r#"{"place":"Paris"}"#;

/// A request with a tool; `more` replaces members.
fn ask(path: &str, more: &Value) -> String {
    let question = json!([{"role": "user", "content": "12345678"}]);
    let schema = json!({"type": "object", "properties": {"place": {"type": "string"}}});
    let mut request = match path {
        CHAT => {
            let function = json!({"name": "weather", "parameters": schema});
            json!({"messages": question, "tools": [{"type": "function", "function": function}]})
        }
        MESSAGES => {
            let tool = json!({"name": "weather", "input_schema": schema});
            json!({"messages": question, "max_tokens": 3, "tools": [tool]})
        }
        _ => {
            let tool = json!({"type": "function", "name": "weather", "parameters": schema});
            json!({"input": question, "max_output_tokens": 3, "tools": [tool]})
        }
    };
    request["model"] = "m".into();
    for (name, value) in more.as_object().unwrap() {
        request[name] = value.clone();
    }
    request.to_string()
}

#[tokio::test]
async fn the_first_tool_is_called() {
    let emulator = start().await;
    let mut client = Client::connect(&emulator).await.unwrap();
    let more = json!({});
    let chat = client.post(CHAT, &ask(CHAT, &more)).await.unwrap().json();
    let choice = &chat["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(choice["message"]["content"], Value::Null);
    let call = &choice["message"]["tool_calls"][0];
    let function = json!({"name": "weather", "arguments": ARGUMENTS});
    assert_eq!(
        (&call["type"], &call["function"]),
        (&"function".into(), &function)
    );
    assert!(call["id"].as_str().unwrap().starts_with("call_"));
    let usage = json!({"prompt_tokens": 2, "completion_tokens": 5, "total_tokens": 7});
    assert_eq!(chat["usage"], usage);

    let message = client.post(MESSAGES, &ask(MESSAGES, &more)).await.unwrap();
    let message = message.json();
    assert_eq!(message["stop_reason"], "tool_use");
    let block = &message["content"][0];
    assert_eq!(
        (&block["type"], &block["name"], &block["input"]),
        (
            &"tool_use".into(),
            &"weather".into(),
            &json!({"place": "Paris"})
        )
    );
    assert_eq!(message["usage"]["output_tokens"], 5);

    let response = client.post(RESPONSES, &ask(RESPONSES, &more)).await;
    let response = response.unwrap().json();
    assert_eq!(response["status"], "completed");
    let item = &response["output"][0];
    assert_eq!(
        (&item["type"], &item["name"], &item["arguments"]),
        (
            &"function_call".into(),
            &"weather".into(),
            &ARGUMENTS.into()
        )
    );
    assert_eq!(response["usage"]["output_tokens"], 5);
}

/// The pieces at `pointer`, and that there are several.
fn joined(events: &[Value], pointer: &str) -> String {
    let pieces = events.iter().filter_map(|event| event.pointer(pointer));
    let pieces: Vec<_> = pieces.filter_map(Value::as_str).collect();
    let filled = pieces.iter().filter(|piece| !piece.is_empty());
    assert_eq!(filled.count(), 5, "{pieces:?}");
    pieces.concat()
}

#[tokio::test]
async fn chat_streams_a_call_in_pieces() {
    let emulator = start().await;
    let mut client = Client::connect(&emulator).await.unwrap();
    let more = json!({"stream": true, "stream_options": {"include_usage": true}});
    let events = data(&client.post(CHAT, &ask(CHAT, &more)).await.unwrap());
    // The call's name, five pieces, finish reason, usage, [DONE].
    assert_eq!(events.len(), 9);
    let first = &events[0]["choices"][0]["delta"];
    assert_eq!(first["role"], "assistant");
    assert_eq!(first["tool_calls"][0]["function"]["name"], "weather");
    let ids: BTreeSet<_> = events
        .iter()
        .filter_map(|event| event.pointer("/choices/0/delta/tool_calls/0/id"))
        .map(Value::to_string)
        .collect();
    assert_eq!(ids.len(), 1, "said once: {ids:?}");
    let pieces = "/choices/0/delta/tool_calls/0/function/arguments";
    assert_eq!(joined(&events, pieces), ARGUMENTS);
    assert_eq!(events[6]["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(events[7]["usage"]["completion_tokens"], 5);
}

#[tokio::test]
async fn messages_stream_a_call_in_pieces() {
    let emulator = start().await;
    let mut client = Client::connect(&emulator).await.unwrap();
    let body = ask(MESSAGES, &json!({"stream": true}));
    let events = data(&client.post(MESSAGES, &body).await.unwrap());
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
    let block = &events[1]["content_block"];
    assert_eq!(
        (&block["type"], &block["name"], &block["input"]),
        (&"tool_use".into(), &"weather".into(), &json!({}))
    );
    assert_eq!(events[3]["delta"]["type"], "input_json_delta");
    assert_eq!(joined(&events, "/delta/partial_json"), ARGUMENTS);
    let end = &events[events.len() - 2];
    assert_eq!(end["delta"]["stop_reason"], "tool_use");
    assert_eq!(end["usage"]["output_tokens"], 5);
}

#[tokio::test]
async fn responses_stream_a_call_in_pieces() {
    let emulator = start().await;
    let mut client = Client::connect(&emulator).await.unwrap();
    let body = ask(RESPONSES, &json!({"stream": true}));
    let events = data(&client.post(RESPONSES, &body).await.unwrap());
    let expected = [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.completed",
    ];
    assert_eq!(types(&events), expected);
    for (position, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], position);
    }
    assert_eq!(joined(&events, "/delta"), ARGUMENTS);
    let last = events.last().unwrap();
    assert_eq!(last["response"]["output"][0]["arguments"], ARGUMENTS);
}

#[tokio::test]
async fn a_call_needs_a_question_that_is_open() {
    let user = |content: Value| json!({"role": "user", "content": content});
    let result = json!({"role": "tool", "tool_call_id": "c", "content": "sunny"});
    let part = json!({"type": "tool_result", "tool_use_id": "c", "content": "sunny"});
    let text = json!({"type": "text", "text": "and now?"});
    let output = json!({"type": "function_call_output", "call_id": "c", "output": "sunny"});
    let none = json!({"type": "none"});
    let emulator = start().await;
    let mut client = Client::connect(&emulator).await.unwrap();
    for (path, more, is_call) in [
        (CHAT, json!({"tool_choice": "auto"}), true),
        (CHAT, json!({"tool_choice": "none"}), false),
        (CHAT, json!({"tools": []}), false),
        (CHAT, json!({"messages": [result]}), false),
        (CHAT, json!({"messages": [result, user("x".into())]}), true),
        (MESSAGES, json!({"tool_choice": none}), false),
        (MESSAGES, json!({"messages": [user(json!([part]))]}), false),
        (
            MESSAGES,
            json!({"messages": [user(json!([part, text]))]}),
            false,
        ),
        (
            MESSAGES,
            json!({"messages": [user(json!([part])), user(json!([text]))]}),
            true,
        ),
        (RESPONSES, json!({"input": "weather?"}), true),
        (RESPONSES, json!({"input": [output]}), false),
    ] {
        let body = ask(path, &more);
        let answer = client.post(path, &body).await.unwrap().json().to_string();
        let words = ["\"tool_calls\"", "\"tool_use\"", "\"function_call\""];
        let found = words.iter().any(|word| answer.contains(word));
        assert_eq!(found, is_call, "{body} got {answer}");
    }
}
