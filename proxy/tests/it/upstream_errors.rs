//! The proxy's own errors when upstream fails: before the response has begun, and within it.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use holysheep_emulator::{FaultScope, Profile};

use crate::errors::{assert_dialect, assert_error};
use crate::harness::client::{Reply, request};
use crate::harness::upstream::{Scripted, read_head};
use crate::harness::{CHAT, MESSAGES, QUESTION, Rig, STREAMED, eventually};

/// No connection is opened but for a request, so that faults of connections hit one.
const COLD: &str = "upstream: {min_idle: 0}\nretries: {attempts: 1}\n";

/// Asks in both dialects and asserts the error, its metrics and its log lines.
#[track_caller]
fn assert_both(rig: &Rig, status: u16, code: &str) {
    for path in [CHAT, MESSAGES] {
        let reply = rig.post(path, QUESTION);
        assert_error(&reply, path, status, code);
        // When upstream will be back is not for the proxy to say.
        assert_eq!(reply.header("retry-after"), None);
    }
    assert_counted(rig, code, 2);
    for line in rig.wait_log(2) {
        assert_eq!(line["status"], status);
        assert_eq!(
            (&line["error"], &line["end"]),
            (&code.into(), &"error".into())
        );
        assert_eq!(line["upstream"], "holysheep");
    }
}

#[track_caller]
fn assert_counted(rig: &Rig, code: &str, count: u32) {
    rig.wait_rejected(code, count);
    let sample =
        format!("holysheep_upstream_requests_total{{upstream=\"holysheep\",outcome=\"{code}\"}}");
    rig.wait_metric(&sample, f64::from(count));
}

fn ask(rig: &Rig, path: &str, fault: &str, body: &str) -> Reply {
    let fields = [("x-emulator-fault", fault)];
    rig.client().request("POST", path, &fields, body.as_bytes())
}

#[test]
fn a_closed_port_is_502_connect_failed() {
    let rig = Rig::with(COLD);
    rig.emulator.stop_accepting();
    assert_both(&rig, 502, "upstream_connect_failed");
    let message = rig.post(CHAT, QUESTION).json()["error"]["message"].to_string();
    // `localhost` may have one address or two.
    assert!(message.contains("refused (os error 111); "), "{message}");
    assert!(message.contains(" tried"), "{message}");
    let failed = "holysheep_upstream_connects_total{upstream=\"holysheep\",result=\"failed\"}";
    // The proxy tries by itself as well.
    eventually(|| rig.metric(failed) >= 3.0);
    rig.emulator.resume_accepting().unwrap();
    assert_eq!(rig.post(CHAT, QUESTION).status, 200);
}

#[test]
fn a_connection_reset_in_the_handshake_is_502_connect_failed() {
    let rig = Rig::with(COLD);
    rig.fault("reset-on-accept", FaultScope::Always);
    assert_both(&rig, 502, "upstream_connect_failed");
}

#[test]
fn a_port_without_tls_is_502_connect_failed() {
    let upstream = Scripted::start(|mut stream| {
        let mut hello = [0; 4096];
        let _count = stream.read(&mut hello).unwrap();
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .unwrap();
        // The other side is to end it.
        let _ended = stream.read(&mut hello);
    });
    let config = upstream.config().replace("http://", "https://");
    let rig = Rig::with(&format!("{config}retries: {{attempts: 1}}"));
    assert_both(&rig, 502, "upstream_connect_failed");
}

#[test]
fn a_name_without_address_is_502_dns_failed() {
    let rig = Rig::with("upstream: {base_url: 'https://does-not-exist.invalid/v1'}");
    assert_both(&rig, 502, "upstream_dns_failed");
}

#[test]
fn an_expired_certificate_is_502() {
    let rig = Rig::with(COLD);
    rig.fault("expired-certificate", FaultScope::Always);
    assert_both(&rig, 502, "upstream_certificate_expired");
    // The handshake was broken off, so no request was seen.
    assert_eq!(rig.emulator.stats().requests, 0);
}

#[test]
fn a_certificate_for_another_name_is_502() {
    let rig = Rig::with(COLD);
    rig.fault("wrong-name-certificate", FaultScope::Always);
    assert_both(&rig, 502, "upstream_certificate_invalid");
    assert_eq!(rig.emulator.stats().requests, 0);
}

#[test]
fn a_certificate_of_an_unknown_authority_is_502() {
    let rig = Rig::builder()
        .config(COLD)
        .edit(|file, _, _| file.upstream.ca_file = None)
        .start();
    assert_both(&rig, 502, "upstream_certificate_invalid");
}

#[test]
fn a_handshake_that_stalls_is_504_connect_timeout() {
    let rig = Rig::with("upstream: {min_idle: 0}\ntimeouts: {connect: 300ms}");
    rig.fault("stall-handshake", FaultScope::Always);
    assert_both(&rig, 504, "upstream_connect_timeout");
    let line = rig.log_lines().remove(0);
    assert!(line["rt"].as_f64().unwrap() >= 0.2, "{line}");
}

