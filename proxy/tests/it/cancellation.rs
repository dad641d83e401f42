//! Clients that go away, wholly or by half.

use std::io::Write;
use std::time::Duration;

use holysheep_emulator::{FaultScope, Profile};
use serde_json::Value;

use crate::harness::client::{Client, request};
use crate::harness::upstream::Scripted;
use crate::harness::{CHAT, MESSAGES, QUESTION, Rig, STREAMED, eventually};

const STALL: [(&str, &str); 1] = [("x-emulator-fault", "stall-before-headers")];

/// A client whose request is being thought about.
fn waiting(rig: &Rig) -> Client {
    let mut client = rig.client();
    client.send(request("POST", CHAT, &STALL, QUESTION.as_bytes()));
    rig.wait_stats(|stats| stats.in_flight == 1);
    client
}

/// A client in the middle of a stream.
fn streaming(rig: &Rig) -> Client {
    let body = r#"{"model":"m","stream":true,"max_tokens":100000,"messages":[]}"#;
    let mut client = rig.client();
    client.send(request("POST", CHAT, &[], body.as_bytes()));
    assert_eq!(client.head().status, 200);
    client.chunk(&mut Vec::new()).unwrap();
    client
}

fn paced() -> Rig {
    Rig::builder()
        .emulator(|emulator| emulator.token_interval(Duration::from_millis(20)))
        .start()
}

/// Upstream stopped working, and the books say why.
#[track_caller]
fn assert_cancelled(rig: &Rig, status: u16) -> Value {
    rig.wait_stats(|stats| stats.cancelled == 1 && stats.in_flight == 0);
    rig.wait_rejected("client_closed", 1);
    rig.wait_metric("holysheep_http_requests_in_flight", 0.0);
    let sample = format!("holysheep_http_requests_total{{route=\"{CHAT}\",status=\"{status}\"}}");
    rig.wait_metric(&sample, 1.0);
    rig.wait_metric(
        "holysheep_upstream_connections{upstream=\"holysheep\",state=\"active\"}",
        0.0,
    );
    let line = rig.wait_log(1).remove(0);
    assert_eq!(line["status"], status);
    assert_eq!(line["error"], "client_closed");
    assert_eq!(line["end"], "cancelled");
    line
}

#[test]
fn a_client_that_closes_while_upstream_thinks_cancels() {
    let rig = Rig::start();
    drop(waiting(&rig));
    assert_cancelled(&rig, 499);
}

#[test]
fn a_client_that_resets_while_upstream_thinks_cancels() {
    let rig = Rig::start();
    waiting(&rig).reset();
    assert_cancelled(&rig, 499);
}

#[test]
fn a_client_that_closes_mid_stream_cancels() {
    let rig = paced();
    drop(streaming(&rig));
    let line = assert_cancelled(&rig, 200);
    assert!(line["bytes_out"].as_u64().unwrap() > 0, "{line}");
}

#[test]
fn a_client_that_resets_mid_stream_cancels() {
    let rig = paced();
    streaming(&rig).reset();
    assert_cancelled(&rig, 200);
}

#[test]
fn a_client_that_resets_while_a_stream_pauses_cancels() {
    let rig = Rig::start();
    let mut client = rig.client();
    let fields = [("x-emulator-fault", "stall-after-headers")];
    client.send(request("POST", CHAT, &fields, STREAMED.as_bytes()));
    assert_eq!(client.head().status, 200);
    client.reset();
    assert_cancelled(&rig, 200);
}

#[test]
fn a_client_that_closes_while_a_stream_pauses_cancels() {
    let rig = Rig::start();
    let mut client = rig.client();
    let fields = [("x-emulator-fault", "stall-after-headers")];
    client.send(request("POST", CHAT, &fields, STREAMED.as_bytes()));
    assert_eq!(client.head().status, 200);
    // Nothing unread is left, so that it is a FIN and no reset.
    client.half_close();
    let line = assert_cancelled(&rig, 200);
    assert_eq!(line["bytes_out"], 0);
    client.rest();
}

#[test]
fn a_client_that_closes_within_its_request_cancels() {
    let rig = Rig::start();
    let mut client = rig.client();
    client.send(request("POST", CHAT, &[("content-length", "1000")], b"{"));
    rig.wait_stats(|stats| stats.in_flight == 1);
    drop(client);
    let line = assert_cancelled(&rig, 499);
    assert_eq!(line["bytes_in"], 1);
}

#[test]
fn a_client_that_resets_while_upstream_takes_no_more_is_noticed() {
    let upstream = Scripted::deaf();
    let rig = Rig::with(&format!("{}limits: {{body: 1GB}}", upstream.config()));
    let mut client = rig.client();
    let fields = [("content-length", "400000000")];
    client.send(request("POST", CHAT, &fields, b""));
    assert!(client.fill(400_000_000) < 400_000_000);
    client.reset();
    rig.wait_rejected("client_closed", 1);
    rig.wait_metric("holysheep_http_requests_in_flight", 0.0);
}

