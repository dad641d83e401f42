//! The proxy's own errors for requests it refuses: status, code, dialect, fields, metrics.

use std::fmt::Write;

use serde_json::Value;

use crate::harness::client::{self, Reply, chunked};
use crate::harness::{CHAT, MESSAGES, QUESTION, Rig};

/// Asserts everything an error of the proxy has to be.
#[track_caller]
pub(crate) fn assert_error(reply: &Reply, path: &str, status: u16, code: &str) {
    assert_eq!(reply.status, status, "{reply:?}");
    assert_eq!(reply.error(), Some(code), "{reply:?}");
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert!(reply.complete && reply.header("date").is_some());
    assert_dialect(&reply.json(), path, code);
}

/// Whether the status of a code is a 5xx.
fn is_server_error(code: &str) -> bool {
    code.starts_with("upstream_") || matches!(code, "overloaded" | "webhook_forward_failed")
}

/// Asserts the shape of an error body.
#[track_caller]
pub(crate) fn assert_dialect(json: &Value, path: &str, code: &str) {
    let error = json["error"].as_object().unwrap();
    let message = error["message"].as_str().unwrap();
    assert!(!message.is_empty());
    assert!(error["type"].is_string());
    if path.starts_with("/v1/messages") || path.starts_with("/minimax") {
        assert_eq!(json["type"], "error");
        let keys: Vec<_> = error.keys().collect();
        assert_eq!(keys.len(), 2, "{keys:?}");
    } else {
        assert_eq!(error["code"], code);
        assert!(error.contains_key("param") && error["param"].is_null());
        assert_eq!(error.len(), 4, "{error:?}");
        assert_eq!(error["type"] == "server_error", is_server_error(code));
        assert_eq!(json.as_object().unwrap().len(), 1);
    }
}

#[test]
fn unknown_paths_are_404_in_the_dialect_of_their_kin() {
    let rig = Rig::start();
    let paths = [
        "/",
        "/v1",
        "/v1/nope",
        "/v1/chat/completions/",
        "/V1/models",
        "/metrics",
        "/v1/files/../models",
        "/v1/messages/nope",
        "/minimax/v1/nope",
    ];
    for path in paths {
        assert_error(&rig.post(path, "{}"), path, 404, "unknown_route");
    }
    rig.wait_rejected("unknown_route", 9);
    let sample = "holysheep_http_requests_total{route=\"unknown\",status=\"404\"}";
    rig.wait_metric(sample, 9.0);
    assert_eq!(rig.emulator.stats().requests, 0);
}

#[test]
fn other_methods_are_405_with_allow() {
    let rig = Rig::start();
    for (method, path, allow) in [
        ("GET", CHAT, "POST"),
        ("GET", MESSAGES, "POST"),
        ("post", CHAT, "POST"),
        ("POST", "/v1/models", "GET"),
        ("DELETE", "/v1/files", "GET, POST"),
        ("PUT", "/v1/files/x", "GET, POST, DELETE"),
        ("POST", "/v1/rate_limit", "GET"),
        ("OPTIONS", CHAT, "POST"),
    ] {
        let reply = rig.client().request(method, path, &[], b"");
        assert_error(&reply, path, 405, "method_not_allowed");
        assert_eq!(reply.header("allow"), Some(allow), "{method} {path}");
    }
    rig.wait_rejected("method_not_allowed", 8);
    assert_eq!(rig.emulator.stats().requests, 0);
}

#[test]
fn a_refusal_of_head_has_no_body() {
    let rig = Rig::start();
    let mut client = rig.client();
    client.send(client::request("HEAD", "/health", &[], b""));
    client.send(client::request("GET", "/health", &[], b""));
    let first = client.head();
    assert!(first.status == 200 || first.status == 405, "{first:?}");
    // A body here would be taken for the next response (RFC 9110 section 9.3.2).
    let second = client.head();
    assert_eq!(second.status, 200);
}

#[test]
fn a_body_announced_too_long_is_413() {
    let rig = Rig::with("limits: {body: 1000}");
    for path in [CHAT, MESSAGES] {
        let reply = rig
            .client()
            .request("POST", path, &[("content-length", "1001")], b"");
        assert_error(&reply, path, 413, "request_too_large");
    }
    rig.wait_rejected("request_too_large", 2);
    assert_eq!(rig.emulator.stats().requests, 0);
    let reply = rig.post(
        CHAT,
        &format!("{QUESTION}{}", " ".repeat(1000 - QUESTION.len())),
    );
    assert_eq!(reply.status, 200, "the limit itself is allowed");
}

