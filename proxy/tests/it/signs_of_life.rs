//! Signs of life in streams of which nothing has come for a while.

use std::io::{Read, Write};
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use holysheep_emulator::Profile;
use serde_json::Value;

use crate::harness::client::{Client, find, request};
use crate::harness::upstream::{Scripted, read_head};
use crate::harness::{CHAT, MESSAGES, QUESTION, Rig, SOON, STREAMED};

const SIGNS: &str = "responses: {keep_alive: 100ms}\nretries: {attempts: 1}";
const COMMENT: &[u8] = b": keep-alive\n\n";

/// An upstream that sends a piece of its answer whenever it is told to.
fn told<const N: usize>(pieces: [&str; N]) -> (Scripted, Sender<()>) {
    let (tell, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let pieces = pieces.map(ToOwned::to_owned);
    let upstream = Scripted::start(move |mut stream| {
        if read_head(&mut stream).is_none() {
            return;
        }
        stream.read_exact(&mut [0; STREAMED.len()]).unwrap();
        for piece in &pieces {
            wait.lock().unwrap().recv_timeout(SOON).unwrap();
            stream.write_all(piece.as_bytes()).unwrap();
        }
    });
    (upstream, tell)
}

fn ask(rig: &Rig, path: &str) -> Client {
    let mut client = rig.client();
    client.send(request("POST", path, &[], STREAMED.as_bytes()));
    client
}

/// Reads on until this has come.
fn wait_for(client: &mut Client, all: &mut Vec<u8>, wanted: &[u8]) {
    while find(all, wanted).is_none() {
        let chunk = client.chunk(&mut Vec::new()).unwrap();
        all.extend_from_slice(&chunk);
    }
}

const HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";

#[test]
fn a_stream_that_pauses_gets_comments_between_its_events() {
    let (upstream, tell) = told([HEAD, "data: on", "e\n\n", "data: [DONE]\n\n"]);
    let rig = Rig::with(&format!("{}{SIGNS}", upstream.config()));
    let mut client = ask(&rig, CHAT);
    tell.send(()).unwrap();
    let head = client.head();
    assert_eq!(head.header("content-type"), Some("text/event-stream"));
    let mut all = Vec::new();
    wait_for(&mut client, &mut all, COMMENT);
    tell.send(()).unwrap();
    wait_for(&mut client, &mut all, b"data: on");
    // Long enough for three signs that must not stand within the event.
    let (_never, pause) = channel::<()>();
    let _over = pause.recv_timeout(Duration::from_millis(350));
    tell.send(()).unwrap();
    wait_for(&mut client, &mut all, b"data: one\n\n");
    let events = all.len();
    wait_for(&mut client, &mut all, b"one\n\n: keep-alive\n\n");
    assert!(all.len() > events);
    tell.send(()).unwrap();
    wait_for(&mut client, &mut all, b"[DONE]\n\n");
    let text = String::from_utf8(all).unwrap();
    let rest = text.replace(": keep-alive\n\n", "");
    assert_eq!(rest, "data: one\n\ndata: [DONE]\n\n");
    let line = rig.wait_log(1).remove(0);
    assert_eq!(line["end"], "complete", "{line}");
    assert_eq!(line["bytes_out"], text.len(), "{line}");
}

#[test]
fn a_stream_begins_before_upstream_answers() {
    let (upstream, tell) = told([HEAD, "data: one\n\ndata: [DONE]\n\n"]);
    let rig = Rig::with(&format!("{}{SIGNS}", upstream.config()));
    let mut client = ask(&rig, CHAT);
    let head = client.head();
    assert_eq!(head.status, 200);
    assert_eq!(head.header("content-type"), Some("text/event-stream"));
    let mut all = Vec::new();
    wait_for(&mut client, &mut all, b": keep-alive\n\n: keep-alive\n\n");
    tell.send(()).unwrap();
    tell.send(()).unwrap();
    wait_for(&mut client, &mut all, b"[DONE]\n\n");
    let text = String::from_utf8(all).unwrap();
    let rest = text.replace(": keep-alive\n\n", "");
    assert_eq!(rest, "data: one\n\ndata: [DONE]\n\n");
    let line = rig.wait_log(1).remove(0);
    assert_eq!(
        (&line["status"], &line["end"]),
        (&200.into(), &"complete".into())
    );
}

#[test]
fn what_upstream_refuses_later_is_an_error_of_the_stream() {
    let body = "{\"error\":\n{\"message\":\"slow\",\"code\":\"busy\"}}\n";
    let refusal = format!(
        "HTTP/1.1 429 Too Many Requests\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let (upstream, tell) = told([&refusal]);
    let rig = Rig::with(&format!("{}{SIGNS}", upstream.config()));
    let mut client = ask(&rig, CHAT);
    assert_eq!(client.head().status, 200);
    let mut all = Vec::new();
    wait_for(&mut client, &mut all, COMMENT);
    tell.send(()).unwrap();
    wait_for(&mut client, &mut all, b"}}\n\n");
    assert_eq!(
        client.chunk(&mut Vec::new()),
        Some(Vec::new()),
        "it ends there"
    );
    let text = String::from_utf8(all)
        .unwrap()
        .replace(": keep-alive\n\n", "");
    let lines = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let error: Value = serde_json::from_str(&lines.collect::<String>()).unwrap();
    assert_eq!(error["error"]["code"], "busy");
    let line = rig.wait_log(1).remove(0);
    assert_eq!(line["end"], "error", "{line}");
}

/// What the client gets of a stream that has begun when upstream answers so.
fn answered_late(config: &str, answer: &str) -> (Rig, String) {
    let (upstream, tell) = told([answer, ""]);
    let rig = Rig::with(&format!("{}{config}", upstream.config()));
    let mut client = ask(&rig, CHAT);
    assert_eq!(client.head().status, 200);
    let mut all = Vec::new();
    wait_for(&mut client, &mut all, COMMENT);
    tell.send(()).unwrap();
    wait_for(&mut client, &mut all, b"}}\n\n");
    (rig, String::from_utf8(all).unwrap())
}

#[test]
fn what_upstream_says_of_the_proxys_key_stays_here() {
    let answer = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 40\r\n\r\n\
                  {\"error\":{\"message\":\"bad key cr_secret\"}}";
    let (rig, text) = answered_late(SIGNS, answer);
    assert!(
        text.contains("\"code\":\"upstream_invalid_api_key\""),
        "{text}"
    );
    assert!(!text.contains("cr_secret"), "{text}");
    rig.wait_rejected("upstream_invalid_api_key", 1);
}

#[test]
fn a_refusal_that_does_not_end_is_given_up() {
    let answer = "HTTP/1.1 429 Too Many Requests\r\ncontent-length: 1000\r\n\r\n{";
    let config = format!("{SIGNS}\ntimeouts: {{idle: 300ms}}");
    let (rig, text) = answered_late(&config, answer);
    assert!(
        text.contains("\"code\":\"upstream_idle_timeout\""),
        "{text}"
    );
    rig.wait_rejected("upstream_idle_timeout", 1);
}

#[test]
fn limits_hold_and_are_told_in_the_stream() {
    let rig = Rig::with(
        "{responses: {keep_alive: 100ms}, timeouts: {first_byte: 400ms}, routes: {/v1/messages: {total: 500ms, \
         first_byte: 1m}}}",
    );
    for (path, sign, code) in [
        (
            CHAT,
            ": keep-alive\n\n",
            "\"code\":\"upstream_first_byte_timeout\"",
        ),
        (
            MESSAGES,
            "event: ping\ndata: {\"type\": \"ping\"}\n\n",
            "event: error\ndata: ",
        ),
    ] {
        let mut client = rig.client();
        let fields = [("x-emulator-fault", "stall-before-headers")];
        client.send(request("POST", path, &fields, STREAMED.as_bytes()));
        let reply = client.reply();
        assert_eq!(reply.status, 200);
        let text = reply.text();
        assert!(text.starts_with(sign), "{text}");
        assert!(text.contains(code), "{text}");
        assert!(!text.contains("[DONE]"), "{text}");
    }
    rig.wait_rejected("upstream_first_byte_timeout", 1);
    rig.wait_rejected("total_timeout", 1);
}

#[test]
fn a_request_that_asks_for_no_stream_waits_for_its_status() {
    let rig = Rig::builder()
        .config(SIGNS)
        .emulator(|emulator| emulator.profile(Profile::Fixed(Duration::from_millis(400))))
        .start();
    let reply = rig.post(CHAT, QUESTION);
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json()["object"], "chat.completion");
}

#[test]
fn the_total_limit_ends_a_stream_that_goes_on() {
    let rig = Rig::builder()
        .config("timeouts: {total: 400ms}")
        .emulator(|emulator| emulator.token_interval(Duration::from_millis(20)))
        .start();
    let body = r#"{"model":"m","stream":true,"max_tokens":100000,"messages":[]}"#;
    let text = rig.post(CHAT, body).text();
    assert!(text.contains("\"code\":\"total_timeout\""), "{text}");
    assert!(!text.contains("[DONE]"));
    rig.wait_rejected("total_timeout", 1);
    rig.wait_stats(|stats| stats.cancelled == 1);
}