#[test]
fn a_client_that_closes_while_a_connection_is_made_is_noticed() {
    let rig = Rig::with("upstream: {min_idle: 0}");
    rig.fault("stall-handshake", FaultScope::Always);
    let mut client = rig.client();
    client.send(request("POST", CHAT, &[], QUESTION.as_bytes()));
    rig.wait_stats(|stats| stats.connections_open == 1);
    drop(client);
    rig.wait_rejected("client_closed", 1);
    rig.wait_stats(|stats| stats.connections_open == 0);
}

#[test]
fn a_half_closed_client_gets_its_whole_answer() {
    let slow = Profile::Fixed(Duration::from_millis(300));
    let rig = Rig::builder()
        .emulator(move |emulator| emulator.profile(slow).timestamps(false))
        .start();
    for (path, body) in [(CHAT, QUESTION), (CHAT, STREAMED), (MESSAGES, STREAMED)] {
        let whole = rig.post(path, body);
        let mut client = rig.client();
        client.send(request("POST", path, &[], body.as_bytes()));
        client.half_close();
        let reply = client.reply();
        assert_eq!((reply.status, reply.complete), (200, true), "{reply:?}");
        assert_eq!(reply.text(), whole.text());
        let interim = &reply.interim;
        assert!(interim.len() <= 1 && interim.iter().all(|status| *status == 102));
        client.expect_close();
    }
    rig.wait_log(6);
    assert_eq!(rig.emulator.stats().cancelled, 0);
    rig.wait_metric("holysheep_http_connections", 0.0);
}

#[test]
fn a_half_closed_client_is_served_through_a_pause() {
    let slow = Profile::Fixed(Duration::from_millis(400));
    let pause = Duration::from_millis(400);
    let rig = Rig::builder()
        .emulator(move |emulator| emulator.profile(slow).token_interval(pause))
        .start();
    let body = r#"{"model":"m","stream":true,"max_tokens":3,"messages":[]}"#;
    let mut client = rig.client();
    client.send(request("POST", CHAT, &[], body.as_bytes()));
    client.half_close();
    let reply = client.reply();
    assert!(reply.complete && reply.text().ends_with("data: [DONE]\n\n"));
    client.expect_close();
}

/// Bytes that wait for a client's socket say that it is there: one that had closed with them
/// unread would have sent a reset.
#[test]
fn a_slow_client_that_half_closes_mid_response_gets_the_rest() {
    let rig = Rig::start();
    let fields = [("x-emulator-fault", "oversized-body;bytes=40000000")];
    let mut client = rig.client();
    client.send(request("POST", CHAT, &fields, QUESTION.as_bytes()));
    let mut reply = client.head();
    client.half_close();
    client.body(&mut reply);
    assert!(reply.complete);
    client.expect_close();
}

#[test]
fn a_half_closed_client_reads_nothing_but_what_the_proxy_answers_itself() {
    let rig = Rig::start();
    for (method, path, status) in [
        ("GET", "/health", 200),
        ("GET", "/nope", 404),
        ("DELETE", CHAT, 405),
        ("GET", "/v1/models", 200),
        ("GET", "/v1/models", 200),
    ] {
        let mut client = rig.client();
        client.send(request(method, path, &[], b""));
        client.half_close();
        let reply = client.reply();
        assert_eq!((reply.status, reply.interim.as_slice()), (status, &[][..]));
        client.expect_close();
    }
}

#[test]
fn a_half_closed_client_that_leaves_is_noticed() {
    let rig = Rig::start();
    let client = waiting(&rig);
    client.half_close();
    // Closing with the interim response unread is answered with a reset.
    client.tcp().peek(&mut [0]).unwrap();
    drop(client);
    assert_cancelled(&rig, 499);
}

#[test]
fn an_http_1_0_client_that_half_closes_is_gone() {
    let rig = Rig::start();
    let mut client = rig.client();
    let length = QUESTION.len();
    client.send(format!(
        "POST {CHAT} HTTP/1.0\r\nx-emulator-fault: stall-before-headers\r\n\
         content-length: {length}\r\n\r\n{QUESTION}"
    ));
    rig.wait_stats(|stats| stats.in_flight == 1);
    client.half_close();
    assert_cancelled(&rig, 499);
}

#[test]
fn a_client_that_closes_between_requests_leaves_no_trace() {
    let rig = Rig::start();
    let mut client = rig.client();
    assert_eq!(client.request("GET", "/health", &[], b"").status, 200);
    drop(client);
    let mut stream = rig.connect();
    stream.write_all(b"GET /hea").unwrap();
    drop(stream);
    rig.wait_metric("holysheep_http_connections_accepted_total", 2.0);
    eventually(|| rig.metric("holysheep_http_connections") == 0.0);
    assert_eq!(rig.wait_log(1).len(), 1);
    assert_eq!(
        rig.metric("holysheep_rejected_total{reason=\"client_closed\"}"),
        0.0
    );
}
