//! One limit over several replicas, which count together in a real Redis, and what becomes of it without.

use std::time::Duration;

use crate::errors::assert_error;
use crate::harness::client::request;
use crate::harness::load::{Load, Outcome};
use crate::harness::redis::Redis;
use crate::harness::{CHAT, Client, QUESTION, Rig, eventually, soon_within};

const UP: &str = "holysheep_limits_redis_up";
const SHARES: &str = "holysheep_limits_decisions_total{by=\"share\"}";

/// A replica with these limits.
fn replica(redis: &Redis, limits: &str) -> Rig {
    let url = redis.url();
    let rig = Rig::builder()
        .workers(2)
        // A test machine may be busier than a request should wait for.
        .config(format!(
            "limits: {{per_client: {limits}, redis: {{url: '{url}', timeout: 500ms}}}}"
        ))
        .start();
    rig.wait_metric(UP, 1.0);
    rig
}

/// So many of them, which know of each other.
fn replicas<const N: usize>(redis: &Redis, limits: &str) -> [Rig; N] {
    let rigs = [(); N].map(|()| replica(redis, limits));
    for rig in &rigs {
        rig.wait_metric("holysheep_limits_replicas", N as f64);
    }
    rigs
}

/// Requests that could be had now.
fn remaining(rig: &Rig) -> f64 {
    rig.get("/v1/rate_limit").json()["remaining"]
        .as_f64()
        .unwrap()
}

#[test]
fn replicas_together_grant_one_limit() {
    const RATE: f64 = 50.0;
    const BURST: f64 = 30.0;
    let redis = Redis::start();
    let rigs: [_; 3] = replicas(&redis, "{requests_per_minute: 3000, burst: 30}");
    let load = Load::on(rigs.iter().map(Rig::data_addr));
    load.go_on(Duration::from_secs(3));
    let Outcome {
        answered,
        took,
        asked,
    } = load.end();
    assert!(answered <= BURST + RATE * took, "{answered} in {took} s");
    // What the last moment brought, and nobody has asked for, is still there.
    let all = answered + remaining(&rigs[0]);
    assert!(
        all >= 0.99 * (BURST + RATE * asked) - 3.0,
        "{all} in {asked} s"
    );
    for rig in &rigs {
        assert!(rig.metric("holysheep_limits_decisions_total{by=\"redis\"}") > 0.0);
        assert!(rig.metric(SHARES) < 0.5);
    }
}

#[test]
fn without_redis_each_replica_grants_its_share() {
    const RATE: f64 = 60.0;
    const BURST: f64 = 30.0;
    let mut redis = Redis::start();
    let rigs: [_; 3] = replicas(&redis, "{requests_per_minute: 3600, burst: 30}");
    let load = Load::on(rigs.iter().map(Rig::data_addr));
    load.go_on(Duration::from_secs(1));
    redis.kill();
    for rig in &rigs {
        rig.wait_metric(UP, 0.0);
        eventually(|| rig.metric(SHARES) > 0.0);
    }
    load.go_on(Duration::from_secs(2));
    redis.restart();
    for rig in &rigs {
        rig.wait_metric(UP, 1.0);
    }
    let shares = || rigs.iter().map(|rig| rig.metric(SHARES)).sum::<f64>();
    let before = shares();
    load.go_on(Duration::from_secs(1));
    // Any status but 200 and 429 has failed its client.
    let Outcome {
        answered,
        took,
        asked,
    } = load.end();
    assert!(
        answered <= BURST + RATE * took + 3.0,
        "{answered} in {took} s"
    );
    let all = answered + remaining(&rigs[0]);
    assert!(all >= 0.8 * (BURST + RATE * asked), "{all} in {asked} s");
    assert!((shares() - before).abs() < 0.5, "it is asked again");
}

#[test]
fn what_one_replica_has_granted_the_others_know() {
    let redis = Redis::start();
    let limits = "{requests_per_minute: 60, burst: 10, tokens_per_minute: 60, token_burst: 5000, concurrent: 2}";
    let [one, other] = replicas(&redis, limits);
    let reply = one.post(CHAT, QUESTION);
    let used = reply.json()["usage"]["total_tokens"].as_u64().unwrap();
    let left = |rig: &Rig, what: &str| rig.get("/v1/rate_limit").json()[what]["remaining"].as_u64();
    assert!(left(&other, "requests").unwrap() <= 9);
    eventually(|| left(&other, "tokens").unwrap() >= 5000 - used);
    let stalled = |rig: &Rig| {
        let mut client = rig.client();
        let fields = [("x-emulator-fault", "stall-before-headers")];
        client.send(request("POST", CHAT, &fields, QUESTION.as_bytes()));
        rig.wait_stats(|stats| stats.in_flight == 1);
        client
    };
    let two = [stalled(&one), stalled(&other)];
    assert_eq!(left(&one, "concurrent"), Some(0));
    let reply = other.post(CHAT, QUESTION);
    assert_error(&reply, CHAT, 429, "rate_limit_exceeded");
    two.into_iter().for_each(Client::reset);
    eventually(|| left(&one, "concurrent") == Some(2));
    assert_eq!(one.post(CHAT, QUESTION).status, 200);
}

#[test]
fn a_redis_with_a_password() {
    let redis = Redis::with(&["--requirepass", "not-shown-anywhere"]);
    let start = |password: &'static str| {
        let url = redis.url();
        Rig::builder()
            .edit(move |file, directory, _| {
                let redis = &mut file.limits.redis;
                redis.url = Some(url);
                redis.password_file = Some(directory.write("password", password));
            })
            .config("limits: {per_client: {requests_per_minute: 60, burst: 1}}")
            .start()
    };
    let rig = start("not-shown-anywhere\n");
    rig.wait_metric(UP, 1.0);
    for path in ["/config", "/status", "/metrics", "/"] {
        assert!(!rig.admin(path).text().contains("not-shown"), "{path}");
    }
    // With another one it limits by itself.
    let rig = start("wrong");
    assert!(!soon_within(Duration::from_secs(1), || rig.metric(UP) > 0.0));
    assert_eq!(rig.post(CHAT, QUESTION).status, 200);
    assert_eq!(rig.post(CHAT, QUESTION).status, 429);
    assert!((rig.metric(SHARES) - 2.0).abs() < f64::EPSILON);
}

#[test]
fn a_worker_goes_on_while_a_request_waits_for_redis() {
    let redis = Redis::start();
    let url = redis.url();
    let rig = Rig::builder()
        .workers(1)
        .config(format!(
            "limits: {{per_client: {{requests_per_minute: 60}}, redis: {{url: '{url}', timeout: 1s}}}}"
        ))
        .start();
    let unanswered = || rig.metric("holysheep_limits_decisions_total{by=\"unanswered\"}");
    // On a machine that is busy enough, the second may have to wait for longer than the first does.
    eventually(|| {
        rig.wait_metric(UP, 1.0);
        let before = unanswered();
        redis.freeze();
        let mut waits = rig.client();
        waits.send(request("POST", CHAT, &[], QUESTION.as_bytes()));
        rig.wait_metric("holysheep_http_requests_in_flight", 1.0);
        assert_eq!(rig.get("/health").status, 200);
        let went_on = (unanswered() - before).abs() < f64::EPSILON;
        redis.thaw();
        assert_eq!(waits.reply().status, 200);
        went_on
    });
}
