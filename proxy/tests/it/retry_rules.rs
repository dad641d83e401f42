//! What is sent again, when, and how often.

use std::io::Write;
use std::sync::Mutex;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use holysheep_emulator::FaultScope;

use crate::errors::assert_error;
use crate::harness::client::request;
use crate::harness::upstream::{Scripted, read_head};
use crate::harness::{CHAT, QUESTION, Reply, Rig, STREAMED, eventually};

const JSON: (&str, &str) = ("content-type", "application/json");

fn retries(rig: &Rig, reason: &str) -> f64 {
    let labels = format!("upstream=\"holysheep\",reason=\"{reason}\"");
    rig.metric(&format!("holysheep_upstream_retries_total{{{labels}}}"))
}

/// A rig whose upstream answers the next request with a fault.
fn failing_once(config: &str, fault: &str) -> Rig {
    let rig = Rig::with(config);
    rig.fault(fault, FaultScope::Next(1));
    rig
}

/// Asks once; how long that took.
fn timed(rig: &Rig) -> (Reply, Duration) {
    let begun = Instant::now();
    let reply = rig.post(CHAT, QUESTION);
    (reply, begun.elapsed())
}

#[test]
fn upstream_says_when_to_try_again() {
    for (fault, millis) in [
        ("429;retry-after-ms=400", 400),
        ("503;retry-after=1", 1000),
        ("503;retry-after=60;retry-after-ms=300", 300),
        ("502;retry-after-ms=300;should-retry=true", 300),
    ] {
        let rig = failing_once("", fault);
        let (reply, took) = timed(&rig);
        assert_eq!(reply.status, 200, "{fault}: {reply:?}");
        assert_eq!(reply.header("x-holysheep-attempts"), Some("2"));
        assert!(took >= Duration::from_millis(millis), "{fault}: {took:?}");
        assert_eq!((rig.requests(), rig.billed()), (vec![2], vec![1]));
    }
}

#[test]
fn what_upstream_says_is_passed_on_if_it_takes_too_long() {
    for (config, fault, field, value) in [
        ("", "429;retry-after=2", "retry-after", "2"),
        ("", "503;retry-after-ms=1001", "retry-after-ms", "1001"),
        (
            "retries: {max_wait: 100ms}",
            "503;retry-after=1",
            "retry-after",
            "1",
        ),
        (
            "timeouts: {total: 500ms}",
            "503;retry-after-ms=900",
            "retry-after-ms",
            "900",
        ),
    ] {
        let rig = failing_once(config, fault);
        let reply = rig.post(CHAT, QUESTION);
        assert!([429, 503].contains(&reply.status), "{fault}: {reply:?}");
        assert_eq!((reply.error(), reply.header(field)), (None, Some(value)));
        assert_eq!(reply.header("x-holysheep-attempts"), None);
        assert_eq!(rig.requests(), [1]);
        assert!(retries(&rig, "status_503") + retries(&rig, "status_429") < 0.5);
    }
}

/// A pause may be longer than it may take to connect.
#[test]
fn a_long_pause_is_no_connect_timeout() {
    let config = "{retries: {max_wait: 10s}, timeouts: {connect: 200ms}}";
    let rig = failing_once(config, "503;retry-after-ms=5500");
    let (reply, took) = timed(&rig);
    assert_eq!(reply.status, 200, "{reply:?}");
    assert!(took >= Duration::from_millis(5500), "{took:?}");
}

#[test]
fn upstream_says_not_to_try_again() {
    for fault in [
        "503;should-retry=false",
        "429;retry-after=1;should-retry=false",
    ] {
        let rig = failing_once("", fault);
        let reply = rig.post(CHAT, QUESTION);
        assert_eq!(reply.header("x-should-retry"), Some("false"), "{reply:?}");
        assert_eq!(rig.requests(), [1]);
    }
}

#[test]
fn one_attempt_is_one_attempt() {
    for fault in [
        "429",
        "502",
        "503;retry-after-ms=1;should-retry=true",
        "504",
        "401",
    ] {
        let rig = Rig::builder().config("retries: {attempts: 1}");
        let rig = rig.another(|builder| builder).start();
        rig.fault(fault, FaultScope::Always);
        let reply = rig.post(CHAT, QUESTION);
        assert!(reply.status >= 400, "{reply:?}");
        assert_eq!(reply.header("x-holysheep-attempts"), None);
        assert_eq!(rig.requests(), [1, 0], "{fault}");
    }
    let rig = Rig::with("upstream: {min_idle: 0}\nretries: {attempts: 1}");
    rig.fault("reset-on-accept", FaultScope::Next(1));
    assert_error(
        &rig.post(CHAT, QUESTION),
        CHAT,
        502,
        "upstream_connect_failed",
    );
    let line = rig.wait_log(1).remove(0);
    assert_eq!(line["attempts"], 1);
    assert!(line["retries"].is_null(), "{line}");
    assert!(retries(&rig, "no_connection") < 0.5);
}

#[test]
fn the_access_log_says_why() {
    let rig = Rig::start();
    for fault in ["503", "429"] {
        rig.fault(fault, FaultScope::Next(1));
    }
    let reply = rig.post(CHAT, QUESTION);
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("x-holysheep-attempts"), Some("3"));
    let line = rig.wait_log(1).remove(0);
    assert_eq!(line["attempts"], 3);
    assert_eq!(
        line["retries"],
        serde_json::json!(["status_503", "status_429"])
    );
    assert_eq!(
        (line["status"].as_u64(), &line["error"]),
        (Some(200), &().into())
    );
}

