//! `Expect: 100-continue`: a body is asked for when it is wanted, and only then.

use holysheep_emulator::FaultScope;

use crate::harness::client::{Client, chunked, request};
use crate::harness::{CHAT, QUESTION, Rig, eventually};

/// Sends a head that expects to be asked for its body.
fn expecting(rig: &Rig, path: &str, fields: &[(&str, &str)]) -> Client {
    let mut fields = fields.to_vec();
    fields.push(("Expect", "100-Continue"));
    let mut client = rig.client();
    client.send(request("POST", path, &fields, b""));
    client
}

/// Waits for exactly the interim response.
#[track_caller]
fn assert_asked(client: &mut Client) {
    let mut asked = Vec::new();
    client.wait(|input| input.ends_with(b"\r\n\r\n").then_some(0));
    asked.extend_from_slice(client.received());
    assert_eq!(
        String::from_utf8_lossy(&asked),
        "HTTP/1.1 100 Continue\r\n\r\n"
    );
}

#[test]
fn a_body_is_asked_for() {
    let rig = Rig::start();
    let length = QUESTION.len().to_string();
    let mut client = expecting(&rig, CHAT, &[("content-length", &length)]);
    assert_asked(&mut client);
    client.send(QUESTION);
    let reply = client.reply();
    assert_eq!((reply.status, reply.interim.as_slice()), (200, &[100][..]));
    assert!(!rig.last_request().has_header("expect"));

    let mut client = expecting(&rig, CHAT, &[("transfer-encoding", "chunked")]);
    assert_asked(&mut client);
    client.send(chunked(&[QUESTION.as_bytes()]));
    assert_eq!(client.reply().status, 200);
    // The connection carries on, without another 100.
    let next = client.request("POST", CHAT, &[], QUESTION.as_bytes());
    assert_eq!((next.status, next.interim.len()), (200, 0));
}

#[test]
fn a_client_that_does_not_wait_is_served() {
    let rig = Rig::start();
    let fields = [("expect", "100-continue")];
    let reply = rig
        .client()
        .request("POST", CHAT, &fields, QUESTION.as_bytes());
    assert_eq!(reply.status, 200);
}

#[test]
fn a_request_without_body_is_not_asked_for_one() {
    let rig = Rig::start();
    let fields = [("expect", "100-continue")];
    let reply = rig.client().request("GET", "/v1/files", &fields, b"");
    assert_eq!((reply.status, reply.interim.len()), (200, 0));
}

#[test]
fn a_refused_body_is_not_asked_for() {
    let rig = Rig::with("limits: {body: 100}");
    for (path, length, status) in [
        (CHAT, "101", 413),
        ("/nope", "5", 404),
        ("/v1/models", "5", 405),
    ] {
        let mut client = expecting(&rig, path, &[("content-length", length)]);
        let reply = client.reply();
        assert_eq!(
            (reply.status, reply.interim.len()),
            (status, 0),
            "{reply:?}"
        );
        assert_eq!(reply.header("connection"), Some("close"));
        client.expect_close();
    }
    let rig = Rig::with("auth: passthrough");
    let reply = expecting(&rig, CHAT, &[("content-length", "5")]).reply();
    assert_eq!((reply.status, reply.interim.len()), (401, 0));
}

#[test]
fn a_body_nobody_can_take_is_not_asked_for() {
    let rig = Rig::with("upstream: {min_idle: 0}");
    rig.fault("expired-certificate", FaultScope::Always);
    let reply = expecting(&rig, CHAT, &[("content-length", "5")]).reply();
    assert_eq!((reply.status, reply.interim.len()), (502, 0));
    eventually(|| rig.emulator.stats().connections_open == 0);
}
