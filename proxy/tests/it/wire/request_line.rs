//! Request lines and `Host` (RFC 9112 section 3).

use crate::harness::client::request;

use super::lab::{Lab, Outcome, REFUSED, SERVED, Sent, declined};

#[track_caller]
fn all_refused(lines: &[&str]) {
    let lab = Lab::start();
    for line in lines {
        let case = format!("{line}\r\nhost: proxy.test\r\n\r\n");
        lab.check_refused(case.as_bytes(), REFUSED);
    }
}

#[track_caller]
fn checked(lab: &Lab, line: &str, expected: Outcome) {
    let case = format!("{line}\r\nhost: proxy.test\r\n\r\n");
    for sent in [Sent::Whole, Sent::Dripped] {
        lab.check(case.as_bytes(), sent, expected);
    }
}

#[test]
fn request_lines_that_are_not_three_words_are_refused() {
    all_refused(&[
        "GET  /health HTTP/1.1",
        "GET /health  HTTP/1.1",
        " GET /health HTTP/1.1",
        "GET /health HTTP/1.1 ",
        "GET\t/health\tHTTP/1.1",
        "GET /health\tHTTP/1.1",
        "GET /hea lth HTTP/1.1",
        "GET /health",
        "GET",
        "/health HTTP/1.1",
        "GET HTTP/1.1",
        "GET\u{a0}/health HTTP/1.1",
    ]);
}

#[test]
fn other_versions_are_refused() {
    all_refused(&[
        "GET /health HTTP/0.9",
        "GET /health HTTP/1.2",
        "GET /health HTTP/1.10",
        "GET /health HTTP/2.0",
        "GET /health HTTP/2",
        "GET /health HTTP/11",
        "GET /health HTTP/1.1x",
        "GET /health HTTP/ 1.1",
        "GET /health http/1.1",
        "GET /health HTTP/1,1",
        "GET /health XTTP/1.1",
        "GET /health HTTP",
        "PRI * HTTP/2.0\r\n\r\nSX",
    ]);
}

#[test]
fn methods_and_targets_of_wrong_characters_are_refused() {
    all_refused(&[
        "G@T /health HTTP/1.1",
        "GET( /health HTTP/1.1",
        "G\0T /health HTTP/1.1",
        "G\u{c9}T /health HTTP/1.1",
        "\u{16}\u{3}\u{1}\0 /health HTTP/1.1",
        "GET /hea\0lth HTTP/1.1",
        "GET /hea\u{1}lth HTTP/1.1",
        "GET /hea\u{7f}lth HTTP/1.1",
    ]);
    let lab = Lab::start();
    lab.check_refused(
        b"GET /v1/files/\xff\xfe HTTP/1.1\r\nhost: x\r\n\r\n",
        REFUSED,
    );
}

#[test]
fn methods_are_case_sensitive() {
    let lab = Lab::start();
    for line in [
        "get /health HTTP/1.1",
        "Get /health HTTP/1.1",
        "GETT /health HTTP/1.1",
        "PROPFIND /health HTTP/1.1",
        "post /v1/files HTTP/1.1",
    ] {
        checked(&lab, line, declined(405, "method_not_allowed"));
    }
    assert!(lab.seen().is_empty());
}

#[test]
fn absolute_targets_are_read_by_their_path() {
    let lab = Lab::start();
    checked(&lab, "GET http://elsewhere.test/health HTTP/1.1", SERVED);
    checked(
        &lab,
        "GET HTTP://elsewhere.test:99/health?x HTTP/1.1",
        SERVED,
    );
    checked(&lab, "GET http://[::1]:80/health HTTP/1.1", SERVED);
    checked(
        &lab,
        "GET http://h/v1/nope HTTP/1.1",
        declined(404, "unknown_route"),
    );
    checked(
        &lab,
        "GET http://h/x?y=http://h/health HTTP/1.1",
        declined(404, "unknown_route"),
    );
    assert!(lab.seen().is_empty());
}

#[test]
fn targets_in_other_forms_are_declined() {
    let lab = Lab::start();
    for line in [
        "GET * HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "CONNECT example.com:443 HTTP/1.1",
        "GET example.com:443 HTTP/1.1",
        "GET health HTTP/1.1",
        "GET ?/health HTTP/1.1",
        "GET /health#fragment HTTP/1.1",
        "GET /health?a#b HTTP/1.1",
        "GET http://h/health#fragment HTTP/1.1",
        "GET http:/health HTTP/1.1",
    ] {
        checked(&lab, line, declined(400, "invalid_request"));
    }
    assert!(lab.seen().is_empty());
}

