//! Which of an upstream's endpoints gets requests: the fast ones, not those that fail, and those that no longer do.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::harness::endpoints::{Endpoints, NAME, TTL};
use crate::harness::{CHAT, Client, QUESTION, Rig, eventually};

const COLD: &str = "holysheep_upstream_connects_total{upstream=\"holysheep\",result=\"cold\"}";
const IDLE: &str = "holysheep_upstream_connections{upstream=\"holysheep\",state=\"idle\"}";

/// Keeps eight clients busy while `meanwhile` runs; every request has to be answered.
fn under_load(rig: &Rig, meanwhile: impl FnOnce()) {
    let stop = AtomicBool::new(false);
    let address = rig.data_addr();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = Client::connect(address);
                    while !stop.load(Relaxed) {
                        let reply = client.request("POST", CHAT, &[], QUESTION.as_bytes());
                        assert_eq!(reply.status, 200, "{}", reply.text());
                    }
                })
            })
            .collect();
        // Also if an assertion fails, or nobody would ever end.
        let over = Over(&stop);
        meanwhile();
        drop(over);
        for client in clients {
            client.join().unwrap();
        }
    });
}

/// Stops the clients when dropped.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

#[test]
fn requests_are_spread_over_all_endpoints() {
    let endpoints = Endpoints::start(3, "min_idle: 6", "");
    under_load(&endpoints.rig, || {
        eventually(|| endpoints.requests().iter().all(|requests| *requests > 50));
    });
    for index in 0..3 {
        let status = endpoints.status(index);
        assert_eq!(status["state"], "closed", "{status}");
        assert!(status["first_byte_ms"].as_f64().unwrap() > 0.0, "{status}");
        let requests = endpoints.metric("holysheep_upstream_endpoint_requests_total", index);
        assert!(requests > 50.0, "{requests}");
        assert!(endpoints.metric("holysheep_upstream_endpoint_usable", index) > 0.5);
    }
}

#[test]
fn a_slow_endpoint_gets_few_requests() {
    let endpoints = Endpoints::start(3, "min_idle: 6", "");
    endpoints.fault(1, "stall-before-headers;ms=300");
    under_load(&endpoints.rig, || {
        eventually(|| endpoints.requests()[0] + endpoints.requests()[2] > 600);
    });
    let requests = endpoints.requests();
    assert!(requests[1] * 10 < requests[0] + requests[2], "{requests:?}");
}

#[test]
fn one_that_fails_fast_attracts_nothing_is_ejected_and_comes_back() {
    let config = "ejection: {pause: 300ms, max_pause: 1s}";
    let endpoints = Endpoints::start(3, "min_idle: 3", config);
    let ejections = |index| endpoints.metric("holysheep_upstream_endpoint_ejections_total", index);
    under_load(&endpoints.rig, || {
        eventually(|| endpoints.requests().iter().all(|requests| *requests > 10));
        endpoints.fault(0, "503");
        eventually(|| endpoints.status(0)["state"] == "open");
        assert!(endpoints.metric("holysheep_upstream_endpoint_usable", 0) < 0.5);
        // While it fails on, each trial is one request.
        eventually(|| ejections(0) >= 3.0);
        let failed = endpoints.metric("holysheep_upstream_endpoint_failures_total", 0);
        assert!(
            failed < 3.0 + 3.0 + ejections(0) + 8.0,
            "{failed} of {}",
            ejections(0)
        );
        endpoints.emulator(0).clear_faults().unwrap();
        eventually(|| endpoints.status(0)["state"] == "closed");
        let before = endpoints.requests()[0];
        eventually(|| endpoints.requests()[0] > before + 50);
    });
    assert!(ejections(1) + ejections(2) < 0.5);
}

#[test]
fn one_that_refuses_connections_is_ejected_and_costs_no_request() {
    let config = "ejection: {pause: 300ms, max_pause: 1s}";
    let endpoints = Endpoints::start(2, "min_idle: 2", config);
    under_load(&endpoints.rig, || {
        eventually(|| endpoints.requests().iter().all(|requests| *requests > 10));
        endpoints.emulator(1).stop_accepting();
        endpoints.fault(1, "close-after;requests=1");
        eventually(|| endpoints.status(1)["state"] == "open");
        endpoints.emulator(1).clear_faults().unwrap();
        endpoints.emulator(1).resume_accepting().unwrap();
        eventually(|| endpoints.status(1)["state"] == "closed");
        let before = endpoints.requests()[1];
        eventually(|| endpoints.requests()[1] > before + 50);
    });
}

/// Sends 64 requests at once to a proxy that idles with so many connections; how many of them waited for a new one.
fn burst(min_idle: u32) -> f64 {
    let rig = Rig::with(&format!("upstream: {{min_idle: {min_idle}}}"));
    rig.wait_metric(IDLE, f64::from(min_idle));
    let address = rig.data_addr();
    let barrier = std::sync::Barrier::new(64);
    std::thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                let mut client = Client::connect(address);
                let stall = [("x-emulator-fault", "stall-before-headers;ms=500")];
                barrier.wait();
                let reply = client.request("POST", CHAT, &stall, QUESTION.as_bytes());
                assert_eq!(reply.status, 200);
            });
        }
        eventually(|| rig.emulator.stats().in_flight == 64);
    });
    rig.metric(COLD)
}

#[test]
fn a_burst_from_idle_waits_for_no_handshake_that_min_idle_covers() {
    assert!(burst(64) < 0.5);
    let cold = burst(2);
    assert!(cold > 30.0, "{cold}");
}

#[test]
fn a_change_of_address_moves_connections_that_idle_too() {
    let endpoints = Endpoints::start(2, "min_idle: 4", "");
    under_load(&endpoints.rig, || {
        eventually(|| endpoints.requests().iter().all(|requests| *requests > 10));
        endpoints.server.set(NAME, &["127.0.0.3"], TTL);
        eventually(|| endpoints.emulator(0).stats().connections_open == 0);
        let [old, new] = [endpoints.requests()[0], endpoints.requests()[1]];
        eventually(|| endpoints.requests()[1] > new + 100);
        assert_eq!(endpoints.requests()[0], old, "nothing goes there any more");
        // And back.
        endpoints.server.set(NAME, &["127.0.0.2", "127.0.0.3"], TTL);
        eventually(|| endpoints.requests()[0] > old + 50);
    });
}
