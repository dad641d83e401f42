//! Requests sent before the answers to earlier ones (RFC 9112 section 9.3.2).

use std::time::Duration;

use holysheep_emulator::Tls;

use crate::harness::client::request;
use crate::harness::{CHAT, QUESTION, Rig};

use super::lab::{FILES, Lab, REFUSED, assert_outcome, assert_seen, post, refused};

const CHUNKED: &str = "transfer-encoding: chunked\r\n";

fn health() -> Vec<u8> {
    request("GET", "/health", &[], b"")
}

#[test]
fn answers_come_in_the_order_of_the_requests() {
    let lab = Lab::start();
    let cases = [
        health(),
        post("content-length: 5\r\n", "first"),
        health(),
        post(CHUNKED, "3\r\nsec\r\n3\r\nond\r\n0\r\n\r\n"),
        request("GET", "/v1/nope", &[], b""),
        request("DELETE", "/v1/files/third", &[], b""),
        request("HEAD", "/health", &[], b""),
        request("GET", "/v1/batches", &[], b""),
        health(),
    ];
    for step in [usize::MAX, 1, 13] {
        let mut client = lab.client();
        let wire = cases.concat();
        wire.chunks(step.min(wire.len()))
            .for_each(|piece| client.send(piece));
        let mut texts = Vec::new();
        for case in &cases {
            let mut reply = client.head();
            if !case.starts_with(b"HEAD") {
                client.body(&mut reply);
            }
            let answered = (reply.status, reply.text());
            texts.push(answered);
        }
        let statuses: Vec<_> = texts.iter().map(|(status, _)| *status).collect();
        assert_eq!(
            statuses,
            [200, 200, 200, 200, 404, 200, 200, 200, 200],
            "{step}"
        );
        let is_health = |index: usize| texts[index].1 == "healthy\n";
        assert!(is_health(0) && is_health(2) && is_health(8), "{texts:?}");
        assert!(texts[1].1.contains("\"bytes\":5") && texts[3].1.contains("\"bytes\":6"));
        assert!(texts[5].1.contains("third"), "{texts:?}");
        let upstream = [
            ("POST /v1/files", "first"),
            ("POST /v1/files", "second"),
            ("DELETE /v1/files/third", ""),
            ("GET /v1/batches", ""),
        ];
        assert_seen(&lab.seen(), &upstream, "pipelining");
    }
    lab.assert_quiet();
}

#[test]
fn a_malformed_second_request_ends_the_connection_after_the_first() {
    let lab = Lab::start();
    for malformed in [
        "GET  /health HTTP/1.1\r\nhost: x\r\n\r\n",
        "POST /v1/files HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        "GET /health HTTP/1.1\r\n\r\n",
        "\u{16}\u{3}\u{1}\r\n\r\n",
        "0\r\n\r\n",
    ] {
        for first in [health(), post("content-length: 5\r\n", "hello")] {
            let mut client = lab.client();
            client.send([&first, malformed.as_bytes(), &health()].concat());
            assert_eq!(client.reply().status, 200);
            let reply = client.reply();
            assert_outcome(&mut client, &reply, REFUSED, malformed);
        }
        assert_seen(&lab.seen(), &[("POST /v1/files", "hello")], malformed);
    }
}

#[test]
fn a_second_body_too_large_ends_the_connection_after_the_first() {
    let lab = Lab::with("limits: {body: 10B}");
    let large = post("content-length: 11\r\n", "hello world");
    let mut client = lab.client();
    client.send([post("content-length: 5\r\n", "hello"), large, health()].concat());
    assert_eq!(client.reply().status, 200);
    let reply = client.reply();
    assert_outcome(
        &mut client,
        &reply,
        refused(413, "request_too_large"),
        "413",
    );
    assert_seen(&lab.seen(), &[("POST /v1/files", "hello")], "413");
}

#[test]
fn what_comes_while_an_answer_streams_waits_for_its_turn() {
    let rig = Rig::builder()
        .emulator(|emulator| {
            emulator
                .tls(Tls::Plain)
                .token_interval(Duration::from_millis(5))
        })
        .start();
    let stream = r#"{"model":"m","stream":true,"max_tokens":30,"messages":[]}"#;
    let mut client = rig.client();
    client.send(request("POST", CHAT, &[], stream.as_bytes()));
    let mut first = client.head();
    let begun = client.chunk(&mut Vec::new()).unwrap();
    client.send([request("POST", CHAT, &[], QUESTION.as_bytes()), health()].concat());
    client.body(&mut first);
    assert!(first.complete, "{first:?}");
    let whole = [begun, first.body].concat();
    assert!(whole.ends_with(b"data: [DONE]\n\n"));
    let second = client.reply();
    assert_eq!(second.json()["object"], "chat.completion");
    assert_eq!(client.reply().text(), "healthy\n");
    assert_eq!(rig.emulator.requests().len(), 2);
}

#[test]
fn more_than_the_buffers_hold_is_answered_in_order() {
    let lab = Lab::start();
    let mut client = lab.client();
    let body = "x".repeat(4000);
    let one = |number: usize| {
        let body = format!("{number:04}{body}");
        post(
            &format!(
                "content-length: {}\r\nx-request-id: {number}\r\n",
                body.len()
            ),
            &body,
        )
    };
    let all: Vec<u8> = (0..100).flat_map(one).collect();
    client.send(all);
    for number in 0..100 {
        let reply = client.reply();
        let id = number.to_string();
        assert_eq!(
            (reply.status, reply.header("x-request-id")),
            (200, Some(id.as_str()))
        );
    }
    let seen = lab.seen();
    assert_eq!(seen.len(), 100);
    for (number, (_, body)) in seen.iter().enumerate() {
        assert!(body.starts_with(format!("{number:04}x").as_bytes()) && body.len() == 4004);
    }
}

#[test]
fn nothing_after_connection_close_is_worked_on() {
    let lab = Lab::start();
    for close in [
        "connection: close\r\n",
        "Connection: foo, CLOSE\r\n",
        "connection: close, keep-alive\r\n",
    ] {
        let mut client = lab.client();
        let first = post(&format!("{close}content-length: 5\r\n"), "hello");
        client.send([first, post("content-length: 6\r\n", "second")].concat());
        let reply = client.reply();
        assert_eq!(
            (reply.status, reply.header("connection")),
            (200, Some("close"))
        );
        client.expect_close();
        assert_seen(&lab.seen(), &[("POST /v1/files", "hello")], close);
    }
}

/// What has been received whole before the client's FIN is answered, as the requests the proxy answers
/// itself are.
#[test]
fn requests_before_a_half_close_are_all_answered() {
    let lab = Lab::start();
    for one in [health(), post("content-length: 5\r\n", "hello")] {
        let mut client = lab.client();
        client.send(one.repeat(3));
        client.half_close();
        for number in 1..=3 {
            let reply = client.try_head();
            let shown = String::from_utf8_lossy(&one[..20]).into_owned();
            let mut reply = reply.unwrap_or_else(|| panic!("{shown}: no answer {number} of 3"));
            client.body(&mut reply);
            assert!(reply.status == 200 && reply.complete);
        }
        client.expect_close();
    }
    let path = format!("POST {FILES}");
    assert_eq!(lab.seen(), vec![(path, b"hello".to_vec()); 3]);
}
