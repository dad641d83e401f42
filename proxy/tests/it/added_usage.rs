//! Streams whose clients do not ask what they use: upstream is asked, and the answer is left out.

use serde_json::{Value, json};

use crate::harness::client::{chunked, request};
use crate::harness::{CHAT, QUESTION, Reply, Rig, STREAMED};

const JSON: (&str, &str) = ("content-type", "application/json");
/// What a body grows by.
const ADDED: usize = r#","stream_options":{"include_usage":true}"#.len();

fn post(rig: &Rig, path: &str, body: &str) -> Reply {
    rig.client().request("POST", path, &[JSON], body.as_bytes())
}

/// The events of a stream, without `[DONE]`.
fn events(reply: &Reply) -> Vec<Value> {
    let text = String::from_utf8_lossy(&reply.body).into_owned();
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let data = data.filter(|data| *data != "[DONE]");
    data.map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

/// What upstream got, as JSON.
fn received(rig: &Rig) -> Value {
    serde_json::from_slice(&rig.last_request().body).unwrap()
}

#[test]
fn a_stream_is_counted_and_its_client_sees_nothing_of_it() {
    let rig = Rig::start();
    let reply = post(&rig, CHAT, STREAMED);
    for event in events(&reply) {
        assert_eq!(event["choices"].as_array().unwrap().len(), 1, "{event}");
        assert!(!event["usage"].is_object(), "{event}");
    }
    let received = rig.last_request();
    assert_eq!(received.body_length as usize, STREAMED.len() + ADDED);
    let asked: Value = serde_json::from_slice(&received.body).unwrap();
    assert_eq!(asked["stream_options"], json!({"include_usage": true}));
    let line = rig.wait_log(1).remove(0);
    assert_eq!(line["usage"]["source"], "reported", "{line}");
    assert_eq!(line["usage"]["output"], 16, "{line}");
    assert_eq!(line["bytes_in"], STREAMED.len(), "{line}");
    assert_eq!(line["bytes_out"], reply.body.len(), "{line}");
    rig.wait_metric("holysheep_usage_requests_total{source=\"reported\"}", 1.0);
}

#[test]
fn completions_and_both_versions_of_http() {
    for protocol in ["http1", "http2"] {
        let rig = Rig::with(&format!("upstream: {{protocol: {protocol}}}"));
        let body = r#"{"model":"m","prompt":"p","stream":true}"#;
        let reply = post(&rig, "/v1/completions", body);
        assert!(
            events(&reply)
                .iter()
                .all(|event| !event["usage"].is_object())
        );
        assert_eq!(rig.wait_log(1)[0]["usage"]["source"], "reported");
    }
}

#[test]
fn bodies_in_pieces_of_any_size() {
    let rig = Rig::start();
    let body = format!(" {STREAMED}\r\n ");
    for step in 1..=body.len() {
        let pieces: Vec<_> = body.as_bytes().chunks(step).collect();
        let fields = [JSON, ("transfer-encoding", "chunked")];
        let reply = rig
            .client()
            .request("POST", CHAT, &fields, &chunked(&pieces));
        assert_eq!(reply.status, 200);
        assert_eq!(received(&rig)["stream_options"]["include_usage"], true);
        assert_eq!(rig.last_request().body_length as usize, body.len() + ADDED);
    }
}

#[test]
fn whoever_asks_gets_what_they_ask_for() {
    let rig = Rig::start();
    for (options, is_reported) in [
        (r#"{"include_usage":true}"#, true),
        (r#"{"include_usage":false}"#, false),
        ("{}", false),
        ("null", false),
    ] {
        let body = STREAMED.replace(
            "\"stream\"",
            &format!("\"stream_options\":{options},\"stream\""),
        );
        let reply = post(&rig, CHAT, &body);
        let reported = events(&reply)
            .iter()
            .any(|event| event["usage"].is_object());
        assert_eq!(reported, is_reported, "{options}");
        let expected: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(received(&rig), expected);
        assert_eq!(rig.last_request().body_length as usize, body.len() + ADDED);
    }
}

#[test]
fn others_arrive_as_they_are() {
    let rig = Rig::start();
    for body in [QUESTION, r#"{"model":"m","stream":false,"messages":[]}"#] {
        let reply = post(&rig, CHAT, body);
        assert_eq!(reply.status, 200);
        let expected: Value = serde_json::from_str(body).unwrap();
        assert_eq!(received(&rig), expected);
        assert!(
            rig.last_request().body.ends_with(b" }"),
            "spaces before the brace"
        );
    }
    // What is no document of JSON is as wrong as before.
    for body in ["", "{", "no JSON", "[]"] {
        let reply = post(&rig, CHAT, body);
        assert_eq!(reply.status, 400, "{body}");
        let received = rig.last_request().body;
        let received = String::from_utf8_lossy(&received);
        assert_eq!(received.trim_end_matches(' '), body);
    }
    // What cannot be read is not touched.
    for field in [("content-encoding", "gzip"), ("content-type", "text/plain")] {
        let mut fields = vec![JSON, field];
        fields.dedup_by_key(|(name, _)| *name);
        if field.0 == "content-type" {
            fields = vec![field];
        }
        let mut client = rig.client();
        client.send(request("POST", CHAT, &fields, STREAMED.as_bytes()));
        client.reply();
        assert_eq!(rig.last_request().body, STREAMED.as_bytes());
    }
}

#[test]
fn nothing_held_comes_before_an_error() {
    let rig = Rig::start();
    let asked = STREAMED.replace(
        "\"stream\"",
        "\"stream_options\":{\"include_usage\":true},\"stream\"",
    );
    let key = format!("Bearer {}", rig.emulator.api_key());
    let fields = [JSON, ("authorization", &*key)];
    let whole = rig
        .direct()
        .request("POST", CHAT, &fields, asked.as_bytes());
    let whole = String::from_utf8(whole.body).unwrap();
    let ends: Vec<_> = whole.match_indices("\n\n").map(|(at, _)| at + 2).collect();
    // In an event before its choices, and in that of usage, which the client has not asked for.
    for (passed, cut) in [(4, ends[3] + 30), (18, ends[17] + 30), (18, ends[18] - 10)] {
        let fault = format!("cut;after={cut}");
        let fields = [JSON, ("x-emulator-fault", &*fault)];
        let reply = rig
            .client()
            .request("POST", CHAT, &fields, STREAMED.as_bytes());
        let text = String::from_utf8(reply.body).unwrap();
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        let events: Vec<Value> = data
            .map(|data| serde_json::from_str(data).unwrap())
            .collect();
        assert_eq!(events.len(), passed + 1, "{text}");
        assert_eq!(events[passed]["error"]["code"], "upstream_closed", "{text}");
        assert!(!text.contains("completion_tokens"), "{text}");
    }
}

#[test]
fn it_can_be_turned_off() {
    for config in ["usage: {add_to_streams: false}", "usage: {count: false}"] {
        let rig = Rig::with(config);
        let reply = post(&rig, CHAT, STREAMED);
        assert_eq!(rig.last_request().body, STREAMED.as_bytes());
        let direct = rig.emulator.api_key().to_owned();
        let fields = [JSON, ("authorization", &*format!("Bearer {direct}"))];
        let expected = rig
            .direct()
            .request("POST", CHAT, &fields, STREAMED.as_bytes());
        assert_eq!(reply.body.len(), expected.body.len());
    }
}
