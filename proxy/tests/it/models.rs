//! Which upstream gets a request, by its model, and what it calls the model.

use bytes::Bytes;
use holysheep_emulator::{Emulator, FaultScope, RecordedRequest};
use serde_json::Value;

use crate::errors::assert_error;
use crate::harness::client::{chunked, request};
use crate::harness::{CHAT, EMULATOR_KEY, MESSAGES, QUESTION, Reply, Rig, STREAMED, h2};

const JSON: (&str, &str) = ("content-type", "application/json");

/// A rig with two upstreams.
fn rig(config: &str) -> Rig {
    let rig = Rig::builder().config(config);
    rig.another(|builder| builder).start()
}

fn question(model: &str) -> String {
    QUESTION.replace("\"m\"", &format!("\"{model}\""))
}

fn last(emulator: &Emulator) -> RecordedRequest {
    emulator.requests().pop().unwrap()
}

/// The body that an upstream got last, as JSON.
#[track_caller]
fn received(emulator: &Emulator) -> Value {
    let request = last(emulator);
    assert!(request.complete);
    serde_json::from_slice(&request.body).unwrap()
}

#[test]
fn the_model_says_who_serves_it() {
    let rig = rig("models: {exact: [second], 'pre*': [second], 'prefix-of-*': [holysheep]}");
    for (model, upstream) in [
        ("exact", "second"),
        ("exact-not", "holysheep"),
        ("pre", "second"),
        ("prefix-of-all", "holysheep"),
        ("other", "holysheep"),
    ] {
        let before = rig.requests();
        let reply = rig.post(CHAT, &question(model));
        assert_eq!(reply.status, 200, "{reply:?}");
        let after = rig.requests();
        let position = usize::from(upstream == "second");
        assert_eq!(after[position], before[position] + 1, "{model}");
        assert_eq!(after[1 - position], before[1 - position], "{model}");
    }
    let lines = rig.wait_log(5);
    assert_eq!(
        (&lines[0]["upstream"], &lines[0]["model"]),
        (&"second".into(), &"exact".into())
    );
    assert_eq!(lines[1]["upstream"], "holysheep");
    for (name, count) in [("second", 2.0), ("holysheep", 3.0)] {
        let labels = format!("upstream=\"{name}\",outcome=\"2xx\"");
        rig.wait_metric(
            &format!("holysheep_upstream_requests_total{{{labels}}}"),
            count,
        );
    }
}

