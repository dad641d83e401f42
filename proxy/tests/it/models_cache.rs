//! `GET /v1/models` from the cache.

use std::time::Duration;

use holysheep_emulator::{FaultScope, Profile};

use crate::errors::assert_error;
use crate::harness::{Rig, eventually};

const MODELS: &str = "/v1/models";

fn asked(rig: &Rig) -> u64 {
    let by_path = rig.emulator.stats().requests_by_path;
    by_path.get(MODELS).copied().unwrap_or_default()
}

#[test]
fn however_many_ask_upstream_is_asked_once() {
    let slow = Profile::Fixed(Duration::from_millis(200));
    let rig = Rig::builder()
        .workers(2)
        .emulator(move |emulator| emulator.profile(slow))
        .start();
    let replies: Vec<_> = std::thread::scope(|scope| {
        let rig = &rig;
        let asking: Vec<_> = (0..50).map(|_| scope.spawn(|| rig.get(MODELS))).collect();
        asking.into_iter().map(|one| one.join().unwrap()).collect()
    });
    for reply in &replies {
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(reply.body, replies[0].body);
        assert_eq!(reply.json()["object"], "list");
        assert_eq!(reply.header("cache-control"), Some("public, max-age=300"));
        assert_eq!(reply.header("content-type"), Some("application/json"));
        assert_eq!(reply.header("age"), Some("0"));
    }
    assert_eq!(asked(&rig), 1);
    let sample = "holysheep_http_requests_total{route=\"/v1/models\",status=\"200\"}";
    rig.wait_metric(sample, 50.0);
    let upstream = "holysheep_upstream_requests_total{upstream=\"holysheep\",outcome=\"2xx\"}";
    rig.wait_metric(upstream, 1.0);
}

#[test]
fn the_age_grows_and_nobody_asks_again() {
    let rig = Rig::start();
    let first = rig.get(MODELS);
    assert_eq!(first.header("age"), Some("0"));
    eventually(|| rig.get(MODELS).header("age") == Some("1"));
    assert_eq!(asked(&rig), 1);
    let ids = [
        first.header("x-request-id"),
        rig.get(MODELS).header("x-request-id"),
    ]
    .map(|id| id.unwrap().to_owned());
    assert_ne!(ids[0], ids[1], "each answer has its own id");
}

#[test]
fn the_request_for_everybody_carries_nothing_of_the_client() {
    let rig = Rig::start();
    let fields = [
        ("authorization", "Bearer sk-mine"),
        ("accept-encoding", "br"),
        ("cookie", "a=b"),
        ("if-none-match", "\"x\""),
        ("range", "bytes=0-1"),
    ];
    let reply = rig.client().request("GET", MODELS, &fields, b"");
    assert_eq!(reply.status, 200);
    let request = rig.last_request();
    for name in ["cookie", "if-none-match", "range"] {
        assert!(!request.has_header(name), "{name}");
    }
    assert_eq!(request.header("accept-encoding"), Some("identity"));
}

#[test]
fn an_old_list_is_served_while_upstream_fails() {
    let rig = Rig::with("models_cache: {ttl: 1ms}\nupstream: {min_idle: 0, max_idle: 0}");
    let first = rig.get(MODELS);
    assert_eq!(first.status, 200);
    for fault in [
        "503",
        "status;code=401",
        "reset",
        "malformed;kind=status-line",
        "cut;after=9",
    ] {
        rig.fault(fault, FaultScope::Always);
        let before = rig.emulator.stats().requests;
        eventually(|| {
            let stale = rig.get(MODELS);
            assert_eq!((stale.status, &stale.body), (200, &first.body), "{fault}");
            rig.emulator.stats().requests > before
        });
        rig.emulator.clear_faults().unwrap();
    }
    rig.emulator.stop_accepting();
    let stale = rig.get(MODELS);
    assert_eq!((stale.status, &stale.body), (200, &first.body));
    rig.emulator.resume_accepting().unwrap();
    let before = asked(&rig);
    eventually(|| rig.get(MODELS).status == 200 && asked(&rig) > before);
}

#[test]
fn an_old_list_is_served_while_upstream_stalls() {
    let rig = Rig::with("models_cache: {ttl: 1ms}");
    let first = rig.get(MODELS);
    rig.fault("stall-before-headers", FaultScope::Always);
    let stale = rig.get(MODELS);
    assert_eq!((stale.status, stale.body), (200, first.body));
}

#[test]
fn a_query_passes_by_the_cache() {
    let rig = Rig::start();
    rig.get(MODELS);
    for _ in 0..2 {
        let reply = rig.get("/v1/models?limit=2");
        assert_eq!((reply.status, reply.header("age")), (200, None));
    }
    assert_eq!(asked(&rig), 3);
    assert_eq!(rig.last_request().path_and_query, "/v1/models?limit=2");
}

#[test]
fn other_peoples_keys_pass_by_the_cache() {
    let rig = Rig::with("auth: passthrough");
    let fields = [("authorization", "Bearer sk-mine")];
    for _ in 0..2 {
        let reply = rig.client().request("GET", MODELS, &fields, b"");
        assert_eq!((reply.status, reply.header("age")), (401, None));
    }
    assert_eq!(asked(&rig), 2);
}

#[test]
fn a_ttl_of_zero_turns_the_cache_off() {
    let rig = Rig::with("models_cache: {ttl: 0s}");
    for _ in 0..2 {
        assert_eq!(rig.get(MODELS).header("age"), None);
    }
    assert_eq!(asked(&rig), 2);
}

#[test]
fn without_any_list_the_error_is_told_and_not_kept() {
    let rig = Rig::with("upstream: {min_idle: 0, max_idle: 0}");
    rig.emulator.stop_accepting();
    let reply = rig.get(MODELS);
    assert_error(&reply, MODELS, 502, "upstream_connect_failed");
    rig.wait_rejected("upstream_connect_failed", 1);
    rig.emulator.resume_accepting().unwrap();
    rig.fault("status;code=401", FaultScope::Next(1));
    assert_error(&rig.get(MODELS), MODELS, 502, "upstream_invalid_api_key");
    assert_eq!(rig.get(MODELS).status, 200);
}

#[test]
fn without_any_list_upstreams_own_error_passes_untouched() {
    let rig = Rig::start();
    rig.fault("429;retry-after=7", FaultScope::Next(1));
    let reply = rig.get(MODELS);
    assert_eq!((reply.status, reply.error()), (429, None), "{reply:?}");
    assert_eq!(reply.header("retry-after"), Some("7"));
    assert_eq!(rig.get(MODELS).status, 200, "an error is not kept");
}

#[test]
fn a_client_that_leaves_does_not_take_the_list_from_others() {
    let slow = Profile::Fixed(Duration::from_millis(300));
    let rig = Rig::builder()
        .emulator(move |emulator| emulator.profile(slow))
        .start();
    let mut leaving = rig.client();
    leaving.send(crate::harness::client::request("GET", MODELS, &[], b""));
    rig.wait_stats(|stats| stats.in_flight == 1);
    drop(leaving);
    assert_eq!(rig.get(MODELS).status, 200);
    assert_eq!(asked(&rig), 1);
}
