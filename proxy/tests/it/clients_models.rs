//! Clients that may use some models only: nothing of a request reaches upstream before its model is known to be one of them.

use holysheep_emulator::FaultScope;

use crate::errors::assert_error;
use crate::harness::client::{chunked, find, request};
use crate::harness::clients::Keyed;
use crate::harness::{CHAT, Client, MESSAGES, Reply, Rig, eventually};

const JSON: (&str, &str) = ("content-type", "application/json");
const MODELS: &str = r#""models": ["cheap", "small-*"]"#;

/// A client with a list, and a proxy that knows it.
fn rig() -> (Rig, String) {
    let client = Keyed::new("limited", MODELS);
    // Bodies arrive as they are.
    let yaml = "usage: {add_to_streams: false}";
    let rig = Rig::builder().config(yaml).clients(&[&client]).start();
    (rig, client.key)
}

fn body(model: &str) -> String {
    format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"hello"}}]}}"#)
}

fn post(rig: &Rig, key: &str, path: &str, body: impl AsRef<[u8]>) -> Reply {
    let fields = [JSON, ("x-api-key", key)];
    rig.client().request("POST", path, &fields, body.as_ref())
}

fn get(rig: &Rig, key: &str, path: &str) -> Reply {
    rig.client()
        .request("GET", path, &[("x-api-key", key)], b"")
}

#[test]
fn models_on_the_list_pass_and_others_reach_nobody() {
    let (rig, key) = rig();
    for path in [
        CHAT,
        MESSAGES,
        "/v1/embeddings",
        "/v1/messages/count_tokens",
    ] {
        for model in ["dear", "small", "CHEAP", ""] {
            let reply = post(&rig, &key, path, body(model));
            assert_error(&reply, path, 403, "model_not_allowed");
        }
    }
    assert_eq!(rig.emulator.requests().len(), 0);
    for model in ["cheap", "small-1", "small-"] {
        assert_eq!(post(&rig, &key, CHAT, body(model)).status, 200);
        let received = rig.last_request();
        assert_eq!(received.body, body(model));
    }
    let reply = post(&rig, &key, CHAT, body("dear"));
    assert!(reply.text().contains("the model dear"), "{reply:?}");
    rig.wait_rejected("model_not_allowed", 17);
    let line = rig.wait_log(20).remove(0);
    assert_eq!(
        (&line["client"], &line["attempts"]),
        (&"limited".into(), &0.into())
    );
}

#[test]
fn nothing_is_sent_before_the_model_is_named() {
    let (rig, key) = rig();
    let whole =
        r#"{"messages":[{"role":"user","content":"hello"}],"stream":false,"model":"cheap"}"#;
    let (before, behind) = whole.split_at(whole.len() - 8);
    let mut client = rig.client();
    let length = whole.len().to_string();
    let fields = [JSON, ("x-api-key", &*key), ("content-length", &*length)];
    client.send(request("POST", CHAT, &fields, before.as_bytes()));
    rig.wait_metric("holysheep_http_requests_in_flight", 1.0);
    // Time enough for another to go all the way.
    assert_eq!(post(&rig, &key, CHAT, body("small-1")).status, 200);
    assert_eq!(rig.emulator.stats().requests, 1);
    client.send(behind);
    assert_eq!(client.reply().status, 200);
    assert_eq!(rig.last_request().body, whole);
}

#[test]
fn a_long_request_may_name_its_model_at_its_end() {
    let (rig, key) = rig();
    // More than is kept to be sent again.
    let content = "x".repeat(3 << 20);
    for (model, status) in [("cheap", 200), ("dear", 403)] {
        let long = format!(
            r#"{{"messages":[{{"role":"user","content":"{content}"}}],"model":"{model}"}}"#
        );
        assert_eq!(post(&rig, &key, CHAT, &long).status, status);
        let chunks: Vec<_> = long.as_bytes().chunks(100_000).collect();
        let fields = [JSON, ("x-api-key", &*key), ("transfer-encoding", "chunked")];
        let mut client = rig.client();
        client.send(request("POST", CHAT, &fields, &chunked(&chunks)));
        assert_eq!(client.reply().status, status);
        let received = rig.last_request();
        assert!(received.complete && received.body_length >= 3 << 20);
    }
    assert_eq!(rig.emulator.requests().len(), 2);
    // A limit there is all the same.
    let client = Keyed::new("limited", MODELS);
    let rig = Rig::builder()
        .config("limits: {body: 100KB}")
        .clients(&[&client])
        .start();
    assert_eq!(post(&rig, &client.key, CHAT, &content).status, 413);
}

