//! The chunked coding in requests (RFC 9112 section 7.1).

use super::lab::{Lab, REFUSED, SERVED, post};

const CHUNKED: &str = "transfer-encoding: chunked\r\n";
const FOLLOWING: &str = "POST /v1/batches HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n";

/// Each body is followed by a request that must not be seen.
#[track_caller]
fn all_refused(bodies: &[&str]) {
    let lab = Lab::start();
    for body in bodies {
        lab.check_refused(&post(CHUNKED, &format!("{body}{FOLLOWING}")), REFUSED);
    }
    lab.assert_quiet();
    assert_eq!(lab.emulator.stats().completed, 0);
}

#[test]
fn sizes_that_are_not_hexadecimal_digits_are_refused() {
    all_refused(&[
        " 5\r\nhello\r\n0\r\n\r\n",
        "\t5\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "5\t\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "0X5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "5h\r\nhello\r\n0\r\n\r\n",
        "5_0\r\nhello\r\n0\r\n\r\n",
        "5,\r\nhello\r\n0\r\n\r\n",
        "5.\r\nhello\r\n0\r\n\r\n",
        "\"5\"\r\nhello\r\n0\r\n\r\n",
        "\u{665}\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        ";x=y\r\nhello\r\n0\r\n\r\n",
        "five\r\nhello\r\n0\r\n\r\n",
        "\0\r\nhello\r\n0\r\n\r\n",
        "5\0\r\nhello\r\n0\r\n\r\n",
        "5 5\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0x0\r\n\r\n",
        "5\r\nhello\r\n-0\r\n\r\n",
        "5\r\nhello\r\n 0\r\n\r\n",
    ]);
}

#[test]
fn sizes_too_long_are_refused() {
    all_refused(&[
        "0000000000000005\r\nhello\r\n0\r\n\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "FFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    ]);
}

#[test]
fn chunk_lines_that_do_not_end_in_crlf_are_refused() {
    all_refused(&[
        "5\nhello\r\n0\r\n\r\n",
        "5\n\r\nhello\r\n0\r\n\r\n",
        "5;x\nhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello!\r\n0\r\n\r\n",
        "5\r\nhello\r0\r\n\r\n",
        "5\r\nhello\r\r\n0\r\n\r\n",
        "5\r\nhello\n\r0\r\n\r\n",
        "5\r\nhell\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\n\r\n",
        "5\r\nhello\r\n0\r\n\n",
        "5\r\nhello\r\n0\r\nx: y\n\r\n",
        "5\r\r\nhello\r\n0\r\n\r\n",
    ]);
}

/// RFC 9112 section 2.2: a bare CR is invalid in any protocol element but the content. Parsers that
/// take it for a line end see another chunk.
#[test]
fn a_bare_carriage_return_in_a_chunk_line_is_refused() {
    all_refused(&[
        "5\r;x\r\nhello\r\n0\r\n\r\n",
        "5;a\rb\r\nhello\r\n0\r\n\r\n",
        "5;\r\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\nx: a\rb\r\n\r\n",
    ]);
}

/// White space before an extension is space or tab (RFC 9110 section 5.6.3).
#[test]
fn other_white_space_before_an_extension_is_refused() {
    all_refused(&["5\u{c};x\r\nhello\r\n0\r\n\r\n"]);
}

#[test]
fn a_huge_extension_is_refused() {
    let long = "x".repeat(2000);
    all_refused(&[
        &format!("5;{long}\r\nhello\r\n0\r\n\r\n"),
        &format!("5\r\nhello\r\n0;{long}\r\n\r\n"),
        &format!("5{long}"),
        &"0".repeat(2000),
    ]);
}

#[test]
fn a_flood_of_trailer_fields_is_refused() {
    let many = "x-trailer: value\r\n".repeat(2000);
    let long = format!("x-trailer: {}\r\n", "y".repeat(20_000));
    let lab = Lab::start();
    for trailers in [many, long] {
        let case = post(
            CHUNKED,
            &format!("5\r\nhello\r\n0\r\n{trailers}\r\n{FOLLOWING}"),
        );
        lab.check(&case, super::lab::Sent::Whole, REFUSED);
        assert!(lab.seen().is_empty());
    }
    lab.assert_quiet();
    assert_eq!(lab.emulator.stats().completed, 0);
}

#[test]
fn bodies_in_all_forms_the_rfc_allows_are_served() {
    let lab = Lab::start();
    for body in [
        "5\r\nhello\r\n0\r\n\r\n",
        "05\r\nhello\r\n0\r\n\r\n",
        "000000000000005\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n000\r\n\r\n",
        "1\r\nh\r\n4\r\nello\r\n0\r\n\r\n",
        "5;x\r\nhello\r\n0;y=z\r\n\r\n",
        "5;x=y;z=\"quoted; text\"\r\nhello\r\n0\r\n\r\n",
        "5 ; x = y\r\nhello\r\n0\r\n\r\n",
        "5\t;x\r\nhello\r\n0\r\n\r\n",
        "5;\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\nx-checksum: 1\r\nx-two: 2\r\n\r\n",
    ] {
        lab.check_served(&post(CHUNKED, body), SERVED, &[("POST /v1/files", "hello")]);
    }
    let text = "a line\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n";
    for size in [format!("{:x}", text.len()), format!("{:X}", text.len())] {
        let body = format!("{size}\r\n{text}\r\n0\r\n\r\n");
        lab.check_served(&post(CHUNKED, &body), SERVED, &[("POST /v1/files", text)]);
    }
    lab.check_served(
        &post(CHUNKED, "0\r\n\r\n"),
        SERVED,
        &[("POST /v1/files", "")],
    );
    lab.assert_quiet();
}

/// RFC 9110 section 6.5.1: trailer fields never become part of the head.
#[test]
fn trailer_fields_change_nothing() {
    let lab = Lab::start();
    let trailers = "Content-Length: 999\r\nTransfer-Encoding: gzip\r\nHost: evil\r\n\
                    Authorization: Bearer evil\r\nConnection: close\r\n";
    let body = format!("5\r\nhello\r\n0\r\n{trailers}\r\n");
    let mut client = lab.client();
    client.send(post(CHUNKED, &body));
    assert_eq!(client.reply().status, 200);
    let request = lab.last_request();
    assert_eq!(
        (&request.body[..], request.trailers.is_none()),
        (&b"hello"[..], true)
    );
    assert!(
        !request.has_header("content-length"),
        "{:?}",
        request.headers
    );
    assert!(request.header("host").unwrap().starts_with("localhost:"));
    assert!(!format!("{:?}", request.headers).contains("evil"));
    assert_eq!(client.request("GET", "/health", &[], b"").status, 200);
}
