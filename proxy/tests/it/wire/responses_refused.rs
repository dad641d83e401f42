//! Answers of upstream that are not HTTP, or whose length can be read in two ways: 502, or a body that
//! breaks off, and never a second use of the connection.

use crate::harness::client::{find, request};

use super::origin::{Gets, Origin, Then, check};

const INVALID: Gets = Gets::Error(502, "upstream_invalid_response");
const CLOSED: Gets = Gets::Error(502, "upstream_closed");
const BROKEN: Gets = Gets::Broken(200);

#[track_caller]
fn all_invalid(heads: &[&str]) {
    for head in heads {
        check(format!("{head}\r\n\r\nfirst"), Then::Keep, INVALID, false);
    }
}

#[test]
fn lengths_that_can_be_read_in_two_ways_are_refused() {
    all_invalid(&[
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 5",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 5",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6",
        "HTTP/1.1 200 OK\r\ncontent-length: 5, 5",
        "HTTP/1.1 200 OK\r\ncontent-length: +5",
        "HTTP/1.1 200 OK\r\ncontent-length: -5",
        "HTTP/1.1 200 OK\r\ncontent-length: 0x5",
        "HTTP/1.1 200 OK\r\ncontent-length:",
        "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, chunked",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: identity",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked",
    ]);
}

#[test]
fn heads_that_are_not_http_are_refused() {
    all_invalid(&[
        "HTTP/1.1 banana",
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 -20 OK",
        "HTTP/1.1  200 OK",
        "HTTP/1.1\t200 OK",
        "HTTP/1.2 200 OK",
        "HTTP/2.0 200 OK",
        "HTTP/0.9 200 OK",
        "http/1.1 200 OK",
        "ICY 200 OK",
        "hello",
        "HTTP/1.1 200 OK\0",
    ]);
}

#[test]
fn fields_that_are_not_http_are_refused() {
    all_invalid(&[
        "HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 5",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\t0",
        "HTTP/1.1 200 OK\r\ntransfer-encoding:\r\n chunked",
        "HTTP/1.1 200 OK\r\ncontent-length : 5",
        "HTTP/1.1 200 OK\r\n content-length: 5",
        "HTTP/1.1 200 OK\r\ncontent-length",
        "HTTP/1.1 200 OK\r\n: x\r\ncontent-length: 5",
        "HTTP/1.1 200 OK\r\nx y: z\r\ncontent-length: 5",
        "HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 5",
        "HTTP/1.1 200 OK\r\nx: a\rb\r\ncontent-length: 5",
        "HTTP/1.1 200 OK\r\nx: a\rset-cookie: b\r\ncontent-length: 5",
    ]);
}

#[test]
fn bare_line_feeds_within_a_head_are_refused() {
    all_invalid(&[
        "HTTP/1.1 200 OK\ncontent-length: 5",
        "HTTP/1.1 200 OK\r\nx: y\ncontent-length: 5",
    ]);
}

/// As in requests, what follows such a line end is head to one parser and body to another.
#[test]
fn heads_that_end_in_a_bare_line_feed_are_refused() {
    all_invalid(&[
        "HTTP/1.1 200 OK\r\ncontent-length: 5\n\nfirst",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\nfirst",
        "HTTP/1.1 200 OK\r\nx: y\n\ncontent-length: 5",
        "HTTP/1.1 200 OK\n\ncontent-length: 5",
    ]);
}

/// A head all of whose lines end in LF cannot end any more; waiting for it helps nobody.
#[test]
fn a_head_of_bare_line_feeds_is_not_waited_for() {
    let answer = "HTTP/1.1 200 OK\ncontent-length: 5\n\nfirst";
    check(answer, Then::Keep, INVALID, false);
}

/// The same however it is delivered: an empty line may stand before a request, not before an answer.
#[test]
fn an_empty_line_before_a_head_is_refused() {
    let answer = b"\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfirst";
    let pieces = answer.iter().map(|byte| vec![*byte]).collect();
    Origin::answering(pieces, Then::Keep).check(INVALID, false, "dripped");
    check(answer, Then::Keep, INVALID, false);
}

