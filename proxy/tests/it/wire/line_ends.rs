//! Line ends that are not CRLF (RFC 9112 section 2.2), in requests.

use super::lab::{FILES, Lab, REFUSED, SERVED, post};

const FOLLOWING: &str = "POST /v1/batches HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n";

#[track_caller]
fn all_refused(cases: &[String]) {
    let lab = Lab::start();
    for case in cases {
        lab.check_refused(case.as_bytes(), REFUSED);
    }
}

#[test]
fn a_bare_line_feed_within_the_head_is_refused() {
    let line = format!("POST {FILES} HTTP/1.1");
    all_refused(&[
        format!("{line}\nhost: x\r\ncontent-length: 5\r\n\r\nhello"),
        format!("{line}\r\nhost: x\ncontent-length: 5\r\n\r\nhello"),
        format!("{line}\r\nhost: x\r\ncontent-length: 5\nx: y\r\n\r\nhello"),
        format!(
            "{line}\r\nhost: x\r\nx: y\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{FOLLOWING}"
        ),
    ]);
}

/// A parser that takes the bare LF for a line end sees the head end there: what is
/// `content-length` to one is body, or the next request, to the other.
#[test]
fn a_head_that_ends_in_a_bare_line_feed_is_refused() {
    let line = format!("POST {FILES} HTTP/1.1\r\nhost: x");
    all_refused(&[
        format!("{line}\r\n\ncontent-length: 5\r\n\r\nhello"),
        format!("{line}\n\ncontent-length: 5\r\n\r\nhello"),
        format!("{line}\n\r\ncontent-length: 5\r\n\r\nhello"),
        format!("{line}\r\ncontent-length: 0\r\n\n{FOLLOWING}"),
        format!("{line}\r\ncontent-length: 0\n\n{FOLLOWING}"),
        format!("{line}\r\ntransfer-encoding: chunked\n\n0\r\n\r\n"),
        "GET /health HTTP/1.0\n\r\n\r\n".to_owned(),
        "GET /health HTTP/1.0\r\n\n\r\n\r\n".to_owned(),
    ]);
}

#[test]
fn a_bare_line_feed_before_the_request_line_is_refused() {
    let get = "GET /health HTTP/1.1\r\nhost: x\r\n\r\n";
    all_refused(&[
        format!("\n{get}"),
        format!("\n\n{get}"),
        format!("\r\n\n{get}"),
    ]);
}

#[test]
fn a_bare_carriage_return_is_refused() {
    let line = format!("POST {FILES} HTTP/1.1\r\nhost: x\r\n");
    all_refused(&[
        format!("POST {FILES} HTTP/1.1\rhost: x\r\n\r\n"),
        format!("POST {FILES} HTTP/1.1\r\r\nhost: x\r\n\r\n"),
        format!("POST {FILES}\r HTTP/1.1\r\nhost: x\r\n\r\n"),
        format!("{line}x: a\rb\r\n\r\n"),
        format!("{line}x: a\r\r\n\r\n"),
        format!("{line}x: a\rtransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("{line}x\r: a\r\n\r\n"),
        format!("{line}\rx: a\r\n\r\n"),
        format!("{line}content-length: 5\r\r\n\r\nhello"),
        format!("{line}content-length: \r5\r\n\r\nhello"),
        format!("{line}transfer-encoding: \rchunked\r\n\r\n0\r\n\r\n"),
        "\rGET /health HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(),
    ]);
}

#[test]
fn empty_lines_before_a_request_are_skipped() {
    let lab = Lab::start();
    let request = post("content-length: 5\r\n", "hello");
    for empty in ["\r\n", "\r\n\r\n\r\n"] {
        let case = [empty.as_bytes(), &request].concat();
        lab.check_served(&case, SERVED, &[("POST /v1/files", "hello")]);
        // Some old clients send one after a body (RFC 9112 section 2.2).
        let twice = [
            &request,
            empty.as_bytes(),
            b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n",
        ];
        let mut client = lab.client();
        client.send(twice.concat());
        assert_eq!(
            (client.reply().status, client.reply().text()),
            (200, "healthy\n".to_owned())
        );
        assert_eq!(lab.seen().len(), 1);
    }
}
