//! Clients that are slow, or silent.

use std::io::{Read, Write};

use crate::errors::assert_error;
use crate::harness::client::{Reply, request};
use crate::harness::h2::{self, H2};
use crate::harness::{CHAT, MESSAGES, QUESTION, Rig, soon};

#[test]
fn a_head_that_does_not_arrive_in_time_is_408() {
    let rig = Rig::with("timeouts: {client_header: 300ms}");
    for start in ["POST /v1/chat", "GET /health HTTP/1.1\r\nhost: x\r\n"] {
        let mut client = rig.client();
        client.send(start);
        let reply = client.reply();
        assert_eq!(
            (reply.status, reply.error()),
            (408, Some("request_timeout")),
            "{start}"
        );
        client.expect_close();
    }
    rig.wait_rejected("request_timeout", 2);
}

#[test]
fn what_could_become_h2_has_no_more_time() {
    let rig = Rig::with("timeouts: {client_header: 300ms}");
    for start in ["P", "PRI * HTTP/2.0\r\n"] {
        let mut client = rig.client();
        client.send(start);
        client.rest();
    }
}

#[test]
fn a_second_head_that_does_not_arrive_in_time_is_408() {
    let rig = Rig::with("timeouts: {client_header: 300ms}");
    let mut client = rig.client();
    assert_eq!(client.request("GET", "/health", &[], b"").status, 200);
    client.send("GET /hea");
    let reply = client.reply();
    assert_error(&reply, "/health", 408, "request_timeout");
    client.expect_close();
}

#[test]
fn dribbling_a_head_does_not_extend_its_time() {
    let rig = Rig::with("timeouts: {client_header: 300ms}");
    let mut stream = rig.connect();
    stream.set_nonblocking(true).unwrap();
    stream.write_all(b"GET /health HTTP/1.1\r\nx: ").unwrap();
    let mut answer = Vec::new();
    let answered = soon(|| {
        // A byte every other millisecond, until the proxy has had enough.
        let _closed = stream.write(b"y");
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece).unwrap_or(0);
        answer.extend_from_slice(&piece[..count]);
        !answer.is_empty()
    });
    let text = String::from_utf8_lossy(&answer);
    assert!(answered && text.starts_with("HTTP/1.1 408 "), "{text}");
}

#[test]
fn a_body_that_does_not_arrive_in_time_is_408() {
    let rig = Rig::with("timeouts: {client_body: 300ms}");
    for path in [CHAT, MESSAGES] {
        let mut client = rig.client();
        client.send(request("POST", path, &[("content-length", "100")], b"{"));
        let reply = client.reply();
        assert_error(&reply, path, 408, "request_timeout");
        client.expect_close();
    }
    rig.wait_rejected("request_timeout", 2);
    rig.wait_stats(|stats| stats.cancelled == 2);
}

#[test]
fn a_client_that_does_not_read_its_answer_is_cut_off() {
    let rig = Rig::with("timeouts: {client_body: 500ms}");
    let mut client = rig.client();
    let fields = [("x-emulator-fault", "oversized-body;bytes=400000000")];
    client.send(request("POST", CHAT, &fields, QUESTION.as_bytes()));
    assert_eq!(client.head().status, 200);
    rig.wait_rejected("client_closed", 1);
    rig.wait_stats(|stats| stats.cancelled == 1);
    let mut reply = Reply::default();
    reply
        .headers
        .push(("content-length".to_owned(), "400000000".to_owned()));
    client.body(&mut reply);
    assert!(!reply.complete);
}

#[test]
fn an_idle_connection_is_closed_quietly() {
    let rig = Rig::with("timeouts: {client_idle: 300ms}");
    let mut client = rig.client();
    let reply = client.request("POST", CHAT, &[], QUESTION.as_bytes());
    assert_eq!(reply.status, 200);
    client.expect_close();
    rig.wait_metric("holysheep_http_connections", 0.0);
    assert_eq!(rig.wait_log(1)[0]["error"], serde_json::Value::Null);
}

#[test]
fn an_idle_h2_connection_is_closed_quietly() {
    let rig = Rig::with("timeouts: {client_idle: 300ms}");
    let client = H2::connect(rig.data_addr());
    // The limit is for connections without a stream; this one has one for longer.
    let mut slow = h2::request("POST", CHAT, h2::full(QUESTION));
    let fault = "stall-before-headers;ms=900".parse().unwrap();
    slow.headers_mut().insert("x-emulator-fault", fault);
    assert_eq!(client.exchange(slow).status(), 200);
    rig.wait_metric("holysheep_http_connections", 0.0);
    assert_eq!(rig.wait_log(1)[0]["error"], serde_json::Value::Null);
}

#[test]
fn an_h2_client_that_never_answers_is_closed() {
    let rig = Rig::with("timeouts: {client_idle: 300ms}");
    let preface: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let no_settings: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    for sent in [preface.to_vec(), [preface, no_settings].concat()] {
        let mut client = rig.client();
        client.send(sent);
        // Settings and GOAWAY may come; the end does.
        client.rest();
    }
    rig.wait_metric("holysheep_http_connections", 0.0);
    assert!(rig.log_lines().is_empty());
}

#[test]
fn a_connection_that_never_says_anything_is_closed_quietly() {
    let rig = Rig::with("timeouts: {client_idle: 300ms}");
    rig.client().expect_close();
    rig.wait_metric("holysheep_http_connections", 0.0);
    assert!(rig.log_lines().is_empty());
}

#[test]
fn empty_lines_do_not_keep_a_connection_open() {
    let rig = Rig::with("timeouts: {client_idle: 300ms, client_header: 300ms}");
    let mut stream = rig.connect();
    stream.set_nonblocking(true).unwrap();
    let closed = soon(|| {
        let _closed = stream.write(b"\r\n");
        let ended = stream.read(&mut [0; 512]);
        !matches!(ended, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    });
    assert!(closed);
}
