//! `GET /v1/models` from the cache.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use holysheep_emulator::{FaultScope, Profile};

use crate::errors::assert_error;
use crate::harness::upstream::{Scripted, read_head};
use crate::harness::{Rig, SOON, eventually};

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
    let agent = concat!("holysheep-proxy/", env!("CARGO_PKG_VERSION"));
    assert_eq!(request.header("user-agent"), Some(agent));
}

/// Asks until the list has been fetched once more; what is answered meanwhile is `list`.
#[track_caller]
fn wait_refreshed(rig: &Rig, list: &[u8]) {
    let completed = rig.emulator.stats().completed;
    eventually(|| {
        let reply = rig.get(MODELS);
        assert_eq!((reply.status, &reply.body[..]), (200, list));
        rig.emulator.stats().completed > completed
    });
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
        wait_refreshed(&rig, &first.body);
    }
    rig.emulator.stop_accepting();
    let stale = rig.get(MODELS);
    assert_eq!((stale.status, &stale.body), (200, &first.body));
    rig.emulator.resume_accepting().unwrap();
    wait_refreshed(&rig, &first.body);
}

/// Each would take as long as upstream does if it waited for it: for ever.
#[test]
fn nobody_waits_for_a_newer_list_while_upstream_stalls() {
    let rig = Rig::with("models_cache: {ttl: 1ms}");
    let first = rig.get(MODELS);
    rig.fault("stall-before-headers", FaultScope::Always);
    let end = Instant::now() + SOON;
    for _ in 0..50 {
        let stale = rig.get(MODELS);
        assert_eq!((stale.status, &stale.body), (200, &first.body));
    }
    assert!(Instant::now() < end, "requests have waited");
    rig.wait_stats(|stats| stats.in_flight == 1);
    assert_eq!(asked(&rig), 2, "one fetch for all of them");
}

#[test]
fn a_fetch_that_failed_is_not_repeated_by_every_request() {
    let rig = Rig::with("models_cache: {ttl: 1ms}");
    let first = rig.get(MODELS);
    rig.fault("503", FaultScope::Always);
    for _ in 0..200 {
        let stale = rig.get(MODELS);
        assert_eq!((stale.status, &stale.body), (200, &first.body));
    }
    // The pauses are 0.5, 1, 2, 4 … seconds.
    assert!((2..20).contains(&asked(&rig)), "{}", asked(&rig));
    let failed = "holysheep_upstream_requests_total{upstream=\"holysheep\",outcome=\"5xx\"}";
    eventually(|| {
        let fetches = u32::try_from(asked(&rig) - 1).unwrap();
        (rig.metric(failed) - f64::from(fetches)).abs() < f64::EPSILON
    });
}

/// Answers the first request with `first`, and a list to all others.
fn answering_first(first: &'static str) -> Scripted {
    const LIST: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
    let is_first = AtomicBool::new(true);
    Scripted::start(move |mut stream| {
        while read_head(&mut stream).is_some() {
            let answer = if is_first.swap(false, Ordering::Relaxed) {
                first
            } else {
                LIST
            };
            if stream.write_all(answer.as_bytes()).is_err() {
                break;
            }
        }
    })
}

#[test]
fn a_coded_list_says_how_it_is_coded() {
    let upstream = answering_first(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\n\
         vary: accept-encoding\r\nset-cookie: a=b\r\nage: 100\r\ncache-control: no-store\r\n\
         date: Thu, 01 Jan 1970 00:00:00 GMT\r\ncontent-length: 4\r\n\r\ngzip",
    );
    let rig = Rig::with(&upstream.config());
    for _ in 0..2 {
        let reply = rig.get(MODELS);
        assert_eq!((reply.status, reply.text().as_str()), (200, "gzip"));
        assert_eq!(reply.header("content-encoding"), Some("gzip"));
        assert_eq!(reply.header("content-type"), Some("application/json"));
        assert_eq!(reply.header("vary"), Some("accept-encoding"));
        assert_eq!(reply.header("age"), Some("0"));
        assert_eq!(reply.header("cache-control"), Some("public, max-age=300"));
        assert_eq!(reply.header("set-cookie"), None, "one client's cookie");
        assert!(!reply.header("date").unwrap().contains("1970"));
    }
}

#[test]
fn upstreams_own_error_keeps_its_fields() {
    let upstream = answering_first(
        "HTTP/1.1 429 Too Many Requests\r\ncontent-type: text/plain\r\nretry-after: 7\r\n\
         x-ratelimit-reset-requests: 6m0s\r\nwww-authenticate: Basic\r\nx-named: 1\r\n\
         x-request-id: theirs\r\nx-holysheep-error: forged\r\nconnection: x-named\r\n\
         content-length: 4\r\n\r\nslow",
    );
    let rig = Rig::with(&upstream.config());
    let reply = rig.get(MODELS);
    assert_eq!((reply.status, reply.text().as_str()), (429, "slow"));
    assert_eq!(reply.error(), None, "{reply:?}");
    for (name, value) in [
        ("content-type", Some("text/plain")),
        ("retry-after", Some("7")),
        ("x-ratelimit-reset-requests", Some("6m0s")),
        ("www-authenticate", Some("Basic")),
        ("x-upstream-request-id", Some("theirs")),
        ("x-named", None),
        ("cache-control", None),
    ] {
        assert_eq!(reply.header(name), value, "{name}");
    }
    assert_ne!(reply.header("x-request-id"), Some("theirs"));
    assert_eq!(rig.get(MODELS).status, 200, "an error is not kept");
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