#[test]
fn no_more_than_a_share_is_sent_again() {
    const REQUESTS: u32 = 60;
    for (percent, reserve) in [(0, 0.0), (10, 10.0)] {
        let config = format!(
            "{{breaker: {{failures: 1000}}, retries: {{attempts: 2, backoff: 1ms, budget_percent: {percent}}}}}"
        );
        let rig = Rig::with(&config);
        rig.fault("503", FaultScope::Always);
        let begun = Instant::now();
        for _ in 0..REQUESTS {
            assert_eq!(rig.post(CHAT, QUESTION).status, 503);
        }
        rig.wait_idle();
        let again = retries(&rig, "status_503");
        let share = reserve + f64::from(REQUESTS * percent) / 100.0;
        // Those with few requests have one a second.
        let most = match percent {
            0 => 0.0,
            _ => share + begun.elapsed().as_secs_f64() + 1.0,
        };
        assert!(again >= reserve && again <= most, "{again} of {most}");
        assert_eq!(rig.requests(), [u64::from(REQUESTS) + again as u64]);
        let denied = "holysheep_upstream_retries_denied_total{upstream=\"holysheep\"}";
        if percent > 0 {
            rig.wait_metric(denied, f64::from(REQUESTS) - again);
        }
    }
}

#[test]
fn a_body_that_is_not_kept_is_not_sent_again() {
    for protocol in ["http1", "http2"] {
        let config = format!("upstream: {{protocol: {protocol}}}\nretries: {{body: 8KiB}}");
        for (length, sent) in [(1_000, 2), (300_000, 1)] {
            let rig = failing_once(&config, "503");
            let body = QUESTION.replace("hello", &"x".repeat(length));
            let reply = rig.post(CHAT, &body);
            let expected = if sent == 2 { 200 } else { 503 };
            assert_eq!(reply.status, expected, "{protocol}, {length}: {reply:?}");
            assert_eq!(rig.requests(), [sent]);
            assert_eq!(
                rig.last_request().body,
                body.as_bytes()[..body.len().min(64 << 10)]
            );
        }
    }
}

#[test]
fn what_has_begun_is_never_sent_again() {
    for (fault, body) in [
        ("cut;after=0", QUESTION),
        ("reset;after=0", QUESTION),
        ("cut;after=0", STREAMED),
        ("reset;after=300", STREAMED),
        ("malformed;kind=chunk-size", QUESTION),
    ] {
        let rig = Rig::builder().another(|builder| builder).start();
        rig.fault(fault, FaultScope::Always);
        let reply = rig.client().request("POST", CHAT, &[JSON], body.as_bytes());
        assert_eq!(reply.status, 200, "{fault}: {reply:?}");
        rig.wait_idle();
        assert_eq!((rig.requests(), rig.billed()), (vec![1, 0], vec![1, 0]));
        assert_eq!(rig.wait_log(1)[0]["attempts"], 1);
    }
}

/// The client has seen signs of life, and nothing of an answer.
#[test]
fn a_stream_that_has_begun_with_signs_of_life_is_sent_again() {
    const STREAM: &str = "data: {}\n\ndata: [DONE]\n\n";
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let upstream = Scripted::start(move |mut stream| {
        while read_head(&mut stream).is_some() {
            let body = STREAMED.len();
            std::io::copy(
                &mut std::io::Read::take(&stream, body as u64),
                &mut std::io::sink(),
            )
            .unwrap();
            let answer = match wait.lock().unwrap().recv() {
                Ok(()) => "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n".to_owned(),
                Err(_) => format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n\
                     {:x}\r\n{STREAM}\r\n0\r\n\r\n",
                    STREAM.len()
                ),
            };
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let config = format!(
        "{}responses: {{keep_alive: 100ms}}\nusage: {{add_to_streams: false}}",
        upstream.config()
    );
    let rig = Rig::with(&config);
    let mut client = rig.client();
    client.send(request("POST", CHAT, &[JSON], STREAMED.as_bytes()));
    let mut reply = client.head();
    assert_eq!(reply.status, 200);
    let sign = client.chunk(&mut reply.raw).unwrap();
    assert!(
        sign.starts_with(b":"),
        "{:?}",
        String::from_utf8_lossy(&sign)
    );
    go.send(()).unwrap();
    eventually(|| retries(&rig, "status_503") > 0.5);
    drop(go);
    client.body(&mut reply);
    assert!(
        reply.complete && reply.text().ends_with(STREAM),
        "{reply:?}"
    );
    let line = rig.wait_log(1).remove(0);
    assert_eq!(
        (&line["attempts"], &line["status"]),
        (&2.into(), &200.into())
    );
}

#[test]
fn a_client_that_leaves_during_the_pause_is_not_waited_for() {
    let rig = failing_once("", "503;retry-after-ms=900");
    let mut client = rig.client();
    client.send(request("POST", CHAT, &[], QUESTION.as_bytes()));
    eventually(|| retries(&rig, "status_503") > 0.5);
    drop(client);
    let line = rig.wait_log(1).remove(0);
    assert_eq!(line["end"], "cancelled", "{line}");
    assert_eq!(
        (&line["attempts"], &line["error"]),
        (&1.into(), &"client_closed".into())
    );
    assert_eq!((rig.requests(), rig.billed()), (vec![1], vec![0]));
}

#[test]
fn the_pause_before_another_attempt_is_short_and_grows() {
    let rig = Rig::with("retries: {backoff: 200ms, attempts: 3}");
    rig.fault("503", FaultScope::Next(2));
    let (reply, took) = timed(&rig);
    assert_eq!(reply.status, 200);
    // Half of 200 ms and of 400 ms at least, as chance has it.
    assert!(took >= Duration::from_millis(300), "{took:?}");
}
