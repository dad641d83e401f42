//! How much clients may ask for: requests, tokens and requests at a time, and what they are told of it.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use holysheep_emulator::FaultScope;
use serde_json::Value;

use crate::errors::assert_error;
use crate::harness::clients::{Keyed, write};
use crate::harness::{CHAT, Client, MESSAGES, QUESTION, Reply, Rig, eventually};

const REFUSED: &str = "rate_limit_exceeded";

fn refused(rig: &Rig, limit: &str) -> f64 {
    let labels = format!("client=\"anonymous\",limit=\"{limit}\"");
    rig.metric(&format!("holysheep_rate_limited_total{{{labels}}}"))
}

fn number(reply: &Reply, field: &str) -> u64 {
    let value = reply
        .header(field)
        .unwrap_or_else(|| panic!("{field}: {reply:?}"));
    value.parse().unwrap()
}

fn left(rig: &Rig) -> Value {
    let reply = rig.get("/v1/rate_limit");
    assert_eq!(reply.status, 200);
    reply.json()
}

#[test]
fn without_limits_upstreams_own_are_passed_on() {
    let rig = Rig::start();
    let reply = rig.post(CHAT, QUESTION);
    assert_eq!(reply.header("x-ratelimit-limit-requests"), Some("10000"));
    let left = left(&rig);
    for name in [
        "limit",
        "remaining",
        "reset",
        "requests",
        "tokens",
        "concurrent",
    ] {
        assert_eq!(left.get(name), Some(&Value::Null), "{left}");
    }
    assert_eq!(rig.admin("/status").json()["limits"], serde_json::json!([]));
}

#[test]
fn a_burst_is_answered_at_once_and_no_more() {
    let rig = Rig::with("limits: {per_client: {requests_per_minute: 60, burst: 3}}");
    for remaining in (0..3).rev() {
        let reply = rig.post(CHAT, QUESTION);
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(number(&reply, "x-ratelimit-limit-requests"), 60);
        // One comes back a second, and the test may be slow.
        assert!(number(&reply, "x-ratelimit-remaining-requests") >= remaining);
        // Upstream's are about the account that all share.
        assert_eq!(reply.header("x-ratelimit-limit-tokens"), None);
    }
    let mut reply = rig.post(CHAT, QUESTION);
    let before = Instant::now();
    // Those that were answered took less than a second each, or there is no refusal to be seen.
    for _ in 0..10 {
        if reply.status != 200 {
            break;
        }
        reply = rig.post(CHAT, QUESTION);
    }
    assert_error(&reply, CHAT, 429, REFUSED);
    assert_eq!(reply.json()["error"]["type"], "requests");
    assert_eq!(number(&reply, "retry-after"), 1);
    let millis = number(&reply, "retry-after-ms");
    assert!((1..=1000).contains(&millis), "{millis}");
    assert_eq!(number(&reply, "x-ratelimit-remaining-requests"), 0);
    let reset = reply.header("x-ratelimit-reset-requests").unwrap();
    assert!(reset.ends_with('s'), "{reset}");
    let answered = rig.emulator.stats().requests;
    assert!(refused(&rig, "requests") >= 1.0);
    // Whoever waits as long as it was told is answered.
    eventually(|| before.elapsed() > Duration::from_millis(millis + 5));
    assert_eq!(rig.post(CHAT, QUESTION).status, 200);
    assert_eq!(rig.emulator.stats().requests, answered + 1);
}

#[test]
fn refusals_have_the_dialect_of_their_path() {
    let rig = Rig::with("limits: {per_client: {requests_per_minute: 1, burst: 1}}");
    assert_eq!(rig.post(CHAT, QUESTION).status, 200);
    let reply = rig.post(MESSAGES, QUESTION);
    assert_eq!(reply.status, 429);
    assert_eq!(reply.json()["error"]["type"], "rate_limit_error");
    assert_eq!(reply.error(), Some(REFUSED));
    assert_error(&rig.get("/v1/models"), "/v1/models", 429, REFUSED);
    rig.wait_rejected(REFUSED, 2);
    // What the proxy answers itself is not limited.
    assert_eq!(rig.get("/health").status, 200);
    let left = left(&rig);
    assert_eq!(
        (&left["limit"], &left["remaining"]),
        (&Value::from(1), &Value::from(0))
    );
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let reset = left["reset"].as_u64().unwrap();
    let now = now.unwrap().as_secs();
    assert!((now..now + 62).contains(&reset), "{reset} at {now}");
    let status = rig.admin("/status").json();
    assert_eq!(status["limits"][0]["client"], "anonymous");
    assert_eq!(status["limits"][0]["refused"][0]["count"], 2);
}

