//! h2 requests that upstream says it has not looked at go out again; all others do not
//! (RFC 9113 section 8.7).

use std::io;
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;

use crate::errors::assert_error;
use crate::harness::frames::{Frames, HEADERS, INTERNAL_ERROR, REFUSED_STREAM};
use crate::harness::metrics::IDLE;
use crate::harness::upstream::Scripted;
use crate::harness::{CHAT, QUESTION, Rig};

const RETRIES: &str = "holysheep_upstream_retries_total{upstream=\"holysheep\",reason=\"unread\"}";
const ACTIVE: &str = "holysheep_upstream_connections{upstream=\"holysheep\",state=\"active\"}";

/// An upstream that runs the script on each connection, with the connection's number, from 0. A
/// connection that ends before its script does is none of the test's business.
fn upstream(script: impl Fn(u32, TcpStream) -> io::Result<()> + Send + Sync + 'static) -> Scripted {
    let number = AtomicU32::new(0);
    Scripted::start(move |stream| {
        let _ended = script(number.fetch_add(1, Ordering::Relaxed), stream);
    })
}

fn in_front_of(upstream: &Scripted) -> Rig {
    let config = upstream.config();
    let config = config.replace("min_idle: 0", "min_idle: 0, protocol: http2");
    Rig::with(&format!("{config}retries: {{body: 64KiB}}"))
}

/// Answers every request on a connection until it ends.
fn answer_all(frames: &mut Frames, bodies: &mpsc::Sender<Vec<u8>>) -> io::Result<()> {
    loop {
        let (stream, body) = frames.request()?;
        bodies.send(body).unwrap();
        frames.answer(stream)?;
    }
}

/// The attempts the access log has for the only request.
fn attempts(rig: &Rig) -> u64 {
    rig.wait_log(1)[0]["attempts"].as_u64().unwrap()
}

#[test]
fn a_refused_stream_is_sent_again_with_its_body() {
    let (bodies, received) = mpsc::channel();
    let upstream = upstream(move |number, stream| {
        assert_eq!(number, 0, "the connection is as good as before");
        let mut frames = Frames::accept(stream, &[])?;
        for _ in 0..2 {
            let (stream, body) = frames.request()?;
            bodies.send(body).unwrap();
            frames.reset(stream, REFUSED_STREAM)?;
        }
        answer_all(&mut frames, &bodies)
    });
    let rig = in_front_of(&upstream);
    assert_eq!(rig.post(CHAT, QUESTION).status, 200);
    for _ in 0..3 {
        assert_eq!(received.recv().unwrap(), QUESTION.as_bytes());
    }
    assert_eq!(attempts(&rig), 3);
    rig.wait_metric(RETRIES, 2.0);
}

#[test]
fn there_are_three_attempts() {
    let upstream = upstream(|_, stream| {
        let mut frames = Frames::accept(stream, &[])?;
        loop {
            let (stream, _) = frames.request()?;
            frames.reset(stream, REFUSED_STREAM)?;
        }
    });
    let rig = in_front_of(&upstream);
    assert_error(&rig.post(CHAT, QUESTION), CHAT, 502, "upstream_closed");
    assert_eq!(attempts(&rig), 3);
}

#[test]
fn what_upstream_leaves_out_when_it_goes_away_is_sent_on_another_connection() {
    let (bodies, received) = mpsc::channel();
    let upstream = upstream(move |number, stream| {
        let mut frames = Frames::accept(stream, &[])?;
        if number == 0 {
            frames.request()?;
            frames.go_away(0)?;
        }
        answer_all(&mut frames, &bodies)
    });
    let rig = in_front_of(&upstream);
    assert_eq!(rig.post(CHAT, QUESTION).status, 200);
    assert_eq!(received.recv().unwrap(), QUESTION.as_bytes());
    assert_eq!(attempts(&rig), 2);
}