/// A status has three digits, the first from 1 to 5 (RFC 9110 section 15); what the proxy makes of
/// another has to be a status line again.
#[test]
fn a_status_below_100_is_refused() {
    for status in ["000", "001", "010", "099"] {
        let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 5\r\n\r\nfirst");
        let origin = Origin::answering(vec![answer.into_bytes()], Then::Keep);
        let mut client = origin.rig.client();
        client.send(request("POST", "/v1/files/first", &[], b"hello"));
        let end = client.wait(|input| find(input, b"\r\n")).unwrap();
        let line = String::from_utf8_lossy(&client.received()[..end]).into_owned();
        assert_eq!(line, "HTTP/1.1 502 Bad Gateway", "for a status of {status}");
    }
}

#[test]
fn switching_protocols_unasked_is_refused() {
    for fields in [
        "",
        "connection: upgrade\r\nupgrade: websocket\r\n",
        "content-length: 5\r\n",
    ] {
        let answer = format!("HTTP/1.1 101 Switching Protocols\r\n{fields}\r\nfirst");
        check(answer, Then::Keep, INVALID, false);
    }
    let after_interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 x\r\n\r\n";
    check(after_interim, Then::Keep, INVALID, false);
}

#[test]
fn heads_without_end_are_refused() {
    let field = "x-field: value\r\n";
    for head in [
        format!("HTTP/1.1 200 OK\r\n{}\r\n", field.repeat(101)),
        format!("HTTP/1.1 200 OK\r\n{}\r\n", field.repeat(10_000)),
        format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(70_000)),
        format!("HTTP/1.1 200 {}\r\n\r\n", "y".repeat(70_000)),
    ] {
        check(head, Then::Keep, INVALID, false);
    }
}

#[test]
fn no_answer_at_all_is_a_close() {
    for answer in [
        "",
        "HTT",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
    ] {
        check(answer, Then::Close, CLOSED, false);
    }
}

#[test]
fn a_body_that_is_not_what_its_head_says_breaks_off() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    for body in [
        "xyz\r\nfirst\r\n0\r\n\r\n",
        "5\nfirst\r\n0\r\n\r\n",
        "5\r\nfirst0\r\n\r\n",
        "5\r\nfirst\n0\r\n\r\n",
        "5\r\nfirst!\r\n0\r\n\r\n",
        "5 \r\nfirst\r\n0\r\n\r\n",
        "0x5\r\nfirst\r\n0\r\n\r\n",
        "-5\r\nfirst\r\n0\r\n\r\n",
        "10000000000000005\r\nfirst\r\n0\r\n\r\n",
        "5\r\nfirst\r\n0\r\n\n",
        "\r\n",
    ] {
        check(format!("{chunked}{body}"), Then::Keep, BROKEN, false);
    }
    let many = format!(
        "{chunked}5\r\nfirst\r\n0\r\n{}",
        "x-trailer: y\r\n".repeat(2000)
    );
    check(many, Then::Keep, BROKEN, false);
}

#[test]
fn a_body_cut_short_breaks_off() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nfirst",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfi",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\n",
    ] {
        check(answer, Then::Close, BROKEN, false);
    }
}

/// A stream of events that breaks off gets one more event with the reason, and the client's
/// connection can go on.
#[test]
fn a_stream_of_events_that_breaks_off_ends_with_the_reason() {
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    for (body, then, code) in [
        (
            "9\r\ndata: a\n\n\r\nzz\r\n",
            Then::Keep,
            "upstream_invalid_response",
        ),
        ("9\r\ndata: a\n\n\r\n", Then::Close, "upstream_closed"),
    ] {
        let origin = Origin::answering(vec![format!("{head}{body}").into_bytes()], then);
        let mut client = origin.rig.client();
        let reply = client.request("POST", "/v1/files/first", &[], b"hello");
        let text = reply.text();
        assert!(
            reply.complete && text.starts_with("data: a\n\n"),
            "{reply:?}"
        );
        assert!(text.contains(&format!("\"code\":\"{code}\"")), "{text}");
        let second = client.request("POST", "/v1/files/second", &[], b"hello");
        assert_eq!(second.text(), "second");
    }
}