#[test]
fn a_port_that_does_not_answer_is_504_connect_timeout() {
    // The kernel drops what does not fit into a full accept queue.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    socket.bind(&any.into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let _queued = TcpStream::connect(address).unwrap();
    let rig = Rig::with(&format!(
        "upstream: {{base_url: 'https://{address}/v1', min_idle: 0}}\ntimeouts: {{connect: 300ms}}"
    ));
    assert_both(&rig, 504, "upstream_connect_timeout");
}

#[test]
fn an_upload_that_upstream_does_not_take_is_504_idle_timeout() {
    let upstream = Scripted::deaf();
    let yaml = "limits: {body: 1GB}\ntimeouts: {client_body: 500ms}";
    let rig = Rig::with(&format!("{}{yaml}", upstream.config()));
    let mut client = rig.client();
    let fields = [("content-length", "400000000")];
    client.send(request("POST", CHAT, &fields, b""));
    client.fill(400_000_000);
    assert_error(&client.reply(), CHAT, 504, "upstream_idle_timeout");
    assert_counted(&rig, "upstream_idle_timeout", 1);
}

#[test]
fn a_connection_closed_instead_of_an_answer_is_502_closed() {
    let rig = Rig::start();
    rig.fault("reset", FaultScope::Always);
    assert_both(&rig, 502, "upstream_closed");
    // What may have been billed is not sent again.
    assert_eq!(rig.emulator.stats().requests, 2);
}

#[test]
fn an_answer_that_is_not_http_is_502_invalid_response() {
    let mut count = 0;
    let rig = Rig::start();
    for fault in [
        "malformed;kind=status-line",
        "malformed;kind=length-and-chunked",
        "oversized-headers",
    ] {
        for path in [CHAT, MESSAGES] {
            let reply = ask(&rig, path, fault, QUESTION);
            assert_error(&reply, path, 502, "upstream_invalid_response");
            count += 1;
            assert_counted(&rig, "upstream_invalid_response", count);
        }
    }
    for answer in [
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nab",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        "HTTP/1.1 200 OK\r\n : folded\r\n\r\n",
    ] {
        let upstream = Scripted::answering(answer);
        let rig = Rig::with(&upstream.config());
        let reply = rig.post(CHAT, "");
        assert_error(&reply, CHAT, 502, "upstream_invalid_response");
    }
}

#[test]
fn no_answer_in_time_is_504_first_byte_timeout() {
    let rig = Rig::with("timeouts: {first_byte: 300ms}");
    rig.fault("stall-before-headers", FaultScope::Always);
    assert_both(&rig, 504, "upstream_first_byte_timeout");
    rig.wait_stats(|stats| stats.cancelled == 2);
}

#[test]
fn a_slow_answer_within_the_limit_is_no_error() {
    let slow = Profile::Fixed(std::time::Duration::from_millis(150));
    let rig = Rig::builder()
        .config("timeouts: {first_byte: 5s, idle: 50ms, client_body: 50ms}")
        .emulator(move |emulator| emulator.profile(slow))
        .start();
    assert_eq!(rig.post(CHAT, QUESTION).status, 200);
}

/// Asserts a stream that ends with an event about an error instead of `[DONE]`.
#[track_caller]
fn assert_error_event(reply: &Reply, path: &str, code: &str) {
    assert_eq!((reply.status, reply.complete), (200, true), "{reply:?}");
    let text = reply.text();
    assert!(
        !text.contains("[DONE]") && !text.contains("message_stop"),
        "{text}"
    );
    assert!(text.ends_with("\n\n"), "{text}");
    let last = text.trim_end().rsplit("\n\n").next().unwrap().trim_start();
    let data = if path == MESSAGES {
        last.strip_prefix("event: error\n").unwrap()
    } else {
        last
    };
    let json = data.strip_prefix("data: ").unwrap();
    assert_dialect(&serde_json::from_str(json).unwrap(), path, code);
}

#[test]
fn a_stream_that_stalls_ends_with_an_error_event() {
    let rig = Rig::with("timeouts: {idle: 300ms}");
    for path in [CHAT, MESSAGES] {
        let reply = ask(&rig, path, "stall-after-headers", STREAMED);
        assert_error_event(&reply, path, "upstream_idle_timeout");
    }
    assert_counted(&rig, "upstream_idle_timeout", 2);
    rig.wait_stats(|stats| stats.cancelled == 2);
    for line in rig.wait_log(2) {
        assert_eq!(line["status"], 200);
        assert_eq!(line["error"], "upstream_idle_timeout");
        assert_eq!(line["end"], "error");
    }
}

