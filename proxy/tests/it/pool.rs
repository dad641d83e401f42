//! Connections to upstream: opened ahead of need, used again, never found dead by a request.

use std::time::{Duration, Instant};

use holysheep_emulator::FaultScope;

use crate::harness::client::request;
use crate::harness::metrics::IDLE;
use crate::harness::{CHAT, QUESTION, Rig, eventually, soon_within};

const ACTIVE: &str = "holysheep_upstream_connections{upstream=\"holysheep\",state=\"active\"}";
const COLD: &str = "holysheep_upstream_connects_total{upstream=\"holysheep\",result=\"cold\"}";
const FAILED: &str = "holysheep_upstream_connects_total{upstream=\"holysheep\",result=\"failed\"}";
const MADE: &str = "holysheep_upstream_connects_total{upstream=\"holysheep\",result=\"ok\"}";

#[test]
fn connections_are_opened_ahead_of_need() {
    let rig = Rig::with("upstream: {min_idle: 3}");
    rig.wait_metric(IDLE, 3.0);
    rig.wait_stats(|stats| stats.connections_open == 3);
    assert_eq!(rig.post(CHAT, QUESTION).status, 200);
    rig.wait_log(1);
    assert_eq!(rig.metric(COLD), 0.0);
    assert_eq!(rig.log_lines()[0]["uct"], 0.0);
    rig.wait_metric(ACTIVE, 0.0);
}

#[test]
fn connections_are_used_again() {
    let rig = Rig::start();
    rig.wait_metric(IDLE, 2.0);
    let mut client = rig.client();
    for _ in 0..200 {
        let reply = client.request("POST", CHAT, &[], QUESTION.as_bytes());
        assert_eq!(reply.status, 200);
    }
    let stats = rig.emulator.stats();
    assert_eq!(stats.requests, 200);
    assert!(stats.connections_accepted <= 4, "{stats:?}");
    rig.wait_metric("holysheep_http_connections_accepted_total", 1.0);
    assert_eq!(rig.metric(COLD), 0.0);
}

#[test]
fn no_more_than_max_idle_are_kept() {
    let rig = Rig::with("upstream: {min_idle: 0, max_idle: 3}");
    std::thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| {
                let fields = [("x-emulator-fault", "stall-before-headers;ms=300")];
                let body = QUESTION.as_bytes();
                let reply = rig.client().request("POST", CHAT, &fields, body);
                assert_eq!(reply.status, 200);
            });
        }
    });
    rig.wait_metric(ACTIVE, 0.0);
    rig.wait_metric(IDLE, 3.0);
    rig.wait_metric(COLD, 10.0);
    rig.wait_stats(|stats| stats.connections_open == 3);
}

#[test]
fn a_connection_that_is_too_old_is_replaced() {
    let rig = Rig::with("upstream: {min_idle: 1, idle_timeout: 200ms}");
    rig.wait_stats(|stats| stats.connections_accepted >= 3);
    rig.wait_stats(|stats| stats.connections_open <= 1);
    assert_eq!(rig.post(CHAT, QUESTION).status, 200);
}

/// So many requests at a time.
fn burst(rig: &Rig, count: usize) {
    let ask = request("POST", CHAT, &[], QUESTION.as_bytes());
    let (most, rest) = ask.split_at(ask.len() - 1);
    let mut clients: Vec<_> = (0..count).map(|_| rig.client()).collect();
    for client in &mut clients {
        client.send(most);
    }
    eventually(|| rig.metric(ACTIVE) == 6.0);
    for client in &mut clients {
        client.send(rest);
        assert_eq!(client.reply().status, 200);
    }
    rig.wait_metric(ACTIVE, 0.0);
}

/// Waits until there is one idle connection, for longer than it takes to replace others, during which there are few, too.
#[track_caller]
fn one_is_left(rig: &Rig) {
    let mut others = Instant::now();
    let is_alone = || {
        if rig.metric(IDLE) > 1.0 {
            others = Instant::now();
        }
        others.elapsed() > Duration::from_secs(5)
    };
    assert!(soon_within(Duration::from_secs(60), is_alone));
    rig.wait_metric(IDLE, 1.0);
}

#[test]
fn as_many_are_kept_as_were_needed_lately() {
    let rig = Rig::with("upstream: {min_idle: 1, idle_timeout: 2s}");
    burst(&rig, 6);
    let (cold, made) = (rig.metric(COLD), rig.metric(MADE));
    // All have grown too old, and there are as many new ones.
    eventually(|| rig.metric(MADE) >= made + 6.0 && rig.metric(IDLE) >= 6.0);
    burst(&rig, 6);
    assert_eq!(rig.metric(COLD), cold, "nobody has waited for a connection");
    // With nobody left who needs them they become fewer, within some periods.
    one_is_left(&rig);
}

