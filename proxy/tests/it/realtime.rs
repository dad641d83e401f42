//! `/v1/realtime`: what passes over a `WebSocket`, what is counted, and how it ends.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::{IntoClientRequest, client};
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, HandshakeError, Message, WebSocket};

use crate::harness::client::request;
use crate::harness::upstream::{Scripted, read_head};
use crate::harness::{EMULATOR_KEY, Rig};

const REALTIME: &str = "/v1/realtime?model=gpt-realtime";

type Session = WebSocket<TcpStream>;

fn open_with(rig: &Rig, fields: &[(&'static str, &str)]) -> Result<(Session, Response), u16> {
    let url = format!("ws://{}{REALTIME}", rig.data_addr());
    let mut asked = url.into_client_request().unwrap();
    for (name, value) in fields {
        asked.headers_mut().insert(*name, value.parse().unwrap());
    }
    client(asked, rig.connect()).map_err(|error| match error {
        HandshakeError::Failure(Error::Http(response)) => response.status().as_u16(),
        other => panic!("{other}"),
    })
}

fn open(rig: &Rig) -> Session {
    let (mut session, _) = open_with(rig, &[]).unwrap();
    assert_eq!(next(&mut session)["type"], "session.created");
    session
}

fn next(session: &mut Session) -> Value {
    match session.read().unwrap() {
        Message::Text(text) => serde_json::from_str(&text).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn send(session: &mut Session, event: &Value) {
    session.send(Message::text(event.to_string())).unwrap();
}

/// Asks for a response and reads it; its pieces.
fn respond(session: &mut Session, pieces: u64) -> usize {
    send(
        session,
        &json!({"type": "response.create", "response": {"max_output_tokens": pieces}}),
    );
    let mut count = 0;
    loop {
        let event = next(session);
        match event["type"].as_str().unwrap() {
            "response.output_text.delta" => count += 1,
            "response.done" => return count,
            _ => {}
        }
    }
}

fn close(mut session: Session) {
    session.close(None).unwrap();
    while session.read().is_ok() {}
}

#[test]
fn a_session_passes_and_is_counted() {
    for protocol in ["http1", "http2"] {
        let rig = Rig::with(&format!("upstream: {{protocol: {protocol}}}"));
        let mut session = open(&rig);
        let text = "x".repeat(100_000);
        let content = json!([{"type": "input_text", "text": text}]);
        let item = json!({"type": "message", "role": "user", "content": content});
        send(
            &mut session,
            &json!({"type": "conversation.item.create", "item": item}),
        );
        assert_eq!(next(&mut session)["item"], item, "100 KB there and back");
        assert_eq!(respond(&mut session, 3), 3);
        assert_eq!(respond(&mut session, 40), 40);
        session.send(Message::Ping("p".into())).unwrap();
        assert_eq!(session.read().unwrap(), Message::Pong("p".into()));
        close(session);

        let line = rig.wait_log(1).remove(0);
        assert_eq!(
            (&line["status"], &line["end"]),
            (&101.into(), &"complete".into()),
            "{line}"
        );
        assert_eq!(line["route"], "/v1/realtime", "{line}");
        assert_eq!(line["model"], "gpt-realtime", "{line}");
        assert!(line["bytes_in"].as_u64().unwrap() > 100_000, "{line}");
        assert!(line["bytes_out"].as_u64().unwrap() > 100_000, "{line}");
        assert_eq!(line["usage"]["source"], "reported", "{line}");
        assert_eq!(line["usage"]["input"], 25_000 + 25_003, "{line}");
        assert_eq!(line["usage"]["output"], 43, "{line}");
        rig.wait_stats(|stats| stats.completed == 1 && stats.in_flight == 0);
        let of = "holysheep_http_requests_total{route=\"/v1/realtime\",status=\"101\"}";
        rig.wait_metric(of, 1.0);
        let tokens = "holysheep_usage_tokens_total{type=\"output\",source=\"reported\"}";
        rig.wait_metric(tokens, 43.0);
    }
}

#[test]
fn upstream_gets_the_proxys_key_and_no_other() {
    let rig = Rig::start();
    let offered = "realtime, openai-insecure-api-key.sk-mine, openai-beta.realtime-v1";
    let fields = [
        ("sec-websocket-protocol", offered),
        ("authorization", "Bearer sk-mine"),
        ("sec-websocket-extensions", "permessage-deflate"),
        ("x-custom", "kept"),
    ];
    let (session, response) = open_with(&rig, &fields).unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "realtime");
    assert!(response.headers().contains_key("x-request-id"));
    let received = rig.last_request();
    assert_eq!(received.path_and_query, REALTIME);
    assert_eq!(
        received.header("authorization"),
        Some(&*format!("Bearer {EMULATOR_KEY}"))
    );
    let protocols = received.header("sec-websocket-protocol");
    assert_eq!(protocols, Some("realtime, openai-beta.realtime-v1"));
    assert!(!received.has_header("sec-websocket-extensions"));
    assert_eq!(received.header("x-custom"), Some("kept"));
    close(session);
    assert!(!rig.log_text().contains("sk-mine"));
}

#[test]
fn a_browsers_key_is_one() {
    let rig = Rig::with("auth: passthrough");
    assert_eq!(open_with(&rig, &[]).err(), Some(401));
    let offered = format!("realtime, openai-insecure-api-key.{EMULATOR_KEY}");
    let fields = [("sec-websocket-protocol", &*offered)];
    // The emulator wants it in a field; what counts is that it gets there.
    assert_eq!(open_with(&rig, &fields).err(), Some(401));
    let received = rig.last_request();
    assert_eq!(received.header("sec-websocket-protocol"), Some(&*offered));
    let bearer = format!("Bearer {EMULATOR_KEY}");
    let (session, _) = open_with(&rig, &[("authorization", &bearer)]).unwrap();
    close(session);
}

#[test]
fn a_client_that_goes_without_a_word_ends_upstream() {
    let rig = Rig::start();
    let session = open(&rig);
    drop(session);
    rig.wait_stats(|stats| stats.cancelled == 1 && stats.in_flight == 0);
    let line = rig.wait_log(1).remove(0);
    assert_eq!(
        (&line["status"], &line["end"]),
        (&101.into(), &"cancelled".into()),
        "{line}"
    );
}

#[test]
fn a_silent_session_ends_with_a_word() {
    let rig = Rig::with("routes: {/v1/realtime: {idle: 300ms}}");
    let mut session = open(&rig);
    let frame = CloseFrame {
        code: CloseCode::Away,
        reason: "upstream_idle_timeout".into(),
    };
    assert_eq!(session.read().unwrap(), Message::Close(Some(frame)));
    rig.wait_rejected("upstream_idle_timeout", 1);
    rig.wait_stats(|stats| stats.in_flight == 0);
}

#[test]
fn the_total_limit_ends_a_busy_session() {
    let rig = Rig::builder()
        .config("routes: {/v1/realtime: {total: 500ms}}")
        .emulator(|emulator| emulator.token_interval(Duration::from_millis(20)))
        .start();
    let mut session = open(&rig);
    send(
        &mut session,
        &json!({"type": "response.create", "response": {"max_output_tokens": 100_000}}),
    );
    let last = loop {
        match session.read().unwrap() {
            Message::Text(_) => {}
            other => break other,
        }
    };
    let frame = CloseFrame {
        code: CloseCode::Away,
        reason: "total_timeout".into(),
    };
    assert_eq!(last, Message::Close(Some(frame)));
    let line = rig.wait_log(1).remove(0);
    assert_eq!(line["usage"]["source"], "estimated", "{line}");
    rig.wait_rejected("total_timeout", 1);
}

#[test]
fn an_upstream_that_goes_without_a_word_is_an_error() {
    let upstream = Scripted::start(|mut stream| {
        read_head(&mut stream).unwrap();
        let switched = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n\x01\x02ab";
        stream.write_all(switched.as_bytes()).unwrap();
    });
    let rig = Rig::with(&upstream.config());
    let mut client = rig.client();
    let fields = [("connection", "Upgrade"), ("upgrade", "websocket")];
    client.send(request("GET", REALTIME, &fields, b""));
    let all = client.rest();
    assert!(all.starts_with(b"HTTP/1.1 101 "), "{all:?}");
    let frames = b"\r\n\r\n\x01\x02ab\x88\x11\x03\xf3upstream_closed";
    assert!(all.ends_with(frames), "{all:?}");
    rig.wait_rejected("upstream_closed", 1);
}

#[test]
fn what_is_no_websocket_is_refused() {
    let rig = Rig::start();
    for fields in [
        &[][..],
        &[("upgrade", "websocket")],
        &[("connection", "upgrade"), ("upgrade", "h2c")],
    ] {
        let reply = rig.client().request("GET", REALTIME, fields, b"");
        assert_eq!(
            (reply.status, reply.header("x-holysheep-error")),
            (400, Some("invalid_request"))
        );
        assert!(reply.text().contains("WebSocket"), "{reply:?}");
    }
    assert_eq!(rig.emulator.stats().requests, 0);
    rig.wait_rejected("invalid_request", 3);
    // Elsewhere nothing switches.
    let fields = [("connection", "upgrade"), ("upgrade", "websocket")];
    let reply = rig.client().request("GET", "/v1/models", &fields, b"");
    assert_eq!(reply.status, 200);
    assert!(!rig.last_request().has_header("upgrade"));
}

#[test]
fn what_upstream_says_instead_of_switching_passes() {
    let rig = Rig::start();
    let fields = [("x-emulator-fault", "503")];
    assert_eq!(open_with(&rig, &fields).err(), Some(503));
    let line = rig.wait_log(1).remove(0);
    assert_eq!(
        (&line["status"], &line["error"]),
        (&503.into(), &Value::Null),
        "{line}"
    );
}
