//! How long a client's connection lives, and how it ends (RFC 9112 section 9).

use crate::harness::client::request;
use crate::harness::{CHAT, STREAMED};

use super::lab::{FILES, Lab, SERVED, Sent, assert_outcome, assert_seen, declined, refused};

fn versioned(version: &str, fields: &str) -> Vec<u8> {
    let text =
        format!("POST {FILES} HTTP/{version}\r\nhost: x\r\n{fields}content-length: 5\r\n\r\nhello");
    text.into_bytes()
}

#[test]
fn persistence_follows_version_and_connection_field() {
    let lab = Lab::start();
    let upstream = [("POST /v1/files", "hello")];
    for (version, fields, open) in [
        ("1.1", "", true),
        ("1.1", "connection: keep-alive\r\n", true),
        ("1.1", "connection: x-foo\r\n", true),
        ("1.1", "connection: close\r\n", false),
        ("1.1", "Connection: Close\r\n", false),
        (
            "1.1",
            "connection: keep-alive\r\nconnection: x, close\r\n",
            false,
        ),
        ("1.1", "proxy-connection: close\r\n", true),
        ("1.0", "", false),
        ("1.0", "connection: close\r\n", false),
        ("1.0", "connection: keep-alive, close\r\n", false),
    ] {
        let outcome = if open { SERVED } else { SERVED.closing() };
        lab.check_served(&versioned(version, fields), outcome, &upstream);
    }
    lab.assert_quiet();
}

#[test]
fn an_http_1_0_client_may_ask_to_go_on() {
    let lab = Lab::start();
    let mut client = lab.client();
    for _ in 0..3 {
        client.send(versioned("1.0", "Connection: Keep-Alive\r\n"));
        let reply = client.reply();
        assert_eq!(
            (reply.status, reply.header("connection")),
            (200, Some("keep-alive"))
        );
        assert!(reply.header("content-length").is_some() && reply.complete);
    }
    client.send("GET /health HTTP/1.0\r\nconnection: keep-alive\r\n\r\n");
    assert_eq!(client.reply().header("connection"), Some("keep-alive"));
    client.send("GET /health HTTP/1.0\r\n\r\n");
    assert_eq!(client.reply().header("connection"), Some("close"));
    client.expect_close();
    assert_seen(&lab.seen(), &[("POST /v1/files", "hello"); 3], "HTTP/1.0");
}

/// RFC 9112 section 6.1: no transfer coding to a client that may not know it.
#[test]
fn a_stream_to_an_http_1_0_client_ends_with_the_connection() {
    let lab = Lab::start();
    for fields in ["", "connection: keep-alive\r\n"] {
        let mut client = lab.client();
        let length = STREAMED.len();
        client.send(format!(
            "POST {CHAT} HTTP/1.0\r\n{fields}content-length: {length}\r\n\r\n{STREAMED}"
        ));
        let reply = client.reply();
        assert_eq!(
            (reply.status, reply.header("transfer-encoding")),
            (200, None)
        );
        assert_eq!(
            (reply.header("connection"), reply.header("content-length")),
            (Some("close"), None)
        );
        assert!(reply.text().starts_with("data: {") && reply.text().ends_with("data: [DONE]\n\n"));
    }
}

#[test]
fn an_answer_to_head_has_no_body() {
    let lab = Lab::start();
    let mut client = lab.client();
    for _ in 0..3 {
        client.send(request("HEAD", "/health", &[], b""));
        let head = client.head();
        assert_eq!(
            (head.status, head.header("content-length")),
            (200, Some("8"))
        );
        // A body would be read as the beginning of this answer.
        assert_eq!(
            client.request("GET", "/health", &[], b"").text(),
            "healthy\n"
        );
    }
    for (path, status) in [(FILES, 405), ("/v1/nope", 404), (CHAT, 405)] {
        client.send(request("HEAD", path, &[], b""));
        let head = client.head();
        assert_eq!(
            (head.status, head.header("transfer-encoding")),
            (status, None),
            "{path}"
        );
        assert_eq!(
            client.request("GET", "/health", &[], b"").text(),
            "healthy\n"
        );
    }
    client.send("HEAD /health HTTP/1.0\r\n\r\n");
    assert_eq!(client.head().header("content-length"), Some("8"));
    client.expect_close();
}