#[test]
fn a_stream_that_is_cut_keeps_what_came_and_ends_with_an_error_event() {
    let rig = Rig::builder()
        .emulator(|emulator| emulator.timestamps(false))
        .start();
    for path in [CHAT, MESSAGES] {
        for fault in ["cut;after=700", "reset;after=700"] {
            let whole = rig.post(path, STREAMED).text();
            let reply = ask(&rig, path, fault, STREAMED);
            assert_error_event(&reply, path, "upstream_closed");
            let came = reply.text();
            // A reset may overtake what was sent before it.
            let same = whole.bytes().zip(came.bytes()).take_while(|(a, b)| a == b);
            let same = same.count();
            assert!(fault.starts_with("reset") || same >= 700, "{same}: {came}");
        }
    }
    assert_counted(&rig, "upstream_closed", 4);
}

#[test]
fn a_stream_whose_chunks_are_malformed_ends_with_an_error_event() {
    let upstream = Scripted::answering(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n\
         b\r\ndata: {}\n\n\n\r\nxyz\r\n",
    );
    let rig = Rig::with(&upstream.config());
    for path in [CHAT, MESSAGES] {
        let reply = rig.post(path, "");
        assert_error_event(&reply, path, "upstream_invalid_response");
        assert!(reply.text().starts_with("data: {}\n\n"));
    }
    // It is the endpoint's fault.
    let status = rig.admin("/status").json();
    let endpoints = status["upstream"]["endpoints"].as_array().unwrap();
    let failures = endpoints
        .iter()
        .map(|one| one["failures"].as_u64().unwrap());
    assert_eq!(failures.sum::<u64>(), 2);
}

#[test]
fn a_compressed_stream_that_is_cut_gets_no_event() {
    for (field, gets_event) in [
        ("content-encoding: gzip\r\n", false),
        (
            "content-encoding: identity\r\ncontent-encoding: br\r\n",
            false,
        ),
        ("content-encoding: Identity\r\n", true),
        ("", true),
    ] {
        let upstream = Scripted::start(move |mut stream| {
            if read_head(&mut stream).is_some() {
                let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n";
                let rest = "transfer-encoding: chunked\r\n\r\n4\r\nsome\r\n";
                let answer = format!("{head}{field}{rest}");
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        let rig = Rig::with(&upstream.config());
        let reply = rig.post(CHAT, "");
        assert_eq!(reply.complete, gets_event, "{field}: {reply:?}");
        if gets_event {
            assert_error_event(&reply, CHAT, "upstream_closed");
        } else {
            assert_eq!(reply.text(), "some");
        }
        let line = rig.wait_log(1).remove(0);
        assert_eq!(line["error"], "upstream_closed");
        assert_eq!(line["bytes_out"], reply.body.len());
    }
}

#[test]
fn a_body_that_stalls_or_is_cut_stays_incomplete() {
    let rig = Rig::with("timeouts: {idle: 300ms}");
    for (fault, code) in [
        ("stall-after-headers", "upstream_idle_timeout"),
        ("cut;after=10", "upstream_closed"),
        ("reset;after=10", "upstream_closed"),
        ("malformed;kind=chunk-size", "upstream_invalid_response"),
    ] {
        let before = rig.log_lines().len();
        let mut client = rig.client();
        let fields = [("x-emulator-fault", fault)];
        let reply = client.request("POST", CHAT, &fields, QUESTION.as_bytes());
        assert_eq!(
            (reply.status, reply.complete),
            (200, false),
            "{fault}: {reply:?}"
        );
        assert!(!reply.text().contains("error"), "{reply:?}");
        client.expect_close();
        rig.wait_rejected(code, if fault.starts_with("reset") { 2 } else { 1 });
        let line = rig.wait_log(before + 1).pop().unwrap();
        assert_eq!(
            (&line["error"], &line["end"]),
            (&code.into(), &"error".into())
        );
    }
}

#[test]
fn a_stream_that_drips_is_no_error() {
    let rig = Rig::with("timeouts: {idle: 300ms}");
    let reply = ask(&rig, "/v1/audio/speech", "drip;ms=50", "{\"model\":\"m\"}");
    assert_eq!((reply.status, reply.complete), (200, true));
    assert_eq!(reply.body.len(), 16);
}

/// A body without a length looks whole after a FIN, so that only a reset says that it is not.
#[test]
fn a_response_to_http_1_0_that_breaks_off_ends_with_a_reset() {
    let whole = "5\r\nfirst\r\n0\r\n\r\n";
    for (body, end) in [
        (whole, Ok(())),
        (&whole[..10], Err(ErrorKind::ConnectionReset)),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{body}");
        let upstream = Scripted::start(move |mut stream| {
            read_head(&mut stream);
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let rig = Rig::with(&upstream.config());
        let mut client = rig.connect();
        let request = format!("POST {CHAT} HTTP/1.0\r\ncontent-length: 0\r\n\r\n");
        client.write_all(request.as_bytes()).unwrap();
        let mut read = Vec::new();
        let ended = client.read_to_end(&mut read);
        assert_eq!(ended.map(drop).map_err(|error| error.kind()), end);
        assert!(read.ends_with(b"\r\n\r\nfirst"), "{body:?}");
    }
}