#[test]
fn all_that_names_no_other_goes_where_the_default_says() {
    let rig = rig("models: {'*': [second], known: [holysheep]}");
    for (path, body) in [
        (CHAT, question("unknown")),
        (CHAT, r#"{"messages":[]}"#.to_owned()),
        (CHAT, r#"{"model":7}"#.to_owned()),
        (CHAT, String::new()),
        (CHAT, "no JSON".to_owned()),
        (
            "/v1/audio/transcriptions",
            "--x\r\n\r\nmodel\r\n--x--".to_owned(),
        ),
    ] {
        let before = rig.requests();
        rig.post(path, &body);
        assert_eq!(rig.requests(), [before[0], before[1] + 1], "{body}");
        assert_eq!(last(&rig.others[0]).body, body.as_bytes());
    }
    assert_eq!(rig.post(CHAT, &question("known")).status, 200);
    assert_eq!(rig.requests()[0], 1);
}

/// Bodies that name the model `m` in many places.
const PLACES: [&str; 6] = [
    r#"{"model":"m","messages":[{"role":"user","content":"hello"}]}"#,
    r#"{"messages":[{"role":"user","content":"hello"}],"model":"m"}"#,
    "\n {\"messages\" : [ ] , \"model\"\t:\n \"m\" , \"stream\" : true }\r\n",
    r#"{"metadata":{"model":"m"},"stream":true,"model":"m","messages":[{"role":"user","content":"\"model\":\"m\""}]}"#,
    r#"{"stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"m"}],"model":"m"}"#,
    r#"{"n":1,"messages":[],"model":"m","x":"model"}"#,
];

/// What upstream is to get of a body.
fn expected(body: &str, model: &str) -> Value {
    let mut json: Value = serde_json::from_str(body).unwrap();
    json["model"] = model.into();
    if json["stream"] == true && json["stream_options"].is_null() {
        json["stream_options"] = serde_json::json!({"include_usage": true});
    }
    json
}

/// Sends a body, framed in one way or another.
fn send(rig: &Rig, body: &str, step: usize, is_chunked: bool) -> Reply {
    let mut client = rig.client();
    let pieces = body.as_bytes().chunks(step);
    if is_chunked {
        let fields = [JSON, ("transfer-encoding", "chunked")];
        let pieces: Vec<_> = pieces.collect();
        return client.request("POST", CHAT, &fields, &chunked(&pieces));
    }
    let length = body.len().to_string();
    client.send(request(
        "POST",
        CHAT,
        &[JSON, ("content-length", &length)],
        b"",
    ));
    for piece in pieces {
        client.send(piece);
    }
    client.reply()
}

#[test]
fn the_model_is_renamed_wherever_it_stands_and_however_the_body_comes() {
    for protocol in ["http1", "http2"] {
        for name in ["x", "another-name/of:the.same"] {
            let rig = rig(&format!(
                "upstreams: [{{name: second, protocol: {protocol}}}]\nmodels: {{m: [{{upstream: second, model: '{name}'}}]}}"
            ));
            for body in PLACES {
                for (step, is_chunked) in [
                    (1, true),
                    (7, true),
                    (1000, true),
                    (1, false),
                    (1000, false),
                ] {
                    let reply = send(&rig, body, step, is_chunked);
                    assert_eq!((reply.status, reply.complete), (200, true), "{reply:?}");
                    let expected = expected(body, name);
                    assert_eq!(
                        received(&rig.others[0]),
                        expected,
                        "{protocol} {step} {is_chunked}"
                    );
                }
            }
            assert_eq!(rig.requests(), [0, 30]);
            let line = rig.wait_log(30).remove(0);
            assert_eq!(line["model"], "m", "{line}");
        }
    }
}

#[test]
fn the_model_is_renamed_in_bodies_over_h2() {
    let rig = rig("models: {m: [{upstream: second, model: renamed}]}");
    let client = h2::H2::connect(rig.data_addr());
    for body in PLACES {
        for step in [1, 9, 1000] {
            let pieces = body.as_bytes().chunks(step).map(Bytes::copy_from_slice);
            let mut request = h2::request("POST", CHAT, h2::pieces(pieces.collect()));
            request
                .headers_mut()
                .insert(JSON.0, JSON.1.parse().unwrap());
            assert_eq!(client.exchange(request).status(), 200);
            assert_eq!(received(&rig.others[0]), expected(body, "renamed"));
        }
    }
}

#[test]
fn a_fallback_calls_the_model_by_its_own_name() {
    let config = "models: {m: [{upstream: holysheep, model: the-first-name}, {upstream: second, model: b}, third]}";
    for protocol in ["http1", "http2"] {
        let others =
            format!("upstreams: [{{name: second, protocol: {protocol}}}, {{name: third}}]");
        let rig = Rig::builder().config(format!("{others}\n{config}"));
        let rig = rig
            .another(|builder| builder)
            .another(|builder| builder)
            .start();
        for emulator in rig.emulators().take(2) {
            let fault = "503".parse().unwrap();
            emulator.set_fault(fault, FaultScope::Always).unwrap();
        }
        let reply = rig
            .client()
            .request("POST", CHAT, &[JSON], STREAMED.as_bytes());
        assert_eq!((reply.status, reply.complete), (200, true), "{reply:?}");
        assert_eq!(reply.header("x-holysheep-attempts"), Some("3"));
        for (emulator, name) in rig.emulators().zip(["the-first-name", "b", "m"]) {
            assert_eq!(received(emulator), expected(STREAMED, name));
        }
        assert_eq!(
            (rig.requests(), rig.billed()),
            (vec![1, 1, 1], vec![0, 0, 1])
        );
        let line = rig.wait_log(1).remove(0);
        assert_eq!(
            (&line["upstream"], &line["model"]),
            (&"third".into(), &"m".into())
        );
    }
}

#[test]
fn a_long_body_is_held_back_only_until_it_names_its_model() {
    let rig = rig("retries: {body: 16KiB}\nmodels: {m: [{upstream: second, model: renamed}]}");
    let text = "x".repeat(200_000);
    let first = format!(r#"{{"model":"m","input":"{text}"}}"#);
    let last = format!(r#"{{"input":"{text}","model":"m"}}"#);
    let embeddings = "/v1/embeddings";
    let reply = rig.post(embeddings, &first);
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(rig.requests(), [0, 1]);
    let sent = rig.others[0].requests().pop().unwrap();
    assert_eq!(sent.body_length as usize, first.len() + "renamed".len() - 1);
    assert!(sent.body.starts_with(br#"{"model":"renamed","input":"x"#));
    // What is not kept cannot be looked at: the default.
    assert_eq!(rig.post(embeddings, &last).status, 200);
    assert_eq!(rig.requests(), [1, 1]);
    assert_eq!(rig.last_request().body_length as usize, last.len());
}

#[test]
fn what_is_stored_stays_with_the_first() {
    let rig = rig("{models: {m: [second]}, breaker: {failures: 100}}");
    rig.fault("503", FaultScope::Always);
    for (method, path, body) in [
        ("GET", "/v1/files", ""),
        ("POST", "/v1/files", "--x--"),
        ("GET", "/v1/files/file-1/content", ""),
        (
            "POST",
            "/v1/batches",
            r#"{"model":"m","input_file_id":"f"}"#,
        ),
        ("GET", "/v1/batches/b", ""),
    ] {
        let reply = rig.client().request(method, path, &[], body.as_bytes());
        assert_eq!(
            (reply.status, reply.error()),
            (503, None),
            "{path}: {reply:?}"
        );
    }
    assert_eq!(rig.requests(), [15, 0]);
}

/// Whether a request carries the key so, and in no other way.
#[track_caller]
fn assert_key(request: &RecordedRequest, name: &str) {
    let bearer = format!("Bearer {EMULATOR_KEY}");
    let value = if name == "x-api-key" {
        EMULATOR_KEY
    } else {
        &bearer
    };
    assert_eq!(request.header(name), Some(value), "{:?}", request.headers);
    let other = if name == "x-api-key" {
        "authorization"
    } else {
        "x-api-key"
    };
    assert!(!request.has_header(other), "{:?}", request.headers);
}

#[test]
fn an_upstream_gets_what_its_api_knows() {
    let config = "{upstream: {dialect: openai}, upstreams: [{name: second, dialect: anthropic}], \
                  models: {both: [second, holysheep], ours: [second]}}";
    let rig = rig(config);
    let ask = |path: &str, model: &str, field: (&str, &str)| {
        let body = question(model).replace('{', "{ ");
        rig.client()
            .request("POST", path, &[JSON, field], body.as_bytes())
    };
    let (bearer, own) = (
        ("authorization", "Bearer sk-client"),
        ("x-api-key", "sk-client"),
    );
    for (path, model, position, name) in [
        (MESSAGES, "both", 1, "x-api-key"),
        (MESSAGES, "other", 1, "x-api-key"),
        (CHAT, "both", 0, "authorization"),
        (CHAT, "other", 0, "authorization"),
    ] {
        for field in [bearer, own] {
            let before = rig.requests()[position];
            let reply = ask(path, model, field);
            assert_eq!(reply.status, 200, "{path} {model}: {reply:?}");
            assert_eq!(rig.requests()[position], before + 1, "{path} {model}");
            assert_key(&last(rig.emulators().nth(position).unwrap()), name);
        }
    }
    let reply = ask(CHAT, "ours", bearer);
    assert_error(&reply, CHAT, 404, "unknown_route");
    assert_eq!(rig.requests(), [4, 4]);
}

#[test]
fn a_fallback_of_another_api_gets_the_key_in_its_own_way() {
    let rig = rig("{upstreams: [{name: second, dialect: anthropic}]}");
    rig.fault("503", FaultScope::Always);
    let bearer = ("authorization", "Bearer sk-client");
    let reply = rig
        .client()
        .request("POST", MESSAGES, &[JSON, bearer], QUESTION.as_bytes());
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_key(&rig.last_request(), "authorization");
    assert_key(&last(&rig.others[0]), "x-api-key");
    // There is no fallback for what it does not speak.
    let reply = rig.post(CHAT, QUESTION);
    assert_eq!((reply.status, reply.error()), (503, None), "{reply:?}");
    assert_eq!(rig.requests()[1], 1);
}

/// Requests that cost nothing name a model as well.
#[test]
fn the_model_counts_where_no_tokens_do() {
    let rig = rig("models: {m: [{upstream: second, model: renamed}]}");
    for path in ["/v1/messages/count_tokens", "/v1/moderations"] {
        let body = r#"{"input":"x","messages":[{"role":"user","content":"hello"}],"model":"m"}"#;
        let reply = rig.client().request("POST", path, &[JSON], body.as_bytes());
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        assert_eq!(received(&rig.others[0])["model"], "renamed", "{path}");
    }
    assert_eq!(rig.requests(), [0, 2]);
}