/// The answer to a request whose body nobody reads can be read, and what it says of the connection
/// is true.
#[test]
fn a_body_nobody_reads_does_not_disturb_the_answer() {
    let lab = Lab::with("limits: {body: 1000B}");
    let small = "x".repeat(900);
    let chunks = format!("384\r\n{small}\r\n0\r\n\r\n");
    for (line, status, error) in [
        (format!("PUT {FILES}"), 405, "method_not_allowed"),
        ("POST /v1/nope".to_owned(), 404, "unknown_route"),
        ("POST *".to_owned(), 400, "invalid_request"),
    ] {
        for (fields, body) in [
            ("content-length: 900\r\n", &small),
            ("transfer-encoding: chunked\r\n", &chunks),
        ] {
            let head = format!("{line} HTTP/1.1\r\nhost: x\r\n{fields}\r\n");
            let whole = declined(status, error);
            let case = format!("{head}{body}");
            lab.check(case.as_bytes(), Sent::Whole, whole);
            lab.check(case.as_bytes(), Sent::Dripped, whole.perhaps_closing());
            // Nor if it never comes.
            lab.check(head.as_bytes(), Sent::Whole, refused(status, error));
        }
    }
    lab.assert_quiet();
    assert!(lab.seen().is_empty());
}

/// RFC 9112 section 9.6: closing with unread bytes would let a reset overtake the answer, so the
/// server reads on until the client closes.
#[test]
fn a_client_still_sending_reads_the_whole_refusal() {
    let lab = Lab::with("limits: {body: 1000B}");
    for bytes in [100_000, 900_000, 5_000_000] {
        let head = format!("POST {FILES} HTTP/1.1\r\nhost: x\r\ncontent-length: {bytes}\r\n\r\n");
        let mut client = lab.client();
        // What the kernel keeps for the client does not count as sent.
        let socket = socket2::SockRef::from(client.tcp());
        socket.set_send_buffer_size(64 << 10).unwrap();
        client.send(head);
        let sent = client.try_send(vec![b'x'; bytes]);
        let reply = client.reply();
        assert_outcome(
            &mut client,
            &reply,
            refused(413, "request_too_large"),
            &bytes.to_string(),
        );
        assert!(
            sent.is_ok(),
            "{bytes} bytes: the connection was reset: {sent:?}"
        );
    }
    lab.assert_quiet();
}

#[test]
fn a_client_still_sending_chunks_reads_the_whole_refusal() {
    let lab = Lab::with("limits: {body: 1000B}");
    let mut client = lab.client();
    client.send(format!(
        "POST {FILES} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    ));
    let chunk = format!("3e8\r\n{}\r\n", "x".repeat(1000));
    let sent = client.try_send(chunk.repeat(500));
    let reply = client.reply();
    assert_outcome(
        &mut client,
        &reply,
        refused(413, "request_too_large"),
        "chunks",
    );
    assert!(sent.is_ok(), "the connection was reset: {sent:?}");
    lab.assert_quiet();
}

#[test]
fn a_client_still_sending_fields_reads_the_whole_refusal() {
    let lab = Lab::start();
    let mut client = lab.client();
    client.send("GET /health HTTP/1.1\r\nhost: x\r\n");
    let sent = client.try_send("x-field: value\r\n".repeat(40_000));
    let reply = client.reply();
    assert_outcome(
        &mut client,
        &reply,
        refused(431, "headers_too_large"),
        "fields",
    );
    assert!(sent.is_ok(), "the connection was reset: {sent:?}");
}

/// Connections that have said nothing yet end with the drain as those between two requests do.
#[test]
fn a_drain_does_not_wait_for_connections_that_say_nothing() {
    let lab = Lab::with("timeouts: {drain: 4s}");
    let mut silent = lab.client();
    lab.wait_metric("holysheep_http_connections", 1.0);
    let begun = std::time::Instant::now();
    lab.app().stop();
    silent.expect_close();
    let waited = begun.elapsed().as_secs_f64();
    assert!(
        waited < 3.0,
        "closed after {waited} s, at the end of the drain"
    );
}