/// The path of `http://h?x=/health` is empty and that of `http://h#/health` too (RFC 3986 section
/// 3.2: the authority ends at `/`, `?` or `#`). Who filters paths before the proxy sees it so.
#[test]
fn a_query_or_fragment_right_after_the_authority_is_not_a_path() {
    let lab = Lab::start();
    for target in [
        "http://h?x=/health",
        "http://h#/health",
        "http://h?x#/health",
    ] {
        let reply = lab.client().request("GET", target, &[], b"");
        assert_ne!(reply.status, 200, "{target}: {reply:?}");
    }
}

/// An absolute target begins with a scheme (RFC 3986 section 3.1).
#[test]
fn an_absolute_target_without_a_scheme_is_declined() {
    let lab = Lab::start();
    for target in [
        "://h/health",
        "?x=://h/health",
        "*://h/health",
        "h:80?q=://h/health",
    ] {
        let reply = lab.client().request("GET", target, &[], b"");
        assert_eq!(reply.status, 400, "{target}: {reply:?}");
    }
}

#[test]
fn exactly_one_host_is_required() {
    let lab = Lab::start();
    for fields in [
        "",
        "x: y\r\n",
        "host: a\r\nhost: a\r\n",
        "host: a\r\nHOST: b\r\n",
        "host: a\r\nx: y\r\nhost:\r\n",
    ] {
        let case = format!("GET /health HTTP/1.1\r\n{fields}\r\n");
        lab.check_refused(case.as_bytes(), REFUSED);
        // The host of an absolute target is no substitute (RFC 9112 section 3.2.2).
        let case = format!("GET http://a/health HTTP/1.1\r\n{fields}\r\n");
        lab.check_refused(case.as_bytes(), REFUSED);
    }
    let two = b"GET /health HTTP/1.0\r\nhost: a\r\nhost: b\r\n\r\n";
    lab.check_refused(two, REFUSED);
    lab.check_refused(b"GET /health HTTP/1.1\r\nhost : a\r\n\r\n", REFUSED);
    for host in ["host:", "host: ", "host: [::1]:80", "Host:a.b:1"] {
        let case = format!("GET /health HTTP/1.1\r\n{host}\r\n\r\n");
        lab.check(case.as_bytes(), Sent::Whole, SERVED);
    }
    lab.check(
        b"GET /health HTTP/1.0\r\n\r\n",
        Sent::Whole,
        SERVED.closing(),
    );
}

/// RFC 9112 section 3.2: 400 also for a `Host` with an invalid value.
#[test]
fn a_host_that_is_no_host_is_refused() {
    let lab = Lab::start();
    for host in [
        "a b", "a, b", "a/b", "a?b", "a#b", "user@a", "http://a", "a\\b",
    ] {
        let reply = lab.client().request("GET", "/health", &[], b"");
        assert_eq!(reply.status, 200);
        let mut client = lab.client();
        client.send(format!("GET /health HTTP/1.1\r\nhost: {host}\r\n\r\n"));
        let reply = client.reply();
        assert_eq!(
            (reply.status, reply.error()),
            (400, Some("invalid_request")),
            "{host:?}"
        );
    }
}

/// What the proxy says of a request it cannot read belongs to that request.
#[test]
fn a_refusal_says_nothing_of_other_requests() {
    let lab = Lab::start();
    let refusals = [
        &b"NONSENSE\r\n\r\n"[..],
        b"GET /health HTTP/1.1\r\n\r\n",
        b"GET\n",
    ];
    for (round, refused) in refusals.into_iter().enumerate() {
        let fields = [
            ("x-request-id", "of-another-client"),
            ("user-agent", "another client"),
        ];
        let other = lab.client().request("GET", "/health", &fields, b"");
        assert_eq!(other.header("x-request-id"), Some("of-another-client"));
        let mut client = lab.client();
        client.send(refused);
        let reply = client.reply();
        assert_eq!(reply.status, 400);
        let id = reply.header("x-request-id").unwrap_or_default();
        assert!(!id.is_empty() && id != "of-another-client", "{reply:?}");
        client.expect_close();
        // Two lines a round; those of one round may come in either order.
        let lines = lab.wait_log(2 * round + 2);
        let line = &lines[2 * round..];
        let line = line.iter().find(|line| line["status"] == 400).unwrap();
        assert!(!line.to_string().contains("another"), "{line}");
    }
    let mut client = lab.client();
    client.send(request("GET", "/health", &[], b""));
    assert_eq!(client.reply().status, 200);
}
