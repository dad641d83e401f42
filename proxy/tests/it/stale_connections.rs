//! Requests that meet connections upstream closes in the same moment: they are sent again, none is billed twice, and no
//! client learns of it unless upstream's system had acknowledged the request that upstream never read.
//!
//! Upstream closes each connection once it has idled for a time of its own, about as long as it takes until the next
//! request comes. A close that has arrived is seen before a connection is used; one that is under way is not, and then
//! upstream has acknowledged nothing. Only what comes between upstream's last look and its close is acknowledged and lost:
//! to the proxy that looks like a request that was read, so it is not repeated. The emulator counts these
//! (`connections_closed_unread`).

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use holysheep_emulator::FaultScope;

use crate::harness::upstream::{Scripted, read_head};
use crate::harness::{CHAT, QUESTION, Rig, eventually};

const UNREAD: &str = "holysheep_upstream_retries_total{upstream=\"holysheep\",reason=\"unread\"}";
const DENIED: &str = "holysheep_upstream_retries_denied_total{upstream=\"holysheep\"}";

/// How many requests; 4,000 unless this variable says otherwise, such as 10,000.
const REQUESTS: &str = "HOLYSHEEP_STALE_REQUESTS";
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
    let told = std::env::var(REQUESTS).ok();
    let requests = told.map_or(4_000, |told| told.parse().unwrap());
    let rig = Rig::builder().emulator(move |builder| builder.record(requests));
    let rig = rig.start();
    rig.fault("close-idle;ms=1..5", FaultScope::Always);
    let mut failed = Vec::new();
    std::thread::scope(|scope| {
        let ask = |client| {
            let rig = &rig;
            scope.spawn(move || ask_often(rig, client, requests / CLIENTS))
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
        "{requests} requests over {} connections: {unread} sent again, {} of {lost} lost ones told to clients",
        stats.connections_accepted,
        failed.len(),
    );
    assert_eq!(billed + failed.len(), requests);
    assert_eq!(rig.requests(), rig.billed(), "what was read was answered");
    assert!(failed.len() as u64 <= lost, "{failed:?}, {stats:?}");
    assert!(rig.metric(DENIED) < 0.5);
    // It was tried in earnest.
    let closed = stats.connections_accepted - stats.connections_open;
    assert!(closed as usize > requests / 50, "{stats:?}");
    assert!(unread >= 1.0, "no close was under way when a request left");
}

/// Answers the first request, and ends the connection when the second has come, without reading it.
fn close_on_the_second(mut stream: TcpStream, half_closes: bool) {
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
    let mut body = vec![0; QUESTION.len()];
    if read_head(&mut stream).is_none() || stream.read_exact(&mut body).is_err() {
        return;
    }
    stream.write_all(answer).unwrap();
    if stream.peek(&mut [0]).is_ok_and(|count| count > 0) && half_closes {
        stream.shutdown(Shutdown::Write).unwrap();
    }
}

/// The loss described above, for sure. With the reset that follows one could tell, but for a server that ends its
/// connections so after it has read.
#[test]
fn what_was_acknowledged_is_not_sent_again_although_nobody_has_read_it() {
    for half_closes in [true, false] {
        let upstream = Scripted::start(move |stream| close_on_the_second(stream, half_closes));
        let rig = Rig::with(&upstream.config());
        assert_eq!(rig.post(CHAT, QUESTION).status, 200);
        let idle = crate::harness::metrics::IDLE;
        eventually(|| rig.metric(idle) > 0.5);
        let reply = rig.post(CHAT, QUESTION);
        assert_eq!(
            (reply.status, reply.error()),
            (502, Some("upstream_closed"))
        );
        rig.wait_rejected("upstream_closed", 1);
        assert!(rig.metric(UNREAD) < 0.5);
        assert_eq!(reply.header("x-holysheep-attempts"), None);
    }
}
