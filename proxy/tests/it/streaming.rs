//! Bodies in both directions: timing, size, and readers that do not read.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use holysheep_emulator::body_hash;

use crate::harness::client::{chunked, request};
use crate::harness::upstream::{Scripted, read_head};
use crate::harness::{CHAT, QUESTION, Rig, SOON, soon};

/// Far more than all socket buffers on the way hold.
const TOO_MUCH: usize = 400 << 20;

#[test]
fn each_chunk_reaches_the_client_before_the_next_is_sent() {
    let (seen, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let upstream = Scripted::start(move |mut stream| {
        if read_head(&mut stream).is_none() {
            return;
        }
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        for number in 0..5 {
            wait.lock().unwrap().recv_timeout(SOON).unwrap();
            let chunk = format!("9\r\ndata: {number}\n\n\r\n");
            stream.write_all(chunk.as_bytes()).unwrap();
        }
        wait.lock().unwrap().recv_timeout(SOON).unwrap();
        stream.write_all(b"0\r\n\r\n").unwrap();
    });
    let rig = Rig::with(&upstream.config());
    let mut client = rig.client();
    client.send(request("POST", CHAT, &[], b""));
    // Not even the head waits for the first chunk.
    let mut reply = client.head();
    for number in 0..5 {
        seen.send(()).unwrap();
        let event = format!("data: {number}\n\n");
        let came = client.chunks(&mut reply.raw, event.len());
        assert_eq!(came, event.as_bytes());
    }
    seen.send(()).unwrap();
    assert_eq!(client.chunk(&mut reply.raw), Some(Vec::new()));
}

#[test]
fn each_piece_of_an_upload_reaches_upstream_before_the_next_is_sent() {
    let (got, arrived) = mpsc::channel::<usize>();
    let got = Mutex::new(got);
    let upstream = Scripted::start(move |mut stream| {
        if read_head(&mut stream).is_none() {
            return;
        }
        for _ in 0..3 {
            let mut piece = [0; 5];
            stream.read_exact(&mut piece).unwrap();
            got.lock().unwrap().send(piece.len()).unwrap();
        }
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            .unwrap();
    });
    let rig = Rig::with(&upstream.config());
    let mut client = rig.client();
    client.send(request("POST", CHAT, &[("content-length", "15")], b""));
    for _ in 0..3 {
        client.send("12345");
        assert_eq!(arrived.recv_timeout(SOON), Ok(5));
    }
    assert_eq!(client.reply().status, 200);
}

#[test]
fn a_large_upload_is_whole() {
    let rig = Rig::start();
    let text: String = (0..9 << 20)
        .map(|n| char::from(b'a' + (n % 23) as u8))
        .collect();
    let body =
        format!("{{\"model\":\"m\",\"messages\":[{{\"role\":\"user\",\"content\":\"{text}\"}}]}}");
    let hash = body_hash(body.as_bytes());
    assert_eq!(rig.post(CHAT, &body).status, 200);
    let received = rig.last_request();
    assert_eq!(
        (received.body_length, received.body_hash),
        (body.len() as u64, hash)
    );

    let pieces: Vec<_> = body.as_bytes().chunks(70_001).collect();
    let fields = [("transfer-encoding", "chunked")];
    let reply = rig
        .client()
        .request("POST", CHAT, &fields, &chunked(&pieces));
    assert_eq!(reply.status, 200);
    let received = rig.last_request();
    assert_eq!(
        (received.body_length, received.body_hash),
        (body.len() as u64, hash)
    );
    for line in rig.wait_log(2) {
        assert_eq!(line["bytes_in"], body.len());
    }
}

#[test]
fn uploads_are_whole_wherever_the_socket_to_upstream_fills_up() {
    let rig = Rig::with("upstream: {min_idle: 0, max_idle: 0}");
    let length = AtomicUsize::new(4 << 20);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..12 {
                    // Steps that meet every remainder of a TLS record and of a buffer.
                    let length = length.fetch_add(70_001, Ordering::Relaxed);
                    let text = "x".repeat(length);
                    let body =
                        format!("{{\"model\":\"m\",\"messages\":[{{\"content\":\"{text}\"}}]}}");
                    assert_eq!(rig.post(CHAT, &body).status, 200, "{length}");
                }
            });
        }
    });
}

