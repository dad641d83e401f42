//! Request smuggling in the head: lengths that two parsers could read differently.

use super::lab::{
    FILES, Lab, Outcome, REFUSED, SERVED, Sent, assert_outcome, assert_seen, declined, key_field,
    post, refused,
};

/// What an attacker would like a parser to take for the next request.
const SMUGGLED: &str = "0\r\n\r\nPOST /v1/batches HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n";
/// The same after five bytes.
const AFTER_FIVE: &str = "helloPOST /v1/batches HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n";

#[track_caller]
fn all_refused(fields: &[&str], body: &str) {
    let lab = Lab::start();
    for fields in fields {
        lab.check_refused(&post(fields, body), REFUSED);
    }
    lab.assert_quiet();
}

#[test]
fn a_length_and_a_coding_together_are_refused() {
    all_refused(
        &[
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
            "transfer-encoding: chunked\r\nx: y\r\nCONTENT-LENGTH: 5\r\n",
            "Content-Length: 5\r\nTransfer-Encoding: identity\r\n",
            "Content-Length: 5\r\nTransfer-Encoding: \r\n",
            "Content-Length: \r\nTransfer-Encoding: chunked\r\n",
        ],
        SMUGGLED,
    );
}

#[test]
fn lengths_that_are_not_one_number_are_refused() {
    all_refused(
        &[
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Content-Length: 0\r\ncontent-length: 5\r\n",
            "Content-Length: 5, 5\r\n",
            "Content-Length: 5,5\r\n",
            "Content-Length: 5,\r\n",
            "Content-Length: ,5\r\n",
            "Content-Length: +5\r\n",
            "Content-Length: -5\r\n",
            "Content-Length: -0\r\n",
            "Content-Length: 0x5\r\n",
            "Content-Length: 5 5\r\n",
            "Content-Length: 5\t5\r\n",
            "Content-Length: 5;x\r\n",
            "Content-Length: 5.0\r\n",
            "Content-Length: 5e0\r\n",
            "Content-Length: \"5\"\r\n",
            "Content-Length: 5\u{a0}\r\n",
            "Content-Length: \u{665}\r\n",
            "Content-Length: five\r\n",
            "Content-Length:\r\n",
            "Content-Length: \r\n",
            "Content-Length: 99999999999999999999\r\n",
            "Content-Length: 18446744073709551621\r\n",
            "Content-Length: 00000000000000000005\r\n",
        ],
        AFTER_FIVE,
    );
}