#[test]
fn a_chunked_body_that_grows_too_long_is_413() {
    let rig = Rig::with("limits: {body: 1000}");
    for path in [CHAT, MESSAGES] {
        let body = chunked(&[&[b' '; 600], &[b' '; 600], &[b' '; 600]]);
        let fields = [("transfer-encoding", "chunked")];
        let mut client = rig.client();
        let reply = client.request("POST", path, &fields, &body);
        assert_error(&reply, path, 413, "request_too_large");
        client.expect_close();
    }
    rig.wait_rejected("request_too_large", 2);
    // Upstream is not left waiting for the rest.
    rig.wait_stats(|stats| stats.in_flight == 0);
    assert_eq!(rig.emulator.stats().completed, 0);
}

#[test]
fn a_head_too_long_is_431() {
    for (limit, allowed, refused) in [("32KiB", 32_000, 34_000), ("2KiB", 1_500, 3_000)] {
        let rig = Rig::with(&format!("limits: {{headers: {limit}}}"));
        let ask = |length| {
            let fields = [("x-long", &*"x".repeat(length))];
            rig.client().request("GET", "/health", &fields, b"")
        };
        assert_eq!(ask(allowed).status, 200, "{limit}");
        assert_eq!(ask(refused).status, 431, "{limit}");
        assert_error(&ask(refused), "/health", 431, "headers_too_large");
        rig.wait_rejected("headers_too_large", 2);
    }
}

#[test]
fn a_head_with_too_many_fields_is_431() {
    let rig = Rig::start();
    let mut text = "GET /health HTTP/1.1\r\nhost: x\r\n".to_owned();
    for number in 0..120 {
        write!(text, "x-{number}: y\r\n").unwrap();
    }
    let mut client = rig.client();
    client.send(text + "\r\n");
    assert_error(&client.reply(), "/health", 431, "headers_too_large");
    client.expect_close();
}

#[test]
fn a_refusal_before_there_is_a_request_has_an_id_too() {
    let rig = Rig::start();
    for head in ["GET /health HTTP/1.1\r\n\r\n", "\u{1}\r\n\r\n"] {
        let mut client = rig.client();
        client.send(head);
        let reply = client.reply();
        let id = reply.header("x-request-id").unwrap_or_default();
        assert!(!id.is_empty(), "{reply:?}");
    }
}

/// Heads that two parsers could read in two ways, or not at all.
const MALFORMED: [&str; 17] = [
    "GET /health HTTP/1.1\r\n\r\n",
    "GET /health HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
    "GET /health HTTP/1.1\nhost: a\r\n\r\n",
    "GET /health HTTP/1.1\r\nhost: a\r\nx: y\r\n folded\r\n\r\n",
    "GET /health HTTP/1.1\r\nhost : a\r\n\r\n",
    "GET /health HTTP/1.1\r\nhost: a\0b\r\n\r\n",
    "GET /health HTTP/9.9\r\nhost: a\r\n\r\n",
    "GET health HTTP/1.1\r\nhost: a\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n",
    "CONNECT a:443 HTTP/1.1\r\nhost: a\r\n\r\n",
    "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
    "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\n",
    "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: +1\r\n\r\n",
    "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 1, 1\r\n\r\n",
    "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
    "POST /v1/chat/completions HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n",
    "\u{1}\u{2}\u{3}\r\n\r\n",
];

#[test]
fn malformed_heads_are_400_and_end_the_connection() {
    let rig = Rig::start();
    for head in MALFORMED {
        let mut client = rig.client();
        client.send(head);
        let reply = client.reply();
        assert_error(&reply, "", 400, "invalid_request");
        if !head.contains("* HTTP")
            && !head.contains("CONNECT")
            && !head.contains("health HTTP/1.1\r\nhost: a\r\n\r\n")
        {
            client.expect_close();
        }
    }
    rig.wait_rejected("invalid_request", 17);
    assert_eq!(rig.emulator.stats().requests, 0);
    assert_eq!(rig.wait_log(17).len(), 17);
}

