//! A second request beside a first one that has no answer: only where that was asked for, and counted.

use serde_json::Value;

use crate::harness::endpoints::Endpoints;
use crate::harness::{CHAT, QUESTION, Rig, eventually};

const EMBEDDINGS: &str = "/v1/embeddings";
const TEXT: &str = r#"{"model":"text-embedding-3-small","input":"hello"}"#;
const HEDGE: &str = "routes: {/v1/embeddings: {hedge_after: 50ms}}\n";

fn hedged(result: &str) -> String {
    format!("holysheep_upstream_hedges_total{{upstream=\"holysheep\",result=\"{result}\"}}")
}

/// Asks until a request has met the endpoint that does not answer, and been answered by the other.
fn until_hedged(endpoints: &Endpoints) {
    eventually(|| {
        let reply = endpoints.rig.post(EMBEDDINGS, TEXT);
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.header("x-holysheep-attempts") == Some("2")
    });
}

#[test]
fn the_other_endpoint_answers_and_the_first_is_cancelled() {
    let endpoints = Endpoints::start(2, "min_idle: 2", HEDGE);
    endpoints.fault(0, "stall-before-headers");
    until_hedged(&endpoints);
    endpoints.rig.wait_metric(&hedged("won"), 1.0);
    let slow = endpoints.emulator(0);
    eventually(|| slow.stats().cancelled == slow.stats().requests && slow.stats().requests > 0);
    let is_second = |line: &Value| line["attempts"] == 2;
    eventually(|| endpoints.rig.log_lines().iter().any(is_second));
    let line = endpoints
        .rig
        .log_lines()
        .into_iter()
        .find(is_second)
        .unwrap();
    assert_eq!(line["retries"], serde_json::json!(["hedge"]), "{line}");
    assert_eq!(line["endpoint"], endpoints.emulator(1).addr().to_string());
}

#[test]
fn the_first_may_still_be_sooner() {
    let endpoints = Endpoints::start(2, "min_idle: 2", HEDGE);
    endpoints.fault(0, "stall-before-headers;ms=150");
    endpoints.fault(1, "stall-before-headers;ms=150");
    until_hedged(&endpoints);
    eventually(|| endpoints.rig.metric(&hedged("lost")) >= 1.0);
}

#[test]
fn a_second_that_fails_leaves_the_first() {
    let endpoints = Endpoints::start(2, "min_idle: 2", HEDGE);
    endpoints.fault(0, "stall-before-headers;ms=300");
    endpoints.fault(1, "500");
    eventually(|| {
        endpoints.rig.post(EMBEDDINGS, TEXT);
        endpoints.rig.metric(&hedged("failed")) >= 1.0
    });
}

#[test]
fn there_is_none_where_it_was_not_asked_for() {
    let endpoints = Endpoints::start(2, "min_idle: 2", HEDGE);
    for index in 0..2 {
        endpoints.fault(index, "stall-before-headers;ms=150");
    }
    let reply = endpoints.rig.post(CHAT, QUESTION);
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("x-holysheep-attempts"), None);
    assert_eq!(endpoints.requests().iter().sum::<u64>(), 1);
}

#[test]
fn there_is_none_without_another_endpoint() {
    let rig = Rig::with(HEDGE);
    let stall = [("x-emulator-fault", "stall-before-headers;ms=150")];
    let mut client = rig.client();
    let reply = client.request("POST", EMBEDDINGS, &stall, TEXT.as_bytes());
    assert_eq!(reply.status, 200);
    assert_eq!(rig.emulator.stats().requests, 1);
}

#[test]
fn seconds_are_budgeted() {
    let config = format!("{HEDGE}hedging: {{budget_percent: 0}}");
    let endpoints = Endpoints::start(2, "min_idle: 2", &config);
    for index in 0..2 {
        endpoints.fault(index, "stall-before-headers;ms=100");
    }
    // What there is at the start is spent first.
    eventually(|| {
        let reply = endpoints.rig.post(EMBEDDINGS, TEXT);
        assert_eq!(reply.status, 200);
        endpoints.rig.metric(&hedged("denied")) >= 1.0
    });
}