/// Asks until the time is over; how often it was answered.
fn hammer(address: SocketAddr, until: Instant) -> u64 {
    let mut client = Client::connect(address);
    let mut answered = 0;
    while Instant::now() < until {
        let reply = client.request("POST", CHAT, &[], QUESTION.as_bytes());
        match reply.status {
            200 => answered += 1,
            status => assert_eq!(status, 429),
        }
    }
    answered
}

#[test]
fn workers_share_one_limit() {
    const RATE: f64 = 50.0;
    const BURST: f64 = 20.0;
    for workers in [1, 4] {
        let rig = Rig::builder()
            .workers(workers)
            .config("limits: {per_client: {requests_per_minute: 3000, burst: 20}}")
            .start();
        let address = rig.data_addr();
        let begun = Instant::now();
        let until = begun + Duration::from_secs(2);
        let clients: Vec<_> = (0..16)
            .map(|_| thread::spawn(move || hammer(address, until)))
            .collect();
        let answered: u64 = clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .sum();
        let took = begun.elapsed().as_secs_f64();
        let answered = f64::from(u32::try_from(answered).unwrap());
        assert!(answered <= BURST + RATE * took, "{answered} in {took} s");
        // What the last moment brought, and nobody has asked for, is still there.
        let all = answered + left(&rig)["remaining"].as_f64().unwrap();
        assert!(
            all >= 0.99 * (BURST + RATE * took) - 1.0,
            "{all} in {took} s"
        );
        assert!(refused(&rig, "requests") > 0.0);
    }
}

#[test]
fn parallel_streams_cannot_slip_past_a_limit_of_tokens() {
    const RATE: f64 = 10.0;
    const BURST: f64 = 1000.0;
    let rig = Rig::builder()
        .workers(4)
        .config("limits: {per_client: {tokens_per_minute: 600, token_burst: 1000}}")
        .start();
    let body = r#"{"model":"m","stream":true,"max_tokens":40,
        "messages":[{"role":"user","content":"hello"}]}"#;
    let address = rig.data_addr();
    let begun = Instant::now();
    let clients: Vec<_> = (0..200)
        .map(|_| {
            thread::spawn(move || {
                let fields = [("content-type", "application/json")];
                Client::connect(address)
                    .request("POST", CHAT, &fields, body.as_bytes())
                    .status
            })
        })
        .collect();
    let statuses = clients.into_iter().map(|client| client.join().unwrap());
    let answered = statuses.filter(|status| *status == 200).count();
    let took = begun.elapsed().as_secs_f64();
    let lines = rig.wait_log(200);
    let used = lines
        .iter()
        .filter(|line| line["status"] == 200)
        .map(|line| {
            let usage = &line["usage"];
            assert_eq!(usage["source"], "reported", "{line}");
            usage["input"].as_f64().unwrap() + usage["output"].as_f64().unwrap()
        });
    let used: f64 = used.sum();
    let estimate = 100.0;
    assert!(used <= BURST + RATE * took + estimate, "{used} in {took} s");
    assert!(answered >= 10, "{answered}");
    assert!(refused(&rig, "tokens") >= 100.0);
    assert_eq!(rig.emulator.stats().billed, answered as u64);
}