#[test]
fn a_refused_head_is_logged_with_its_request_line() {
    let rig = Rig::start();
    let id = "x-request-id: job-1\r\nuser-agent: u/1\r\n";
    let long = "y".repeat(40_000);
    let cases = [
        (
            format!("GET /health?key=sk-1 HTTP/1.1\r\nhost: a\r\nhost: b\r\n{id}\r\n"),
            "GET /health HTTP/1.1",
            true,
        ),
        (
            format!(
                "POST {CHAT} HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\
                 transfer-encoding: chunked\r\n{id}\r\n"
            ),
            "POST /v1/chat/completions HTTP/1.1",
            true,
        ),
        (
            format!("GET /health?key=sk-1 HTTP/1.1\r\nhost: a\r\nx : y\r\n{id}\r\n"),
            "GET /health",
            false,
        ),
        (
            format!("GET /health HTTP/1.1\r\nhost: a\r\nx: {long}\r\n\r\n"),
            "GET /health HTTP/1.1",
            false,
        ),
        (
            "\u{16}\u{3}\u{1}\r\n\r\n".to_owned(),
            "\u{16}\u{3}\u{1}",
            false,
        ),
        ("Authorization: Bearer sk-1\r\n\r\n".to_owned(), "-", false),
    ];
    for (number, (head, request, is_read)) in cases.iter().enumerate() {
        let mut client = rig.client();
        client.send(head);
        let reply = client.reply();
        let line = rig.wait_log(number + 1).remove(number);
        assert_eq!(line["request"], *request, "{line}");
        let id = reply.header("x-request-id").unwrap();
        assert_eq!(line["request_id"], id);
        assert_eq!(id == "job-1", *is_read, "{reply:?}");
        let agent = if *is_read { "u/1" } else { "-" };
        assert_eq!(line["http_user_agent"], agent);
    }
    assert!(!rig.log_text().contains("sk-1"));
}

#[test]
fn a_malformed_chunked_body_is_400() {
    let rig = Rig::start();
    for body in ["xyz\r\n", "5\nhello\r\n0\r\n\r\n", "5\r\nhello0\r\n\r\n"] {
        let fields = [("transfer-encoding", "chunked")];
        let mut client = rig.client();
        let reply = client.request("POST", MESSAGES, &fields, body.as_bytes());
        assert_error(&reply, MESSAGES, 400, "invalid_request");
        client.expect_close();
    }
    rig.wait_rejected("invalid_request", 3);
    assert_eq!(rig.emulator.stats().completed, 0);
}

#[test]
fn passthrough_without_a_key_is_401() {
    let rig = Rig::with("auth: passthrough");
    for path in [CHAT, MESSAGES] {
        assert_error(&rig.post(path, QUESTION), path, 401, "invalid_api_key");
    }
    rig.wait_rejected("invalid_api_key", 2);
    assert_eq!(rig.emulator.stats().requests, 0);
}

#[test]
fn beyond_the_limit_of_requests_in_flight_is_503() {
    let rig = Rig::with("limits: {in_flight: 1}");
    let mut first = rig.client();
    let stall = [("x-emulator-fault", "stall-before-headers;ms=60000")];
    first.send(client::request("POST", CHAT, &stall, QUESTION.as_bytes()));
    rig.wait_metric("holysheep_http_requests_in_flight", 1.0);
    for path in [CHAT, MESSAGES] {
        let reply = rig.post(path, QUESTION);
        assert_error(&reply, path, 503, "overloaded");
        assert_eq!(reply.header("retry-after"), Some("1"));
    }
    rig.wait_rejected("overloaded", 2);
    let health = rig.get("/health");
    assert_eq!((health.status, health.text().as_str()), (200, "healthy\n"));
    drop(first);
    rig.wait_metric("holysheep_http_requests_in_flight", 0.0);
    assert_eq!(rig.post(CHAT, QUESTION).status, 200);
}

#[test]
fn a_refusal_says_nothing_of_another_request() {
    let rig = Rig::start();
    let fields = [
        ("x-request-id", "somebody-elses"),
        ("user-agent", "other/1"),
    ];
    let body = QUESTION.as_bytes();
    assert_eq!(
        rig.client().request("POST", CHAT, &fields, body).status,
        200
    );
    rig.wait_log(1);
    let mut client = rig.client();
    client.send("GET /health HTTP/1.1\r\n\r\n");
    let reply = client.reply();
    let line = rig.wait_log(2).remove(1);
    assert_eq!(line["status"], 400);
    assert_ne!(reply.header("x-request-id"), Some("somebody-elses"));
    assert_ne!(line["request_id"], "somebody-elses");
    assert_ne!(line["http_user_agent"], "other/1", "{line}");
    let request = line["request"].as_str().unwrap();
    assert!(!request.contains("completions"), "{line}");
}
