//! Requests that meet connections upstream closes in the same moment: they are sent again, none is billed twice, and no
//! client learns of it.
//!
//! Upstream closes each connection once it has idled for a time of its own, about as long as it takes until the next
//! request comes. A close that has arrived is seen before a connection is used; one that is under way is not. Then upstream's
//! system has acknowledged nothing of the request, or has, between upstream's last look and its close; the emulator counts
//! the latter (`connections_closed_unread`).

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use holysheep_emulator::FaultScope;

use crate::harness::metrics::IDLE;
use crate::harness::upstream::{Scripted, read_head};
use crate::harness::{CHAT, QUESTION, Rig, eventually};

const UNREAD: &str = "holysheep_upstream_retries_total{upstream=\"holysheep\",reason=\"unread\"}";
const DENIED: &str = "holysheep_upstream_retries_denied_total{upstream=\"holysheep\"}";

const REQUESTS: usize = 10_000;
/// Clients at the same time.
const CLIENTS: usize = 8;

/// One client's requests, and what was wrong with those that failed.
fn ask_often(rig: &Rig, client: usize, count: usize) -> Vec<String> {
    let mut random = fastrand::Rng::with_seed(client as u64);
    let mut failed = Vec::new();
    let mut connection = rig.client();
    for number in 0..count {
        let id = format!("stale-{client}-{number}");
        let reply = connection.request("POST", CHAT, &[("x-request-id", &id)], QUESTION.as_bytes());
        if reply.status != 200 {
            assert_eq!(reply.error(), Some("upstream_closed"), "{reply:?}");
            failed.push(id);
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "clients that think are what is tried: it is in their pauses that connections idle"
        )]
        std::thread::sleep(Duration::from_micros(random.u64(0..4000)));
    }
    failed
}

#[test]
fn no_client_learns_of_connections_that_close_by_the_way() {
    let rig = Rig::builder().emulator(move |builder| builder.record(REQUESTS));
    let rig = rig.start();
    rig.fault("close-idle;ms=1..5", FaultScope::Always);
    let mut failed = Vec::new();
    std::thread::scope(|scope| {
        let ask = |client| {
            let rig = &rig;
            scope.spawn(move || ask_often(rig, client, REQUESTS / CLIENTS))
        };
        let clients: Vec<_> = (0..CLIENTS).map(ask).collect();
        let ended = clients.into_iter();
        failed.extend(ended.flat_map(|client| client.join().unwrap()));
    });
    rig.wait_idle();
    let billed = rig.assert_billed_once();
    let stats = rig.emulator.stats();
    let (unread, lost) = (rig.metric(UNREAD), stats.connections_closed_unread);
    println!(
        "{REQUESTS} requests over {} connections: {unread} sent again, {} of {lost} lost ones told to clients",
        stats.connections_accepted,
        failed.len(),
    );
    assert_eq!(billed + failed.len(), REQUESTS);
    assert_eq!(rig.requests(), rig.billed(), "what was read was answered");
    assert!(failed.is_empty(), "{failed:?}, {stats:?}");
    assert!(rig.metric(DENIED) < 0.5);
    // It was tried in earnest.
    let closed = stats.connections_accepted - stats.connections_open;
    assert!(closed as usize > REQUESTS / 50, "{stats:?}");
    assert!(unread >= 1.0, "no close was under way when a request left");
}

/// How a server ends a connection on which a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    /// Its own side first, and then the rest, without having read the request.
    InGoodOrderUnread,
    /// The same after reading it.
    InGoodOrderRead,
    /// At once, without having read it: the system sends a reset, and no end before.
    AtOnceUnread,
}

/// Answers the first request, and ends the connection when the second has come.
fn end_on_the_second(mut stream: TcpStream, ends: Ends) {
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
    let mut body = vec![0; QUESTION.len()];
    let mut read = |stream: &mut TcpStream| {
        read_head(stream).is_some() && stream.read_exact(&mut body).is_ok()
    };
    if !read(&mut stream) {
        return;
    }
    stream.write_all(answer).unwrap();
    if !stream.peek(&mut [0]).is_ok_and(|count| count > 0) {
        return;
    }
    if ends == Ends::InGoodOrderRead && !read(&mut stream) {
        return;
    }
    if ends != Ends::AtOnceUnread {
        stream.shutdown(Shutdown::Write).unwrap();
    }
}

/// The request has been acknowledged each time. A reset behind the end says that a part of it was not read; a reset alone may
/// also come from a server that has read it.
#[test]
fn what_was_acknowledged_is_sent_again_only_if_it_was_left_unread() {
    for (ends, is_again) in [
        (Ends::InGoodOrderUnread, true),
        (Ends::InGoodOrderRead, false),
        (Ends::AtOnceUnread, false),
    ] {
        let upstream = Scripted::start(move |stream| end_on_the_second(stream, ends));
        let rig = Rig::with(&upstream.config());
        assert_eq!(rig.post(CHAT, QUESTION).status, 200);
        eventually(|| rig.metric(IDLE) > 0.5);
        let reply = rig.post(CHAT, QUESTION);
        let attempts = reply.header("x-holysheep-attempts");
        match is_again {
            true => assert_eq!((reply.status, attempts), (200, Some("2")), "{ends:?}"),
            false => {
                assert_eq!(reply.error(), Some("upstream_closed"), "{ends:?}");
                assert_eq!((reply.status, attempts), (502, None), "{ends:?}");
                rig.wait_rejected("upstream_closed", 1);
            }
        }
        rig.wait_metric(UNREAD, f64::from(u8::from(is_again)));
    }
}
