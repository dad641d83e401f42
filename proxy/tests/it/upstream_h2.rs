//! h2 towards upstream: `upstream.protocol: http2`.

use std::time::Duration;

use holysheep_emulator::{FaultScope, body_hash};

use crate::errors::assert_error;
use crate::harness::client::request;
use crate::harness::{CHAT, EMULATOR_KEY, MESSAGES, QUESTION, Rig, STREAMED};

const H2: &str = "upstream: {protocol: http2}\n";

fn start(yaml: &str) -> Rig {
    Rig::builder()
        .config(format!("{H2}{yaml}"))
        .emulator(|emulator| emulator.timestamps(false))
        .start()
}

#[test]
fn answers_are_the_bytes_upstream_sent() {
    let rig = start("");
    let key = format!("Bearer {EMULATOR_KEY}");
    for (path, body) in [(CHAT, QUESTION), (CHAT, STREAMED), (MESSAGES, STREAMED)] {
        let fields = [("authorization", key.as_str())];
        let direct = rig.direct().request("POST", path, &fields, body.as_bytes());
        let through = rig.post(path, body);
        assert_eq!((through.status, through.text()), (200, direct.text()));
        let request = rig.last_request();
        assert_eq!(request.version, http::Version::HTTP_2);
        assert_eq!(request.path_and_query, path);
        assert_eq!(request.header("x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!(&request.body[..], body.as_bytes());
    }
    let line = rig.wait_log(3).remove(0);
    assert_eq!(
        (&line["model"], &line["attempts"]),
        (&"m".into(), &1.into())
    );
}

#[test]
fn one_connection_carries_all_requests_of_a_worker() {
    let rig = start("");
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| assert_eq!(rig.post(CHAT, STREAMED).status, 200));
        }
    });
    let stats = rig.emulator.stats();
    assert_eq!((stats.requests, stats.connections_accepted), (20, 1));
}

#[test]
fn hop_by_hop_fields_and_client_keys_end_here() {
    let rig = start("");
    let fields = [
        ("connection", "x-named, keep-alive"),
        ("x-named", "1"),
        ("te", "gzip"),
        ("upgrade", "h2c"),
        ("host", "other.test"),
        ("authorization", "Bearer sk-client"),
        ("X-Mixed-Case", "kept"),
    ];
    let body = QUESTION.as_bytes();
    let reply = rig.client().request("POST", CHAT, &fields[..4], body);
    assert_eq!(reply.status, 200);
    let reply = rig.client().request("POST", CHAT, &fields[5..], body);
    assert_eq!(reply.status, 200);
    let requests = rig.emulator.requests();
    for name in ["connection", "x-named", "te", "upgrade", "host"] {
        assert!(!requests[0].has_header(name), "{name}");
    }
    let key = format!("Bearer {EMULATOR_KEY}");
    assert_eq!(requests[1].header("authorization"), Some(key.as_str()));
    assert_eq!(requests[1].header("x-mixed-case"), Some("kept"));
}

#[test]
fn large_uploads_are_whole() {
    let rig = start("");
    let text = "x".repeat(5 << 20);
    let body = format!("{{\"model\":\"big\",\"messages\":[{{\"content\":\"{text}\"}}]}}");
    assert_eq!(rig.post(CHAT, &body).status, 200);
    let received = rig.last_request();
    assert_eq!(received.body_length, body.len() as u64);
    assert_eq!(received.body_hash, body_hash(body.as_bytes()));
}

#[test]
fn large_answers_are_whole() {
    let rig = start("");
    let reply = rig.faulty("oversized-body;bytes=5000000");
    assert_eq!(
        (reply.status, reply.complete, reply.body.len()),
        (200, true, 5_000_000)
    );
    assert!(reply.json()["padding"].is_string());
}

#[test]
fn errors_are_those_of_http_1() {
    let rig = start("timeouts: {idle: 300ms}");
    for (fault, status, code) in [
        ("status;code=401", 502, "upstream_invalid_api_key"),
        ("reset", 502, "upstream_closed"),
    ] {
        assert_error(&rig.faulty(fault), CHAT, status, code);
        rig.wait_rejected(code, 1);
    }
    let reply = rig.faulty("503");
    assert_eq!((reply.status, reply.error()), (503, None));
    for fault in ["stall-after-headers", "cut;after=5"] {
        let reply = rig.faulty(fault);
        assert_eq!((reply.status, reply.complete), (200, false), "{fault}");
    }
    assert_eq!(
        rig.post(CHAT, QUESTION).status,
        200,
        "afterwards all is well"
    );
}

#[test]
fn no_answer_in_time_is_504_first_byte_timeout() {
    let rig = start("timeouts: {first_byte: 300ms}");
    let reply = rig.faulty("stall-before-headers");
    assert_error(&reply, CHAT, 504, "upstream_first_byte_timeout");
    rig.wait_stats(|stats| stats.cancelled == 1);
}

#[test]
fn a_closed_port_and_a_bad_certificate_are_told_apart() {
    let rig = Rig::builder()
        .config(H2)
        .edit(|file, _, _| file.upstream.ca_file = None)
        .start();
    assert_error(
        &rig.post(CHAT, QUESTION),
        CHAT,
        502,
        "upstream_certificate_invalid",
    );
    rig.emulator.stop_accepting();
    assert_error(
        &rig.post(CHAT, QUESTION),
        CHAT,
        502,
        "upstream_connect_failed",
    );
}

#[test]
fn a_connection_that_ended_is_replaced() {
    let rig = start("");
    for _ in 0..10 {
        rig.emulator.clear_faults().unwrap();
        rig.fault("close-after;requests=1", FaultScope::Next(1));
        assert_eq!(rig.post(CHAT, QUESTION).status, 200);
        rig.wait_stats(|stats| stats.connections_open == 0);
    }
    assert_eq!(rig.emulator.stats().requests, 10);
}

#[test]
fn a_client_that_leaves_within_its_request_resets_the_stream() {
    let rig = start("");
    let mut client = rig.client();
    client.send(request("POST", CHAT, &[("content-length", "1000")], b"{"));
    rig.wait_stats(|stats| stats.in_flight == 1);
    drop(client);
    rig.wait_stats(|stats| stats.cancelled == 1);
    rig.wait_rejected("client_closed", 1);
    assert_eq!(rig.post(CHAT, QUESTION).status, 200);
    assert_eq!(rig.emulator.stats().connections_accepted, 1);
}

#[test]
fn a_client_that_leaves_resets_the_stream_only() {
    let rig = Rig::builder()
        .config(H2)
        .emulator(|emulator| emulator.token_interval(Duration::from_millis(20)))
        .start();
    let body = r#"{"model":"m","stream":true,"max_tokens":100000,"messages":[]}"#;
    let mut client = rig.client();
    client.send(request("POST", CHAT, &[], body.as_bytes()));
    assert_eq!(client.head().status, 200);
    client.chunk(&mut Vec::new()).unwrap();
    drop(client);
    rig.wait_stats(|stats| stats.cancelled == 1);
    assert_eq!(rig.post(CHAT, QUESTION).status, 200);
    assert_eq!(rig.emulator.stats().connections_accepted, 1);
}