#[test]
fn codings_other_than_one_chunked_are_refused() {
    all_refused(
        &[
            "Transfer-Encoding: xchunked\r\n",
            "Transfer-Encoding: chunkedx\r\n",
            "Transfer-Encoding: chunk\r\n",
            "Transfer-Encoding: chunked, chunked\r\n",
            "Transfer-Encoding: chunked,\r\n",
            "Transfer-Encoding: ,chunked\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: chunked, gzip\r\n",
            "Transfer-Encoding: identity, chunked\r\n",
            "Transfer-Encoding: identity\r\n",
            "Transfer-Encoding: gzip\r\n",
            "Transfer-Encoding: \"chunked\"\r\n",
            "Transfer-Encoding: 'chunked'\r\n",
            "Transfer-Encoding: chunked;q=1\r\n",
            "Transfer-Encoding: chun ked\r\n",
            "Transfer-Encoding:\r\n",
            "Transfer-Encoding: \u{b}chunked\r\n",
            "Transfer-Encoding: chunked\u{b}\r\n",
            "Transfer-Encoding: \u{c}chunked\r\n",
            "Transfer-Encoding: \0chunked\r\n",
            "Transfer-Encoding: \u{a0}chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
            "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        ],
        SMUGGLED,
    );
}

#[test]
fn field_names_that_only_resemble_one_are_refused() {
    all_refused(
        &[
            "Transfer-Encoding : chunked\r\n",
            "Transfer-Encoding\t: chunked\r\n",
            "Transfer-Encoding\u{b}: chunked\r\n",
            "Transfer-Encoding\0: chunked\r\n",
            "Transfer-Encoding\u{a0}: chunked\r\n",
            "Transfer Encoding: chunked\r\n",
            " Transfer-Encoding: chunked\r\n",
            "\tTransfer-Encoding: chunked\r\n",
            "Content-Length : 5\r\n",
            "Content-Length\t: 5\r\n",
            "Content Length: 5\r\n",
            "Content-Length\r\n",
            "Content-Length= 5\r\n",
            "[Content-Length]: 5\r\n",
            ": 5\r\n",
            "X\u{e9}: y\r\n",
            "\"x\": y\r\n",
            "x y: z\r\n",
        ],
        SMUGGLED,
    );
}

#[test]
fn folded_lines_are_refused() {
    all_refused(
        &[
            "X-Folded: a\r\n b\r\n",
            "X-Folded: a\r\n\tb\r\n",
            "X-Folded: a\r\n \r\n",
            "X-Folded:\r\n a\r\n",
            "Content-Length: 5\r\n 0\r\n",
            "Content-Length:\r\n 5\r\n",
            "Transfer-Encoding: chun\r\n ked\r\n",
            "Transfer-Encoding:\r\n chunked\r\n",
            "X-Folded: a\r\n Transfer-Encoding: chunked\r\n",
        ],
        SMUGGLED,
    );
}

#[test]
fn control_characters_are_refused() {
    all_refused(
        &[
            "X-Value: a\0b\r\n",
            "X-Value: \0\r\n",
            "X-Value: a\u{1}b\r\n",
            "X-Value: a\u{7f}b\r\n",
            "X-Value: a\u{1b}[0m\r\n",
            "X\0Name: v\r\n",
            "X\u{7f}Name: v\r\n",
        ],
        SMUGGLED,
    );
}

#[test]
fn a_coding_in_http_1_0_is_refused() {
    let lab = Lab::start();
    for fields in [
        "",
        "connection: keep-alive\r\n",
        "host: x\r\ncontent-length: 5\r\n",
    ] {
        let head = format!("POST {FILES} HTTP/1.0\r\n{fields}transfer-encoding: chunked\r\n\r\n");
        lab.check_refused(&[head.as_bytes(), SMUGGLED.as_bytes()].concat(), REFUSED);
    }
}

#[test]
fn what_can_be_read_in_one_way_is_served() {
    let lab = Lab::start();
    let chunked = "5\r\nhello\r\n0\r\n\r\n";
    for (fields, body) in [
        ("Content-Length: 5\r\n", "hello"),
        ("Content-Length:5\r\n", "hello"),
        ("Content-Length: \t 5 \t \r\n", "hello"),
        ("Content-Length: 0000000000000000005\r\n", "hello"),
        (
            "content-length: 5\r\nContent_Length: 7\r\nTransfer_Encoding: chunked\r\n",
            "hello",
        ),
        ("Transfer-Encoding: chunked\r\n", chunked),
        ("Transfer-Encoding: CHUNKED\r\n", chunked),
        ("Transfer-Encoding:chunked\r\n", chunked),
        ("Transfer-Encoding:\tchunked \t\r\n", chunked),
        (
            "TRANSFER-ENCODING: Chunked\r\nte: trailers, chunked\r\n",
            chunked,
        ),
        (
            "content-length: 5\r\nX-Text: \u{e4}\u{f6}\u{fc}\r\nX-Empty:\r\n",
            "hello",
        ),
    ] {
        lab.check_served(&post(fields, body), SERVED, &[("POST /v1/files", "hello")]);
    }
    for fields in ["", "Content-Length: 0\r\n", "Content-Length: 000\r\n"] {
        lab.check_served(&post(fields, ""), SERVED, &[("POST /v1/files", "")]);
    }
    lab.assert_quiet();
}

#[test]
fn a_length_beyond_all_limits_is_too_large() {
    let lab = Lab::start();
    for length in ["10485761", "9223372036854775808", "9999999999999999999"] {
        let case = post(&format!("Content-Length: {length}\r\n"), "hello");
        lab.check_refused(&case, refused(413, "request_too_large"));
    }
}

#[test]
fn a_naming_connection_field_cannot_remove_the_framing() {
    let lab = Lab::start();
    for (fields, body) in [
        (
            "Connection: content-length\r\nContent-Length: 5\r\n",
            "hello",
        ),
        (
            "Connection: transfer-encoding, host\r\nTransfer-Encoding: chunked\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
        ),
    ] {
        lab.check_served(&post(fields, body), SERVED, &[("POST /v1/files", "hello")]);
    }
}

/// Sends two requests in one write, of which the second is hidden behind the first one's body.
#[track_caller]
fn after_a_body(
    lab: &Lab,
    first: &[u8],
    second: &[u8],
    answers: [Outcome; 2],
    upstream: &[(&str, &str)],
) {
    let mut client = lab.client();
    client.send([first, second].concat());
    let shown = String::from_utf8_lossy(first).into_owned();
    let reply = client.reply();
    assert_eq!(reply.status, 200, "{shown}: {reply:?}");
    let reply = client.reply();
    assert_outcome(&mut client, &reply, answers[1], &shown);
    assert_seen(&lab.seen(), upstream, &shown);
}

#[test]
fn what_follows_a_body_is_a_request_of_its_own() {
    let lab = Lab::with("auth: passthrough");
    let key = key_field();
    let with_length = post(&format!("{key}Content-Length: 5\r\n"), "hello");
    let chunked = format!("{key}Transfer-Encoding: chunked\r\n");
    let chunked = post(&chunked, "5\r\nhello\r\n0\r\n\r\n");
    let first = ("POST /v1/files", "hello");
    for body in [&with_length, &chunked] {
        // Without a key of its own it does not profit from the one before.
        let bare = b"POST /v1/batches HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}";
        let answers = [SERVED, declined(401, "invalid_api_key")];
        after_a_body(&lab, body, bare, answers, &[first]);
        let unknown = b"DELETE /admin HTTP/1.1\r\nhost: x\r\n\r\n";
        let answers = [SERVED, declined(404, "unknown_route")];
        after_a_body(&lab, body, unknown, answers, &[first]);
        let garbage = b"X-Garbage: y\r\n\r\n";
        after_a_body(&lab, body, garbage, [SERVED, REFUSED], &[first]);
        let keyed = format!("DELETE /v1/files/a HTTP/1.1\r\nhost: x\r\n{key}\r\n");
        let upstream = [first, ("DELETE /v1/files/a", "")];
        after_a_body(&lab, body, keyed.as_bytes(), [SERVED, SERVED], &upstream);
    }
}

#[test]
fn a_get_with_a_body_does_not_leave_it_behind() {
    let lab = Lab::start();
    let hidden = "GET /v1/batches HTTP/1.1\r\nhost: x\r\n\r\n";
    let length = hidden.len();
    let case =
        format!("GET {FILES} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{hidden}");
    lab.check_served(case.as_bytes(), SERVED, &[("GET /v1/files", hidden)]);
    // An answer of the proxy's own waits for none of it; it follows or the connection ends.
    let case =
        format!("GET /health HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{hidden}");
    for (sent, outcome) in [
        (Sent::Whole, SERVED),
        (Sent::Dripped, SERVED.perhaps_closing()),
    ] {
        lab.check(case.as_bytes(), sent, outcome);
        assert_seen(&lab.seen(), &[], "a body after GET /health");
    }
}