#[test]
fn what_a_request_has_used_is_settled() {
    let rig = Rig::with("limits: {per_client: {tokens_per_minute: 1, token_burst: 5000}}");
    let remaining = || left(&rig)["tokens"]["remaining"].as_u64().unwrap();
    let reply = rig.post(CHAT, QUESTION);
    let usage = &reply.json()["usage"];
    let used = usage["total_tokens"].as_u64().unwrap();
    eventually(|| remaining() >= 5000 - used);
    assert!(remaining() <= 5000 - used + 1);
    // Before it was known, the request stood for as many tokens as an answer is expected to have.
    assert!(
        number(&reply, "x-ratelimit-remaining-tokens") < 4010,
        "{reply:?}"
    );
    // Of one that upstream has not had, all is given back; of one that it has refused, too.
    for fault in ["reset-on-accept", "429"] {
        let reply = rig.faulty(fault);
        assert!(reply.status >= 400, "{reply:?}");
        eventually(|| remaining() >= 5000 - used);
    }
    rig.fault("stall-before-headers", FaultScope::Next(1));
    let mut client = rig.client();
    client.send(crate::harness::client::request(
        "POST",
        CHAT,
        &[],
        QUESTION.as_bytes(),
    ));
    rig.wait_stats(|stats| stats.requests >= 3 && stats.in_flight == 1);
    client.reset();
    // What became of it is known to nobody: it keeps what it has taken.
    rig.wait_metric(
        "holysheep_client_requests_in_flight{client=\"anonymous\"}",
        0.0,
    );
    assert!(remaining() < 4000);
}

#[test]
fn requests_at_a_time() {
    let rig = Rig::with("limits: {per_client: {concurrent: 2}}");
    let stalled = || {
        let mut client = rig.client();
        let fields = [("x-emulator-fault", "stall-before-headers")];
        client.send(crate::harness::client::request(
            "POST",
            CHAT,
            &fields,
            QUESTION.as_bytes(),
        ));
        client
    };
    let two = [stalled(), stalled()];
    rig.wait_stats(|stats| stats.in_flight == 2);
    rig.wait_metric(
        "holysheep_client_requests_in_flight{client=\"anonymous\"}",
        2.0,
    );
    let reply = rig.post(CHAT, QUESTION);
    assert_error(&reply, CHAT, 429, REFUSED);
    assert_eq!(number(&reply, "retry-after"), 1);
    assert_eq!(left(&rig)["concurrent"]["remaining"], 0);
    assert!((refused(&rig, "concurrent") - 1.0).abs() < f64::EPSILON);
    two.into_iter().for_each(Client::reset);
    eventually(|| rig.post(CHAT, QUESTION).status == 200);
}

#[test]
fn clients_have_limits_of_their_own() {
    let small = r#""limits": {"requests_per_minute": 1, "burst": 2, "concurrent": 1}"#;
    let [one, other, most] =
        [("one", small), ("other", small), ("most", "")].map(|(name, more)| Keyed::new(name, more));
    let rig = Rig::builder()
        .config("limits: {per_client: {tokens_per_minute: 100000}}")
        .clients(&[&one, &other, &most])
        .start();
    let ask = |client: &Keyed, path: &str| {
        let bearer = client.bearer();
        let fields = [("authorization", bearer.as_str())];
        let body = match path {
            CHAT => QUESTION,
            _ => "",
        };
        let method = if body.is_empty() { "GET" } else { "POST" };
        rig.client().request(method, path, &fields, body.as_bytes())
    };
    for _ in 0..2 {
        assert_eq!(ask(&one, CHAT).status, 200);
    }
    assert_error(&ask(&one, CHAT), CHAT, 429, REFUSED);
    assert_eq!(ask(&other, CHAT).status, 200);
    // The article's limits hold where nothing else is said.
    let reply = ask(&most, CHAT);
    assert_eq!(number(&reply, "x-ratelimit-limit-requests"), 1000);
    assert_eq!(number(&reply, "x-ratelimit-limit-tokens"), 100_000);
    let left = ask(&other, "/v1/rate_limit").json();
    assert_eq!((&left["limit"], &left["remaining"]), (&1.into(), &1.into()));
    assert_eq!(left["tokens"]["limit"], 100_000);
    let limited = "holysheep_rate_limited_total{client=\"one\",limit=\"requests\"}";
    rig.wait_metric(limited, 1.0);
    let status = rig.admin("/status").json();
    let names = status["limits"].as_array().unwrap().iter();
    let names: Vec<_> = names.map(|one| one["client"].as_str().unwrap()).collect();
    assert_eq!(names, ["most", "one", "other"]);
    // A new file does not make anybody forget, and takes effect at once.
    rig.wait_watching();
    let other = other.with(r#""limits": {"requests_per_minute": 0}"#);
    write(&rig.directory, &[&one, &other]);
    eventually(|| ask(&most, CHAT).status == 401);
    assert_eq!(ask(&one, CHAT).status, 429);
    for _ in 0..5 {
        assert_eq!(ask(&other, CHAT).status, 200);
    }
}
