//! `timeouts.drain_delay`: between the moment a stop is asked for and the drain, everything is served
//! as before, but says that it will not be for long.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};

use holysheep_emulator::Emulator;

use crate::harness::client::request;
use crate::harness::h2::H2;
use crate::harness::program::{Served, command};
use crate::harness::{CHAT, Client, Directory, QUESTION, Reply, Rig, STREAMED, eventually};

fn ask(client: &mut Client) -> Option<Reply> {
    client.send(request("POST", CHAT, &[], QUESTION.as_bytes()));
    let mut reply = client.try_head()?;
    client.body(&mut reply);
    Some(reply)
}

/// What one client of a steady load saw.
#[derive(Default)]
struct Seen {
    answered: AtomicU32,
    failed: AtomicU32,
    /// Connections made after the stop.
    late: AtomicU32,
}

/// Asks on one connection after another for as long as new ones should be made.
fn load(rig: &Rig, stopped: &AtomicBool, gone: &AtomicBool, seen: &Seen) {
    while !gone.load(SeqCst) {
        if stopped.load(SeqCst) {
            seen.late.fetch_add(1, SeqCst);
        }
        let mut client = rig.client();
        loop {
            match ask(&mut client) {
                Some(reply) if reply.status == 200 && reply.complete => {
                    seen.answered.fetch_add(1, SeqCst);
                    if reply.header("connection") == Some("close") || gone.load(SeqCst) {
                        break;
                    }
                }
                _ => {
                    seen.failed.fetch_add(1, SeqCst);
                    break;
                }
            }
        }
    }
}

#[test]
fn no_request_of_a_steady_load_fails_when_it_follows_readiness() {
    let rig = Rig::builder()
        .workers(2)
        .config("timeouts: {drain_delay: 3s, drain: 10s}")
        .start();
    eventually(|| rig.admin("/readyz").status == 200);
    let (stopped, gone, seen) = (
        AtomicBool::new(false),
        AtomicBool::new(false),
        Seen::default(),
    );
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| load(&rig, &stopped, &gone, &seen));
        }
        eventually(|| seen.answered.load(SeqCst) > 100);
        rig.app().stop();
        stopped.store(true, SeqCst);
        // A load balancer that hears of it late, but before the delay is over.
        assert_eq!(rig.admin("/readyz").status, 503);
        eventually(|| seen.late.load(SeqCst) > 20);
        gone.store(true, SeqCst);
    });
    let failed = seen.failed.load(SeqCst);
    assert_eq!(failed, 0, "of {}", seen.answered.load(SeqCst));
    let route = "holysheep_http_requests_total{route=\"/v1/chat/completions\",status=\"200\"}";
    rig.wait_metric(route, f64::from(seen.answered.load(SeqCst)));
}

/// Nobody who connects at the last moment can know that it was one. Whether a request on such a connection is answered.
fn is_served_at_the_last_moment() -> bool {
    let rig = Rig::with("timeouts: {drain_delay: 0s, drain: 10s}");
    let mut late = rig.client();
    rig.wait_metric("holysheep_http_connections", 1.0);
    rig.app().stop();
    let address = rig.app().data_addr();
    eventually(|| std::net::TcpStream::connect(address).is_err());
    let reply = ask(&mut late);
    reply.is_some_and(|reply| {
        assert_eq!(reply.header("connection"), Some("close"));
        reply.status == 200 && reply.complete
    })
}

#[test]
fn a_connection_made_just_before_the_drain_is_served() {
    // The moment is a second long, which may be over on a machine that is busy.
    assert!((0..5).any(|_| is_served_at_the_last_moment()));
}

#[test]
fn readiness_fails_at_once_and_connections_are_served_until_the_delay_is_over() {
    let rig = Rig::with("timeouts: {drain_delay: 3s, drain: 10s}");
    let mut silent = rig.client();
    let mut used = rig.client();
    let mut idle = rig.client();
    for client in [&mut used, &mut idle] {
        let reply = ask(client).unwrap();
        assert_eq!((reply.status, reply.header("connection")), (200, None));
    }
    let h2 = H2::connect(rig.data_addr());
    assert_eq!(h2.post(CHAT, QUESTION).status(), 200);
    let started = Instant::now();
    rig.app().stop();
    assert_eq!(rig.admin("/readyz").text(), "the proxy is stopping\n");
    assert_eq!(rig.admin("/readyz").status, 503);
    assert_eq!(rig.admin("/livez").status, 200);
    for client in [&mut used, &mut rig.client()] {
        let reply = ask(client).unwrap();
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("connection"), Some("close"), "they move away");
        client.expect_close();
    }
    let own = rig.get("/health");
    assert_eq!((own.status, own.header("connection")), (200, Some("close")));
    assert_eq!(
        h2.post(CHAT, QUESTION).status(),
        200,
        "the connection lives"
    );
    assert!(started.elapsed() < Duration::from_secs(3), "a slow machine");
    for client in [&mut silent, &mut idle] {
        client.expect_close();
    }
    assert!(started.elapsed() >= Duration::from_secs(3));
}

#[test]
fn a_request_in_flight_when_the_delay_ends_may_finish() {
    let mut rig = Rig::with("timeouts: {drain_delay: 100ms, drain: 10s}");
    let mut client = rig.client();
    let fields = [("x-emulator-fault", "stall-before-headers;ms=600")];
    client.send(request("POST", CHAT, &fields, QUESTION.as_bytes()));
    rig.wait_stats(|stats| stats.in_flight == 1);
    rig.app().stop();
    let reply = client.reply();
    assert_eq!((reply.status, reply.complete), (200, true));
    rig.stop();
    assert_eq!(rig.emulator.stats().cancelled, 0);
}

#[test]
fn a_second_signal_does_not_wait_for_the_delay() {
    let emulator = Emulator::builder().start_blocking().unwrap();
    let directory = Directory::new();
    let config = directory.write("config.yaml", "timeouts: {drain_delay: 10m}");
    let mut command = command(["serve", "--listen", "127.0.0.1:0", "--ebpf", "off"]);
    let command = command
        .args(["--admin-listen", "127.0.0.1:0", "--log-format", "json"])
        .args(["--upstream", emulator.base_url(), "--config"])
        .arg(config);
    let mut served = Served::start(command);
    served.terminate();
    let message = "stopping: running requests may finish";
    eventually(|| served.logged(message).is_some());
    assert_eq!(served.logged(message).unwrap()["drain_delay"], "10m");
    let mut client = Client::connect(served.data_addr());
    assert_eq!(client.request("GET", "/health", &[], b"").status, 200);
    served.terminate();
    assert_eq!(served.wait().code(), Some(0));
}

#[test]
fn who_has_not_heard_of_the_stop_may_ask_once_more() {
    let mut rig = Rig::builder()
        .config("timeouts: {drain: 10s}")
        .emulator(|emulator| emulator.token_interval(Duration::from_millis(20)))
        .start();
    let mut client = rig.client();
    client.send(request("POST", CHAT, &[], STREAMED.as_bytes()));
    // Its head says nothing of a stop.
    let mut reply = client.head();
    assert_eq!((reply.status, reply.header("connection")), (200, None));
    rig.app().stop();
    client.body(&mut reply);
    assert!(reply.complete);
    let reply = ask(&mut client).expect("an answer");
    assert_eq!(
        (reply.status, reply.header("connection")),
        (200, Some("close"))
    );
    client.expect_close();
    rig.stop();
}