#[test]
fn connections_that_upstream_closes_are_not_opened_for_nobody() {
    let rig = Rig::with("upstream: {min_idle: 1}");
    burst(&rig, 6);
    eventually(|| rig.metric(IDLE) >= 6.0);
    rig.fault("close-idle;ms=50", FaultScope::Always);
    burst(&rig, 6);
    one_is_left(&rig);
}

#[test]
fn connections_upstream_has_closed_are_never_used() {
    let rig = Rig::with("upstream: {min_idle: 0}");
    let mut client = rig.client();
    for (fault, answers) in [
        ("close-after;requests=1", 1),
        ("close-after;requests=3", 3),
        // Long enough for the request to follow the handshake even on a busy machine.
        ("close-idle;ms=50", 1),
    ] {
        rig.emulator.clear_faults().unwrap();
        rig.fault(fault, FaultScope::Always);
        for number in 1..=30 {
            let reply = client.request("POST", CHAT, &[], QUESTION.as_bytes());
            assert_eq!(reply.status, 200, "{fault}, request {number}: {reply:?}");
            // Upstream closes a moment after its answer. A request that is sent in that moment is
            // lost and may not be sent again, so the next one waits until it is over.
            if number % answers == 0 {
                rig.wait_stats(|stats| stats.connections_open == 0);
            }
        }
    }
    let stats = rig.emulator.stats();
    assert_eq!((stats.requests, stats.connections_accepted), (90, 70));
}

#[test]
fn a_stalled_upstream_does_not_use_the_pool_up() {
    let rig = Rig::with("upstream: {min_idle: 1, max_idle: 1}");
    let fields = [("x-emulator-fault", "stall-before-headers")];
    let ask = request("POST", CHAT, &fields, QUESTION.as_bytes());
    let mut stalled: Vec<_> = (0..5).map(|_| rig.client()).collect();
    for client in &mut stalled {
        client.send(&ask);
    }
    rig.wait_stats(|stats| stats.in_flight == 5);
    assert_eq!(rig.post(CHAT, QUESTION).status, 200);
    rig.wait_stats(|stats| stats.completed == 1);
    drop(stalled);
    rig.wait_stats(|stats| stats.cancelled == 5);
}

#[test]
fn tls_sessions_are_resumed() {
    let rig = Rig::with("upstream: {min_idle: 0, max_idle: 0}");
    for _ in 0..5 {
        assert_eq!(rig.post(CHAT, QUESTION).status, 200);
    }
    let stats = rig.emulator.stats();
    assert_eq!(
        (stats.tls_handshakes_full, stats.tls_handshakes_resumed),
        (1, 4)
    );
    rig.wait_metric(
        "holysheep_upstream_tls_handshake_seconds_count{upstream=\"holysheep\"}",
        5.0,
    );
    rig.wait_metric(MADE, 5.0);
}

#[test]
fn a_pool_that_could_not_connect_recovers() {
    let rig = Rig::with("upstream: {min_idle: 2}");
    rig.wait_metric(IDLE, 2.0);
    rig.fault("close-after;requests=1", FaultScope::Next(2));
    rig.emulator.stop_accepting();
    assert_eq!(rig.post(CHAT, QUESTION).status, 200, "on a warm one");
    eventually(|| rig.metric(FAILED) >= 1.0);
    rig.emulator.resume_accepting().unwrap();
    rig.wait_metric(IDLE, 2.0);
}

/// The dial of a connection ahead of need hangs for as long as the test runs; the connection a
/// request leaves behind is closed in its time all the same.
#[test]
fn connections_age_while_a_dial_hangs() {
    let rig = Rig::builder()
        .config("upstream: {min_idle: 1, idle_timeout: 100ms}\ntimeouts: {connect: 1m}")
        .edit(|_, _, emulator| {
            let stall = "stall-handshake".parse().unwrap();
            emulator.set_fault(stall, FaultScope::Next(1)).unwrap();
        })
        .start();
    rig.wait_stats(|stats| stats.connections_open == 1);
    assert_eq!(rig.post(CHAT, QUESTION).status, 200);
    rig.wait_metric(COLD, 1.0);
    rig.wait_stats(|stats| stats.connections_open == 1);
    rig.wait_metric(IDLE, 0.0);
}

#[test]
fn each_worker_has_connections_of_its_own() {
    let rig = Rig::builder().workers(3).start();
    rig.wait_metric(IDLE, 6.0);
    rig.wait_stats(|stats| stats.connections_open == 6);
}