#[test]
fn a_second_model_behind_the_first_ends_the_request() {
    let (rig, key) = rig();
    let filler = "x".repeat(200_000);
    for second in [
        r#""model":"dear""#,
        r#""MODEL":"dear""#,
        r#""mod\u0065l":"dear""#,
        r#"/*"*/"model":"dear"/*"*/"#,
    ] {
        let twice = format!(r#"{{"model":"cheap","messages":[],"user":"{filler}",{second}}}"#);
        let reply = post(&rig, &key, CHAT, &twice);
        assert_error(&reply, CHAT, 403, "model_not_allowed");
        let mut client = rig.client();
        let length = twice.len().to_string();
        let fields = [JSON, ("x-api-key", &*key), ("content-length", &*length)];
        client.send(request("POST", CHAT, &fields, &twice.as_bytes()[..100_000]));
        client.send(&twice[100_000..]);
        assert_error(&client.reply(), CHAT, 403, "model_not_allowed");
    }
    eventually(|| rig.emulator.stats().in_flight == 0);
    let complete = rig
        .emulator
        .requests()
        .iter()
        .filter(|request| request.complete)
        .count();
    assert_eq!(complete, 0, "upstream has got no whole request");
    assert_eq!(rig.emulator.stats().completed, 0);
}

#[test]
fn what_the_proxy_cannot_read_is_refused() {
    let (rig, key) = rig();
    let key = ("x-api-key", key.as_str());
    let cheap = body("cheap");
    for fields in [
        vec![key],
        vec![key, ("content-type", "multipart/form-data; boundary=x")],
        vec![key, ("content-type", "application/json; charset=utf-16")],
        vec![key, JSON, ("content-encoding", "gzip")],
        vec![
            key,
            JSON,
            ("content-type", "multipart/form-data; boundary=x"),
        ],
    ] {
        for path in [CHAT, "/v1/audio/transcriptions"] {
            let mut client = rig.client();
            let reply = client.request("POST", path, &fields, cheap.as_bytes());
            assert_error(&reply, path, 403, "model_not_allowed");
        }
    }
    for unnamed in [
        "",
        "{}",
        r#"{"messages":[]}"#,
        r#"{"model":["cheap"]}"#,
        "[]",
    ] {
        let reply = post(&rig, key.1, CHAT, unnamed);
        assert_error(&reply, CHAT, 403, "model_not_allowed");
    }
    let reply = post(&rig, key.1, "/v1/batches", r#"{"input_file_id":"file-1"}"#);
    assert_error(&reply, "/v1/batches", 403, "model_not_allowed");
    assert_eq!(rig.emulator.requests().len(), 0);
}

#[test]
fn a_session_is_for_a_model_on_the_list() {
    let (rig, key) = rig();
    let open = |query: &str| {
        let fields = [
            ("x-api-key", &*key),
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        let mut client = rig.client();
        client.send(request(
            "GET",
            &format!("/v1/realtime{query}"),
            &fields,
            b"",
        ));
        // A switch of protocols has no end that a response has.
        client.wait(|input| find(input, b"\r\n"));
        let status = std::str::from_utf8(&client.received()[9..12]).unwrap();
        status.parse::<u16>().unwrap()
    };
    for query in [
        "",
        "?model=dear",
        "?model=cheap&model=dear",
        "?model=cheap&m%6fdel=dear",
    ] {
        assert_eq!(open(query), 403, "{query}");
    }
    assert_eq!(rig.emulator.requests().len(), 0);
    assert_eq!(open("?model=small-realtime"), 101);
}

#[test]
fn the_list_of_models_is_what_the_client_may_use() {
    let limited = Keyed::new("limited", r#""models": ["deepseek-*", "none-such"]"#);
    let free = Keyed::new("free", "");
    let rig = Rig::builder().clients(&[&limited, &free]).start();
    let ids = |reply: &Reply| {
        let list = reply.json();
        assert_eq!(list["object"], "list");
        let models = list["data"].as_array().unwrap().iter();
        models
            .map(|model| model["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let all = ids(&get(&rig, &free.key, "/v1/models"));
    let expected: Vec<_> = all
        .iter()
        .filter(|id| id.starts_with("deepseek-"))
        .cloned()
        .collect();
    assert!(
        !expected.is_empty() && expected.len() < all.len(),
        "{all:?}"
    );
    for path in ["/v1/models", "/v1/models?limit=1000"] {
        let reply = get(&rig, &limited.key, path);
        assert_eq!(ids(&reply), expected);
        assert_eq!(reply.header("cache-control"), Some("private, max-age=300"));
    }
    assert_eq!(ids(&get(&rig, &free.key, "/v1/models")), all);
    let asked = rig.emulator.requests();
    assert_eq!(asked.len(), 1, "one for all, and the list of all");
    let of = |id: &str| get(&rig, &limited.key, &format!("/v1/models/{id}"));
    assert_eq!(of(&expected[0]).status, 200);
    let hidden = all.iter().find(|id| !expected.contains(id)).unwrap();
    assert_error(&of(hidden), "/v1/models", 403, "model_not_allowed");
}

#[test]
fn a_list_that_comes_first_is_not_shortened_for_others() {
    let limited = Keyed::new("limited", r#""models": ["none-such"]"#);
    let free = Keyed::new("free", "");
    let rig = Rig::builder().clients(&[&limited, &free]).start();
    let count = |key: &str| {
        get(&rig, key, "/v1/models").json()["data"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!(count(&limited.key), 0);
    assert!(count(&free.key) > 1);
}

#[test]
fn the_clients_name_for_a_model_is_what_counts() {
    let client = Keyed::new("limited", MODELS);
    let yaml = "usage: {add_to_streams: false}\nmodels: {cheap: [{upstream: second, model: dear}], dear: [second]}";
    let rig = Rig::builder()
        .config(yaml)
        .another(|emulator| emulator)
        .clients(&[&client])
        .start();
    assert_eq!(post(&rig, &client.key, CHAT, body("dear")).status, 403);
    assert_eq!(post(&rig, &client.key, CHAT, body("cheap")).status, 200);
    let received = rig.others[0].requests();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].body, body("dear"));
    assert_eq!(rig.emulator.requests().len(), 0);
}

#[test]
fn a_request_that_was_watched_is_sent_again_like_any_other() {
    let (rig, key) = rig();
    rig.fault("status;code=503", FaultScope::Next(1));
    let reply = post(&rig, &key, CHAT, body("cheap"));
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.header("x-holysheep-attempts"), Some("2"));
    assert_eq!(rig.last_request().body, body("cheap"));
}

#[test]
fn who_stops_before_the_model_is_named_is_not_waited_for() {
    let client = Keyed::new("limited", MODELS);
    let yaml = "timeouts: {client_body: 200ms}";
    let rig = Rig::builder().config(yaml).clients(&[&client]).start();
    let fields = [JSON, ("x-api-key", &*client.key), ("content-length", "100")];
    let mut slow = rig.client();
    slow.send(request("POST", CHAT, &fields, b"{\"messages\":["));
    assert_error(&slow.reply(), CHAT, 408, "request_timeout");
    let mut gone = Client::connect(rig.data_addr());
    gone.send(request("POST", CHAT, &fields, b"{"));
    rig.wait_metric("holysheep_http_requests_in_flight", 1.0);
    drop(gone);
    rig.wait_metric("holysheep_http_requests_in_flight", 0.0);
    assert_eq!(rig.emulator.requests().len(), 0);
}
