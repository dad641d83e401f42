//! Where one message ends and the next begins, on both sides of the proxy.

use std::io::Write;

use crate::harness::client::{chunked, request};
use crate::harness::upstream::{Scripted, read_head};
use crate::harness::{CHAT, QUESTION, Rig};

const SMUGGLED: &[u8] = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n";

#[test]
fn connection_close_is_honoured() {
    let rig = Rig::start();
    let mut client = rig.client();
    let fields = [("connection", "close")];
    let reply = client.request("POST", CHAT, &fields, QUESTION.as_bytes());
    assert_eq!(
        (reply.status, reply.header("connection")),
        (200, Some("close"))
    );
    client.expect_close();
}

#[test]
fn http_1_0_connections_stay_open_when_asked_to() {
    let rig = Rig::start();
    let mut client = rig.client();
    for _ in 0..2 {
        client.send("GET /health HTTP/1.0\r\nconnection: keep-alive\r\n\r\n");
        let reply = client.reply();
        assert_eq!(
            (reply.status, reply.header("connection")),
            (200, Some("keep-alive"))
        );
    }
    client.send("GET /health HTTP/1.0\r\n\r\n");
    assert_eq!(client.reply().status, 200);
    client.expect_close();
}

#[test]
fn an_empty_line_before_a_request_is_ignored() {
    let rig = Rig::start();
    let mut client = rig.client();
    for _ in 0..2 {
        client.send("\r\nGET /health HTTP/1.1\r\nhost: x\r\n\r\n");
        assert_eq!(client.reply().status, 200);
    }
}

#[test]
fn the_body_of_a_refused_request_is_never_a_request() {
    let rig = Rig::with("limits: {body: 1000}");
    let chunks = chunked(&[SMUGGLED]);
    let framed = [("transfer-encoding", "chunked")];
    for (method, path, fields, body) in [
        ("POST", "/nope", &[][..], SMUGGLED),
        ("GET", CHAT, &[][..], SMUGGLED),
        ("POST", "/nope", &framed[..], chunks.as_slice()),
        ("GET", "/health", &[][..], SMUGGLED),
        ("GET", "/v1/models", &[][..], SMUGGLED),
        ("POST", CHAT, &[("content-length", "1001")][..], SMUGGLED),
    ] {
        let before = rig.log_lines().len();
        let mut client = rig.client();
        client.send(request(method, path, fields, body));
        client.half_close();
        client.reply();
        let rest = client.rest();
        assert!(
            rest.is_empty(),
            "{method} {path}: {:?}",
            String::from_utf8_lossy(&rest)
        );
        rig.wait_log(before + 1);
    }
}

/// What has come of a refused body is read past; what has not would have to be waited for.
#[test]
fn a_refusal_of_what_has_come_whole_keeps_the_connection() {
    let rig = Rig::with("limits: {body: 100KB}");
    let chunks = chunked(&[SMUGGLED, SMUGGLED]);
    let framed = [("transfer-encoding", "chunked")];
    let large = vec![b'x'; 30_000];
    let mut client = rig.client();
    for (method, path, fields, body, status) in [
        ("POST", "/nope", &[][..], SMUGGLED, 404),
        ("DELETE", CHAT, &[], SMUGGLED, 405),
        ("POST", "/nope", &framed, &chunks, 404),
        ("GET", "/health", &[], SMUGGLED, 200),
        ("POST", "/nope", &[], &large, 404),
    ] {
        let reply = client.request(method, path, fields, body);
        let context = format!("{method} {path} of {}: {reply:?}", body.len());
        assert_eq!(reply.status, status, "{context}");
        assert_eq!(reply.header("connection"), None, "{context}");
    }
    for fields in [[("content-length", "10")], framed] {
        let mut client = rig.client();
        client.send(request("POST", "/nope", &fields, b""));
        let reply = client.reply();
        assert_eq!(
            (reply.status, reply.header("connection")),
            (404, Some("close"))
        );
        client.expect_close();
    }
}

#[test]
fn the_body_of_a_forwarded_request_is_never_a_request() {
    let rig = Rig::start();
    let mut client = rig.client();
    client.send(request("POST", CHAT, &[], SMUGGLED));
    client.send(request(
        "POST",
        CHAT,
        &[("transfer-encoding", "chunked")],
        &chunked(&[SMUGGLED]),
    ));
    // The emulator's word on what is no JSON.
    assert_eq!((client.reply().status, client.reply().status), (400, 400));
    assert_eq!(rig.emulator.stats().requests, 2);
    assert_eq!(&rig.last_request().body[..], SMUGGLED);
}

