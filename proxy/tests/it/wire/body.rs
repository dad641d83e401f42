//! Request bodies: their limit, interim responses, and clients that stop in the middle.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::harness::client::{chunked, request};
use crate::harness::{CHAT, QUESTION, SOON, eventually};

use super::lab::{FILES, Lab, SERVED, Sent, post, refused};

const CHUNKED: &str = "transfer-encoding: chunked\r\n";

#[test]
fn a_body_may_have_as_many_bytes_as_the_limit() {
    let lab = Lab::with("limits: {body: 1000B}");
    let text = "x".repeat(1001);
    let (fits, over) = (&text[..1000], &text);
    let too_large = refused(413, "request_too_large");
    let length = |body: &str| post(&format!("content-length: {}\r\n", body.len()), body);
    lab.check_served(&length(fits), SERVED, &[("POST /v1/files", fits)]);
    lab.check_refused(&length(over), too_large);
    for pieces in [1, 7, 500, 1000] {
        let cut = |body: &str| {
            let pieces: Vec<_> = body.as_bytes().chunks(pieces).collect();
            [post(CHUNKED, ""), chunked(&pieces)].concat()
        };
        lab.check(&cut(fits), Sent::Whole, SERVED);
        assert_eq!(lab.seen(), [("POST /v1/files".to_owned(), fits.into())]);
        lab.check(&cut(over), Sent::Whole, too_large);
        assert!(lab.seen().is_empty());
    }
    lab.assert_quiet();
}

#[test]
fn a_chunk_larger_than_the_limit_is_refused_when_its_bytes_come() {
    let lab = Lab::with("limits: {body: 1000B}");
    let body = format!("fffffff\r\n{}", "x".repeat(2000));
    lab.check(
        &post(CHUNKED, &body),
        Sent::Whole,
        refused(413, "request_too_large"),
    );
    lab.assert_quiet();
}

/// RFC 9110 section 10.1.1: the expectation of an HTTP/1.0 client is ignored; it knows no interim
/// responses.
#[test]
fn an_http_1_0_client_gets_no_interim_response() {
    let lab = Lab::start();
    let head =
        format!("POST {FILES} HTTP/1.0\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n");
    let mut client = lab.client();
    client.send(head);
    // Only a head that has been read is answered early, so upstream's sight of it is the time to go on.
    lab.wait_stats(|stats| stats.requests == 1);
    client.send("hello");
    let reply = client.reply();
    assert_eq!(
        (reply.status, reply.interim.as_slice()),
        (200, &[][..]),
        "{reply:?}"
    );
}

#[test]
fn a_client_that_stops_in_its_body_completes_nothing() {
    let lab = Lab::start();
    for case in [
        post("content-length: 10\r\n", "hello"),
        post(CHUNKED, "5\r\nhel"),
        post(CHUNKED, "5\r\nhello"),
        post(CHUNKED, "5\r\nhello\r\n"),
        post(CHUNKED, "5\r\nhello\r\n0"),
        post(CHUNKED, "5\r\nhello\r\n0\r\n"),
        post(CHUNKED, "5\r\nhello\r\n0\r\nx: y\r\n"),
    ] {
        for reset in [false, true] {
            let mut client = lab.client();
            client.send(&case);
            lab.wait_stats(|stats| stats.in_flight == 1);
            if reset {
                client.reset();
            } else {
                // Sent by half: what is missing never comes.
                client.half_close();
                let rest = client.rest();
                let rest = String::from_utf8_lossy(&rest);
                assert!(
                    rest.is_empty() || rest.starts_with("HTTP/1.1 400 "),
                    "{rest}"
                );
            }
            lab.wait_stats(|stats| stats.in_flight == 0);
            let stats = lab.emulator.stats();
            assert_eq!((stats.completed, stats.cancelled), (0, 1), "{stats:?}");
            assert!(lab.seen().is_empty());
        }
    }
    lab.assert_quiet();
}

#[test]
fn a_client_that_stops_in_its_head_leaves_no_trace() {
    let lab = Lab::start();
    for start in [
        "",
        "P",
        "POST",
        "POST /v1/files HTTP/1.1\r\nhost: x\r\ncontent-le",
        "\r\n",
    ] {
        let mut client = lab.client();
        client.send(start);
        client.reset();
        let mut client = lab.client();
        client.send(start);
        client.half_close();
        client.expect_close();
    }
    lab.assert_quiet();
    assert!(lab.seen().is_empty());
    // Only the question of `assert_quiet`.
    assert_eq!(lab.wait_log(1)[0]["route"], "/health");
}

#[test]
fn a_client_that_has_sent_everything_may_close_its_half() {
    let lab = Lab::start();
    let length = format!("content-length: {}\r\n", QUESTION.len());
    let chat = format!("POST {CHAT} HTTP/1.1\r\nhost: x\r\n{length}\r\n{QUESTION}");
    for case in [
        chat.into_bytes(),
        post(CHUNKED, "5\r\nhello\r\n0\r\n\r\n"),
        request("GET", "/health", &[], b""),
    ] {
        let mut client = lab.client();
        client.send(case);
        client.half_close();
        let reply = client.reply();
        assert!(reply.status == 200 && reply.complete, "{reply:?}");
        client.expect_close();
    }
    lab.assert_quiet();
}

/// Resident memory of this process.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

/// A client that reads more slowly than upstream sends holds upstream up; the proxy keeps what it
/// says it keeps (`HIGH_WATER`), not the response. Small segments keep the kernel's own buffers as
/// small as they are on a slow network; with those of the loopback every write empties the proxy's.
#[test]
fn a_slow_reader_does_not_fill_the_memory() {
    const SIZE: usize = 96 << 20;
    const AHEAD: usize = 1 << 20;
    let lab = Lab::start();
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_tcp_mss(1000).unwrap();
    socket.set_recv_buffer_size(16 << 10).unwrap();
    socket.connect(&lab.data_addr().into()).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    let mut client = TcpStream::from(socket);
    let before = resident();
    let fault = format!("oversized-body;bytes={SIZE}");
    let fields = [("x-emulator-fault", fault.as_str())];
    client
        .write_all(&request("POST", FILES, &fields, b"hello"))
        .unwrap();
    let mut piece = vec![0; 2 << 10];
    let (mut read, mut most) = (0, 0);
    while read < SIZE {
        if read % (32 << 10) < piece.len() {
            // Always behind upstream, so that it is the client who is waited for.
            let ahead = (read + AHEAD).min(SIZE) as u64;
            eventually(|| lab.emulator.stats().bytes_sent >= ahead);
        }
        let count = client.read(&mut piece).unwrap();
        assert!(count > 0, "only {read} bytes came");
        read += count;
        if read % (4 << 20) < count {
            most = most.max(resident().saturating_sub(before));
        }
    }
    assert!(most < 40 << 20, "{most} bytes more while {read} were read");
}
