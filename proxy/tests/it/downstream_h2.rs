//! Clients that speak h2, with prior knowledge and by ALPN.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use holysheep_emulator::Authority;
use http_body_util::BodyExt;

use crate::errors::assert_dialect;
use crate::harness::client::Client;
use crate::harness::h2::{Body, H2, full, pieces, request};
use crate::harness::{CHAT, MESSAGES, QUESTION, Rig, STREAMED};
use crate::tls_listener::with_tls;

fn plain() -> Rig {
    Rig::builder()
        .emulator(|emulator| emulator.timestamps(false))
        .start()
}

/// Asserts that both kinds of answers are what an HTTP/1.1 client gets.
fn assert_served(rig: &Rig, client: &H2) {
    for (path, body) in [(CHAT, QUESTION), (CHAT, STREAMED), (MESSAGES, STREAMED)] {
        let expected = rig.post(path, body);
        let answer = client.post(path, body);
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.body(), &expected.body);
        let field = |name| answer.headers().get(name).map(|v| v.to_str().unwrap());
        assert_eq!(field("content-type"), expected.header("content-type"));
        assert_eq!(field("x-request-id").map(str::len), Some(32));
        assert_eq!(field("x-upstream-request-id"), Some("req_emulator"));
        for name in ["connection", "transfer-encoding", "keep-alive"] {
            assert_eq!(field(name), None);
        }
    }
}

#[test]
fn h2_with_prior_knowledge_is_served() {
    let rig = plain();
    let client = H2::connect(rig.data_addr());
    assert_served(&rig, &client);
    let request = rig.last_request();
    assert_eq!(request.version, http::Version::HTTP_11);
    assert_eq!(request.header("x-forwarded-proto"), Some("http"));
    let line = rig.wait_log(6).pop().unwrap();
    assert_eq!(line["request"], format!("POST {MESSAGES} HTTP/2.0"));
    assert_eq!(
        (&line["model"], &line["end"]),
        (&"m".into(), &"complete".into())
    );
    // Two connections of one kind, one of the other.
    rig.wait_metric("holysheep_http_connections_accepted_total", 4.0);
}

#[test]
fn h2_by_alpn_is_served() {
    let authority = Arc::new(Authority::new().unwrap());
    let rig = with_tls(&authority);
    let config = authority.client_config(&["h2", "http/1.1"]).unwrap();
    let client = H2::connect_tls(rig.app().tls_addr().unwrap(), config);
    let answer = client.post(CHAT, QUESTION);
    assert_eq!(answer.status(), 200);
    let request = rig.last_request();
    assert_eq!(request.header("x-forwarded-proto"), Some("https"));
}

#[test]
fn h2_streams_run_side_by_side() {
    let rig = plain();
    let client = H2::connect(rig.data_addr());
    let stalled = {
        let mut stalled = request("POST", CHAT, full(QUESTION));
        let fault = "stall-before-headers;ms=500".parse().unwrap();
        stalled.headers_mut().insert("x-emulator-fault", fault);
        client.start(stalled)
    };
    rig.wait_stats(|stats| stats.in_flight == 1);
    assert_eq!(client.post(CHAT, QUESTION).status(), 200);
    rig.wait_stats(|stats| stats.in_flight == 1 && stats.completed == 1);
    assert_eq!(client.run(stalled).unwrap().status(), 200);
}

#[test]
fn h2_uploads_are_whole() {
    let rig = plain();
    let client = H2::connect(rig.data_addr());
    let text = "x".repeat(5 << 20);
    let body = format!(
        "{{\"model\":\"big\",\"messages\":[{{\"role\":\"user\",\"content\":\"{text}\"}}]}}"
    );
    assert_eq!(client.post(CHAT, body.clone()).status(), 200);
    let received = rig.last_request();
    assert_eq!(received.body_length, body.len() as u64);
    assert_eq!(
        received.body_hash,
        holysheep_emulator::body_hash(body.as_bytes())
    );
    let length = body.len().to_string();
    assert_eq!(received.header("content-length"), Some(length.as_str()));
    let line = rig.wait_log(1).remove(0);
    assert_eq!(
        (&line["bytes_in"], &line["model"]),
        (&body.len().into(), &"big".into())
    );
}

#[test]
fn h2_errors_have_the_dialect_of_the_route() {
    let rig = Rig::with("limits: {body: 1000}");
    let client = H2::connect(rig.data_addr());
    for (method, path, body, status, code) in [
        ("POST", "/v1/nope", String::new(), 404, "unknown_route"),
        ("GET", MESSAGES, String::new(), 405, "method_not_allowed"),
        ("POST", CHAT, " ".repeat(2000), 413, "request_too_large"),
    ] {
        let answer = client.exchange(request(method, path, full(body)));
        assert_eq!(answer.status(), status);
        assert_eq!(answer.headers()["x-holysheep-error"], code);
        assert_dialect(&serde_json::from_slice(answer.body()).unwrap(), path, code);
        rig.wait_rejected(code, 1);
    }
}

/// A request with fields of their own names, and one of `length` bytes.
fn many_fields(path: &str, count: usize, length: usize) -> http::Request<Body> {
    let mut request = request("POST", path, full(QUESTION));
    let fields = request.headers_mut();
    for number in 0..count {
        let name = format!("x-{number}").parse::<http::HeaderName>().unwrap();
        fields.insert(name, http::HeaderValue::from_static("y"));
    }
    fields.insert("x-long", "x".repeat(length).parse().unwrap());
    request
}