#[test]
fn what_upstream_sends_beyond_its_answer_is_nobodys_answer() {
    let poison = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\npoisoned";
    for answer in [
        format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok{poison}"),
        format!(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n{poison}"
        ),
        format!("HTTP/1.1 204 No Content\r\n\r\n{poison}"),
        format!("HTTP/1.1 304 Not Modified\r\ncontent-length: 4\r\n\r\n{poison}"),
    ] {
        let upstream = Scripted::answering(answer.as_str());
        let rig = Rig::with(&upstream.config());
        let mut client = rig.client();
        for _ in 0..5 {
            let reply = client.request("POST", CHAT, &[], b"");
            assert!(!reply.text().contains("poisoned"), "{answer:?}: {reply:?}");
            assert!(reply.status < 400);
        }
    }
}

#[test]
fn a_connection_upstream_announces_to_close_is_not_used_again() {
    for close in [
        "HTTP/1.1 200 OK\r\nconnection: close",
        "HTTP/1.0 200 OK\r\nx: y",
    ] {
        let upstream = Scripted::answering(format!("{close}\r\ncontent-length: 0\r\n\r\n"));
        let rig = Rig::with(&upstream.config());
        for _ in 0..3 {
            assert_eq!(rig.post(CHAT, "").status, 200);
        }
        let made = "holysheep_upstream_connects_total{upstream=\"holysheep\",result=\"ok\"}";
        rig.wait_metric(made, 3.0);
    }
}

const HINTED: &str = "HTTP/1.1 100 Continue\r\n\r\n\
    HTTP/1.1 103 Early Hints\r\nlink: x\r\nkeep-alive: y\r\nconnection: z\r\nz: z\r\n\r\n\
    HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[test]
fn interim_responses_of_upstream_come_before_the_answer() {
    let upstream = Scripted::answering(HINTED);
    let rig = Rig::with(&upstream.config());
    let mut client = rig.client();
    for _ in 0..3 {
        let reply = client.request("POST", CHAT, &[], b"");
        assert_eq!((reply.status, reply.text().as_str()), (200, "ok"));
        // Its 100 is for the proxy; 102 and 103 are for the client, without what is hop by hop.
        assert_eq!(reply.interim, [103, 102]);
        let wire = String::from_utf8_lossy(&reply.raw).into_owned();
        let hints = "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n";
        assert!(
            wire.starts_with(&format!("{hints}HTTP/1.1 200 OK\r\n")),
            "{wire}"
        );
    }
}

/// They come when upstream sends them, not with the answer.
#[test]
fn an_interim_response_does_not_wait_for_the_answer() {
    let (go, wait) = std::sync::mpsc::channel();
    let wait = std::sync::Mutex::new(wait);
    let upstream = Scripted::start(move |mut stream| {
        if read_head(&mut stream).is_some() {
            let (hints, answer) = HINTED.split_once("HTTP/1.1 102").unwrap();
            stream.write_all(hints.as_bytes()).unwrap();
            // Ends when the client has them, or with the test.
            let _ = wait.lock().unwrap().recv();
            let _ended = stream.write_all(format!("HTTP/1.1 102{answer}").as_bytes());
        }
    });
    let rig = Rig::with(&upstream.config());
    let mut client = rig.client();
    client.send(request("POST", CHAT, &[], b""));
    client.wait(|input| input.ends_with(b"\r\nlink: x\r\n\r\n").then_some(0));
    go.send(()).unwrap();
    assert_eq!(client.reply().interim, [103, 102]);
}

#[test]
fn interim_responses_of_upstream_are_not_for_http_1_0() {
    let upstream = Scripted::answering(HINTED);
    let rig = Rig::with(&upstream.config());
    let mut client = rig.client();
    client.send(format!("POST {CHAT} HTTP/1.0\r\ncontent-length: 0\r\n\r\n"));
    let reply = client.reply();
    assert_eq!((reply.status, reply.text().as_str()), (200, "ok"));
    assert!(reply.interim.is_empty(), "{reply:?}");
}