#[test]
fn a_large_answer_is_whole() {
    const LENGTH: usize = 20 << 20;
    let rig = Rig::start();
    let reply = rig.faulty(&format!("oversized-body;bytes={LENGTH}"));
    assert_eq!((reply.status, reply.complete), (200, true));
    let padding = "x".repeat(LENGTH - 14);
    assert_eq!(reply.body.len(), LENGTH);
    assert!(reply.text() == format!("{{\"padding\":\"{padding}\"}}"));
    let line = rig.wait_log(1).remove(0);
    assert_eq!(line["body_bytes_sent"], LENGTH);
}

#[test]
fn a_stream_of_many_events_is_whole() {
    let rig = Rig::builder()
        .emulator(|emulator| emulator.timestamps(false))
        .start();
    let body = r#"{"model":"m","stream":true,"max_tokens":20000,"messages":[]}"#;
    let reply = rig.post(CHAT, body);
    let text = reply.text();
    assert!(reply.complete && text.ends_with("data: [DONE]\n\n"));
    assert_eq!(text.matches("data: ").count(), 20_003);
}

/// Waits until a number no longer grows, and returns it.
fn settled(mut number: impl FnMut() -> u64) -> u64 {
    let mut last = (number(), Instant::now());
    soon(|| {
        let now = number();
        if now != last.0 {
            last = (now, Instant::now());
        }
        last.1.elapsed() > Duration::from_millis(300)
    });
    last.0
}

#[test]
fn a_client_that_does_not_read_stops_the_reading_from_upstream() {
    let rig = Rig::start();
    let mut client = rig.client();
    let fault = format!("oversized-body;bytes={TOO_MUCH}");
    let fields = [("x-emulator-fault", fault.as_str())];
    client.send(request("POST", CHAT, &fields, QUESTION.as_bytes()));
    let reply = client.head();
    assert_eq!(reply.status, 200);
    let sent = settled(|| rig.emulator.stats().bytes_sent);
    assert!(sent < TOO_MUCH as u64 / 4, "{sent} bytes are somewhere");
    assert_eq!(rig.emulator.stats().in_flight, 1);
    // It still flows when the client reads again.
    let mut piece = vec![0; 32 << 20];
    let mut tcp = client.tcp();
    tcp.read_exact(&mut piece).unwrap();
    rig.wait_stats(|stats| stats.bytes_sent > sent);
    client.reset();
    rig.wait_stats(|stats| stats.cancelled == 1);
}

#[test]
fn an_upstream_that_does_not_read_stops_the_reading_from_the_client() {
    let upstream = Scripted::deaf();
    let rig = Rig::with(&format!("{}limits: {{body: 1GB}}", upstream.config()));
    let mut client = rig.client();
    let length = TOO_MUCH.to_string();
    client.send(request("POST", CHAT, &[("content-length", &length)], b""));
    let sent = client.fill(TOO_MUCH);
    assert!(sent < TOO_MUCH / 4, "{sent} bytes are somewhere");
}

#[test]
fn an_answer_that_comes_before_the_upload_is_complete_reaches_the_client() {
    let rig = Rig::start();
    let fields = [
        ("x-emulator-fault", "early-response;code=413"),
        ("content-length", "5000000"),
    ];
    let mut client = rig.client();
    client.send(request("POST", CHAT, &fields, &[b' '; 1000]));
    let reply = client.reply();
    assert_eq!(
        (reply.status, reply.error(), reply.complete),
        (413, None, true)
    );
    client.expect_close();
    let line = rig.wait_log(1).remove(0);
    assert_eq!(
        (&line["status"], &line["end"]),
        (&413.into(), &"complete".into())
    );
    assert_eq!(rig.post(CHAT, QUESTION).status, 200);
}

#[test]
fn an_answer_and_an_upload_can_overlap() {
    let upstream = Scripted::start(|mut stream| {
        if read_head(&mut stream).is_none() {
            return;
        }
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            .unwrap();
        for _ in 0..3 {
            let mut piece = [0; 4];
            stream.read_exact(&mut piece).unwrap();
            stream.write_all(b"4\r\n").unwrap();
            stream.write_all(&piece).unwrap();
            stream.write_all(b"\r\n").unwrap();
        }
        stream.write_all(b"0\r\n\r\n").unwrap();
    });
    let rig = Rig::with(&upstream.config());
    let mut client = rig.client();
    client.send(request("POST", CHAT, &[("content-length", "12")], b""));
    let mut reply = client.head();
    for piece in ["one.", "two.", "six."] {
        client.send(piece);
        assert_eq!(client.chunks(&mut reply.raw, 4), piece.as_bytes());
    }
    assert_eq!(client.chunk(&mut reply.raw), Some(Vec::new()));
    assert_eq!(rig.wait_log(1)[0]["bytes_in"], 12);
}