#[test]
fn an_h2_head_too_large_is_431_as_in_http_1() {
    let rig = Rig::start();
    let client = H2::connect(rig.data_addr());
    let refused = [
        (CHAT, 0, 34_000),
        (MESSAGES, 0, 100_000),
        (CHAT, 150, 10),
        (MESSAGES, 1_000, 10),
    ];
    for (path, count, length) in refused {
        let answer = client.exchange(many_fields(path, count, length));
        assert_eq!(answer.status(), 431, "{count} {length}");
        let code = "headers_too_large";
        assert_eq!(answer.headers()["x-holysheep-error"], code);
        assert_eq!(answer.headers()["x-request-id"].len(), 32);
        assert_dialect(&serde_json::from_slice(answer.body()).unwrap(), path, code);
    }
    rig.wait_rejected("headers_too_large", 4);
    for line in rig.wait_log(refused.len()) {
        assert_eq!(line["status"], 431);
        assert_eq!(line["error"], "headers_too_large");
    }
    // What HTTP/1.1 would serve is served, and the connection has lived on.
    let answer = client.exchange(many_fields(CHAT, 80, 30_000));
    assert_eq!(answer.status(), 200);
}

#[test]
fn h2_cookies_reach_http_1_as_one_field() {
    let rig = Rig::start();
    let client = H2::connect(rig.data_addr());
    let mut crumbs = request("POST", CHAT, full(QUESTION));
    for crumb in ["a=1", "b=2", "c=3; d=4"] {
        crumbs
            .headers_mut()
            .append("cookie", crumb.parse().unwrap());
    }
    assert_eq!(client.exchange(crumbs).status(), 200);
    let received = rig.last_request();
    // Exactly one field, or this is nothing.
    assert_eq!(received.header("cookie"), Some("a=1; b=2; c=3; d=4"));
}

#[test]
fn an_h2_body_without_length_that_grows_too_long_is_413() {
    let rig = Rig::with("limits: {body: 1000}");
    let client = H2::connect(rig.data_addr());
    let answer = client.exchange(request(
        "POST",
        CHAT,
        pieces(vec![Bytes::from(vec![b' '; 600]); 3]),
    ));
    assert_eq!(answer.status(), 413);
    rig.wait_stats(|stats| stats.in_flight == 0);
    assert_eq!(rig.emulator.stats().completed, 0);
}

#[test]
fn a_reset_h2_stream_cancels() {
    let rig = Rig::builder()
        .emulator(|emulator| emulator.token_interval(Duration::from_millis(20)))
        .start();
    let client = H2::connect(rig.data_addr());
    let body = r#"{"model":"m","stream":true,"max_tokens":100000,"messages":[]}"#;
    let mut answer = client.send(request("POST", CHAT, full(body))).unwrap();
    client.run(answer.body_mut().frame()).unwrap().unwrap();
    drop(answer);
    rig.wait_stats(|stats| stats.cancelled == 1);
    rig.wait_rejected("client_closed", 1);
    assert_eq!(rig.wait_log(1)[0]["end"], "cancelled");
    assert_eq!(client.get("/health").status(), 200, "the connection lives");
}

#[test]
fn an_h2_client_that_leaves_while_upstream_thinks_cancels() {
    let rig = Rig::start();
    rig.fault(
        "stall-before-headers",
        holysheep_emulator::FaultScope::Always,
    );
    let client = H2::connect(rig.data_addr());
    let waiting = client.start(request("POST", CHAT, full(QUESTION)));
    rig.wait_stats(|stats| stats.in_flight == 1);
    drop(waiting);
    drop(client);
    rig.wait_stats(|stats| stats.cancelled == 1);
    let line = rig.wait_log(1).remove(0);
    assert_eq!(
        (&line["status"], &line["end"]),
        (&499.into(), &"cancelled".into())
    );
}

#[test]
fn an_h2_stream_under_way_finishes_when_the_proxy_stops() {
    let rig = Rig::with("timeouts: {drain: 10s}");
    let client = H2::connect(rig.data_addr());
    let mut stalled = request("POST", CHAT, full(QUESTION));
    let fault = "stall-before-headers;ms=300".parse().unwrap();
    stalled.headers_mut().insert("x-emulator-fault", fault);
    let stalled = client.start(stalled);
    rig.wait_stats(|stats| stats.in_flight == 1);
    rig.app().stop();
    let answer = client.run(stalled).unwrap();
    assert_eq!(answer.status(), 200);
    assert!(client.run(answer.into_body().collect()).is_ok());
    rig.wait_metric("holysheep_http_connections", 0.0);
}

#[test]
fn an_h2_answer_that_breaks_off_is_an_error_for_the_client() {
    let rig = Rig::start();
    let client = H2::connect(rig.data_addr());
    let mut cut = request("POST", CHAT, full(QUESTION));
    cut.headers_mut()
        .insert("x-emulator-fault", "cut;after=10".parse().unwrap());
    let answer = client.send(cut).unwrap();
    assert_eq!(answer.status(), 200);
    assert!(client.run(answer.into_body().collect()).is_err());
    rig.wait_rejected("upstream_closed", 1);
}

#[test]
fn head_has_no_body_in_h2_either() {
    let rig = Rig::start();
    let client = H2::connect(rig.data_addr());
    let answer = client.exchange(request("HEAD", CHAT, full("")));
    assert_eq!((answer.status().as_u16(), answer.body().len()), (405, 0));
    assert_eq!(client.get("/health").body(), "healthy\n");
}

#[test]
fn what_only_looks_like_h2_is_http_1() {
    let rig = Rig::start();
    let mut client: Client = rig.client();
    for piece in [
        "P",
        "O",
        "ST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n\r\n",
    ] {
        client.send(piece);
    }
    // The emulator's word on an empty body.
    assert_eq!(client.reply().status, 400);
}
