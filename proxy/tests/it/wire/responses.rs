//! Answers of upstream in every form RFC 9112 allows, and what of them the client gets.

use std::io::{Read, Write};
use std::net::Shutdown;

use crate::harness::client::request;
use crate::harness::upstream::{Scripted, read_head};

use super::origin::{Gets, Origin, Then, check, in_front_of};

const FIRST: Gets = Gets::Answer(200, "first");

#[test]
fn an_answer_is_read_by_its_framing() {
    for fields in [
        "content-length: 5\r\n\r\nfirst",
        "Content-Length:5\r\n\r\nfirst",
        "content-length: \t5 \r\n\r\nfirst",
        "connection: keep-alive\r\ncontent-length: 5\r\n\r\nfirst",
        "transfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\n\r\n",
        "Transfer-Encoding: Chunked\r\n\r\n2;x=y\r\nfi\r\n03\r\nrst\r\n0\r\nx-trailer: y\r\n\r\n",
    ] {
        check(
            format!("HTTP/1.1 200 OK\r\n{fields}"),
            Then::Keep,
            FIRST,
            true,
        );
    }
}

#[test]
fn an_answer_may_come_byte_by_byte() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfirst",
        "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfirst",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nfi\r\n3\r\nrst\r\n0\r\n\r\n",
    ] {
        let pieces = answer.bytes().map(|byte| vec![byte]).collect();
        Origin::answering(pieces, Then::Keep).check(FIRST, true, answer);
    }
}

#[test]
fn a_reason_phrase_is_optional() {
    for line in [
        "HTTP/1.1 200",
        "HTTP/1.1 200 ",
        "HTTP/1.1 200 All is \t well",
        "HTTP/1.1 200 \u{e4}",
    ] {
        let answer = format!("{line}\r\ncontent-length: 5\r\n\r\nfirst");
        check(answer, Then::Keep, FIRST, true);
    }
}

#[test]
fn interim_answers_come_before_the_final_one() {
    let last = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfirst";
    for interim in [
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 102 Processing\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nlink: </x>; rel=preload\r\n\r\n",
        "HTTP/1.1 100 Continue\r\ncontent-length: 5\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 199 x\r\n\r\n",
    ] {
        check(format!("{interim}{last}"), Then::Keep, FIRST, true);
    }
}

#[test]
fn an_answer_ends_with_the_connection_if_nothing_else_says_so() {
    for head in [
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.0 200 OK\r\n\r\n",
        "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\n\r\n",
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n",
    ] {
        check(format!("{head}first"), Then::Close, FIRST, false);
    }
}

/// RFC 9112 section 9.3.
#[test]
fn a_connection_upstream_gives_up_is_not_used_again() {
    for fields in [
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nfirst",
        "HTTP/1.1 200 OK\r\nConnection: x, Close\r\ncontent-length: 5\r\n\r\nfirst",
        "HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nfirst",
    ] {
        check(fields, Then::Keep, FIRST, false);
    }
    let kept = "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 5\r\n\r\nfirst";
    check(kept, Then::Keep, FIRST, true);
    let closed = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfirst";
    check(closed, Then::Close, FIRST, false);
}

/// RFC 9112 section 6.1: "must treat the message as if the framing is faulty … and close the
/// connection after processing".
#[test]
fn a_connection_with_a_coding_in_http_1_0_is_not_used_again() {
    let fields = "connection: keep-alive\r\ntransfer-encoding: chunked\r\n";
    let answer = format!("HTTP/1.0 200 OK\r\n{fields}\r\n5\r\nfirst\r\n0\r\n\r\n");
    check(answer, Then::Keep, FIRST, false);
}

/// RFC 9112 section 6.3: the length of such an answer is 0, whatever its fields say.
#[test]
fn an_answer_without_content_has_no_body() {
    for status in [204, 304] {
        for fields in [
            "",
            "content-length: 5\r\n",
            "transfer-encoding: chunked\r\n",
        ] {
            let answer = format!("HTTP/1.1 {status} x\r\n{fields}\r\n");
            check(answer, Then::Keep, Gets::Answer(status, ""), true);
        }
    }
}

/// RFC 9110 section 8.6: no `Content-Length` in a 204, and none in a 304 but the 200's.
#[test]
fn an_answer_without_content_has_no_length() {
    for (status, fields, allowed) in [
        (204, "", None),
        (204, "content-length: 5\r\n", None),
        (304, "", None),
        (304, "content-length: 5\r\n", Some("5")),
    ] {
        let answer = format!("HTTP/1.1 {status} x\r\n{fields}\r\n");
        let reply = check(answer, Then::Keep, Gets::Answer(status, ""), true);
        let length = reply.header("content-length");
        assert!(
            length.is_none() || length == allowed,
            "{status} {fields:?}: {reply:?}"
        );
        assert_eq!(reply.header("transfer-encoding"), None);
    }
}

#[test]
fn an_answer_of_zero_bytes_is_complete() {
    for fields in [
        "content-length: 0\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{fields}");
        check(answer, Then::Keep, Gets::Answer(200, ""), true);
    }
}

#[test]
fn any_final_status_passes() {
    for status in [200, 201, 299, 302, 400, 418, 451, 500, 529, 599] {
        let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 5\r\n\r\nfirst");
        check(answer, Then::Keep, Gets::Answer(status, "first"), true);
    }
}

/// An upstream that answers from the head alone, says so, and closes its half.
#[test]
fn an_answer_before_the_request_is_complete_reaches_the_client() {
    for (body, read) in [(1_000_usize, 0), (900_000, 0), (900_000, 100_000)] {
        let upstream = Scripted::start(move |mut stream| {
            if read_head(&mut stream).is_none() {
                return;
            }
            stream.read_exact(&mut vec![0; read]).unwrap();
            let answer = "HTTP/1.1 413 x\r\nconnection: close\r\ncontent-length: 5\r\n\r\nlarge";
            stream.write_all(answer.as_bytes()).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            // Until the proxy has had enough.
            let _ended = std::io::copy(&mut stream, &mut std::io::sink());
        });
        let rig = in_front_of(&upstream);
        let mut client = rig.client();
        client.send(request(
            "POST",
            "/v1/files",
            &[("content-length", &body.to_string())],
            b"",
        ));
        let sent = client.try_send(vec![b'x'; body]);
        let reply = client.reply();
        assert_eq!(
            (reply.status, reply.text().as_str()),
            (413, "large"),
            "{body}: {reply:?}"
        );
        assert!(sent.is_ok(), "{body}: the connection was reset: {sent:?}");
        rig.wait_metric("holysheep_http_requests_in_flight", 0.0);
    }
}

/// The same with a client that waits for the answer before it sends the rest. It cannot use its
/// connection again, and is told so (RFC 9112 section 9.6).
#[test]
fn an_early_answer_says_that_the_connection_ends() {
    let upstream = Scripted::start(|mut stream| {
        if read_head(&mut stream).is_some() {
            let answer = "HTTP/1.1 413 x\r\ncontent-length: 5\r\n\r\nlarge";
            stream.write_all(answer.as_bytes()).unwrap();
            let _ended = std::io::copy(&mut stream, &mut std::io::sink());
        }
    });
    let rig = in_front_of(&upstream);
    let mut client = rig.client();
    client.send(request(
        "POST",
        "/v1/files",
        &[("content-length", "1000")],
        b"hello",
    ));
    let reply = client.reply();
    assert_eq!(
        (reply.status, reply.text().as_str()),
        (413, "large"),
        "{reply:?}"
    );
    client.expect_close();
    assert_eq!(reply.header("connection"), Some("close"), "{reply:?}");
}