/// The first request is under way, the second waits for its turn within the library, and so may the
/// third: upstream takes one at a time, and goes away after the first.
#[test]
fn what_waits_for_its_turn_is_sent_on_another_connection() {
    const MAX_CONCURRENT_STREAMS: u16 = 3;
    let (bodies, received) = mpsc::channel();
    let (go, gone) = mpsc::channel::<()>();
    let (go, gone) = (go, Mutex::new(gone));
    let (began, has_begun) = mpsc::channel();
    let upstream = upstream(move |number, stream| {
        if number > 0 {
            return answer_all(&mut Frames::accept(stream, &[])?, &bodies);
        }
        let mut frames = Frames::accept(stream, &[(MAX_CONCURRENT_STREAMS, 1)])?;
        let (first, _) = frames.request()?;
        began.send(()).unwrap();
        gone.lock().unwrap().recv().unwrap();
        frames.go_away(first)?;
        frames.answer(first)?;
        answer_all(&mut frames, &bodies)
    });
    let rig = in_front_of(&upstream);
    std::thread::scope(|scope| {
        let ask = || assert_eq!(rig.post(CHAT, QUESTION).status, 200);
        scope.spawn(ask);
        has_begun.recv().unwrap();
        scope.spawn(ask);
        scope.spawn(ask);
        rig.wait_metric("holysheep_http_requests_in_flight", 3.0);
        go.send(()).unwrap();
    });
    for _ in 0..2 {
        assert_eq!(received.recv().unwrap(), QUESTION.as_bytes());
    }
    let lines = rig.wait_log(3);
    let mut attempts: Vec<_> = lines.iter().map(|line| line["attempts"].as_u64()).collect();
    attempts.sort_unstable();
    assert_eq!(attempts, [Some(1), Some(2), Some(2)]);
}

#[test]
fn what_upstream_may_have_begun_to_work_on_is_not_sent_again() {
    for how in ["reset", "close", "go away after it"] {
        let upstream = upstream(move |_, stream| {
            let mut frames = Frames::accept(stream, &[])?;
            let (stream, _) = frames.request()?;
            match how {
                "reset" => frames.reset(stream, INTERNAL_ERROR),
                "close" => Ok(()),
                _ => frames.go_away(stream),
            }
        });
        let rig = in_front_of(&upstream);
        assert_error(&rig.post(CHAT, QUESTION), CHAT, 502, "upstream_closed");
        assert_eq!(attempts(&rig), 1, "{how}");
    }
}

#[test]
fn a_body_too_long_to_keep_is_not_sent_again() {
    let upstream = upstream(|_, stream| {
        let mut frames = Frames::accept(stream, &[])?;
        let head = frames.next()?;
        assert_eq!(head.kind, HEADERS);
        for stream in [0, head.stream] {
            frames.allow(stream, 1 << 20)?;
        }
        let mut received = 0;
        while received < 100_000 {
            received += frames.next()?.payload.len();
        }
        frames.reset(head.stream, REFUSED_STREAM)?;
        frames.next().map(drop)
    });
    let rig = in_front_of(&upstream);
    let body = "x".repeat(300_000);
    assert_error(&rig.post(CHAT, &body), CHAT, 502, "upstream_closed");
    assert_eq!(attempts(&rig), 1);
}

#[test]
fn the_connection_is_counted() {
    let (go, gone) = mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    let upstream = upstream(move |_, stream| {
        let mut frames = Frames::accept(stream, &[])?;
        let (stream, _) = frames.request()?;
        gone.lock().unwrap().recv().unwrap();
        frames.answer(stream)?;
        gone.lock().unwrap().recv().unwrap();
        Ok(())
    });
    let rig = in_front_of(&upstream);
    let wait = |idle: f64, active: f64| {
        rig.wait_metric(IDLE, idle);
        rig.wait_metric(ACTIVE, active);
    };
    wait(1.0, 0.0);
    std::thread::scope(|scope| {
        scope.spawn(|| assert_eq!(rig.post(CHAT, QUESTION).status, 200));
        wait(0.0, 1.0);
        go.send(()).unwrap();
    });
    wait(1.0, 0.0);
    go.send(()).unwrap();
    wait(0.0, 0.0);
}
