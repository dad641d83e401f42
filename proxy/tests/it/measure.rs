//! `measure`: what it sends, and what it makes of the answers.

mod ends;
mod output;

use std::collections::BTreeSet;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use holysheep_emulator::{FaultScope, Profile};
use serde_json::{Value, json};

use crate::harness::program::{command, text};
use crate::harness::{EMULATOR_KEY, QUESTION, Rig};

/// How long the emulator thinks.
const THOUGHT_MS: f64 = 20.0;

/// A rig whose proxy says what it knows of a request's time.
fn thinking() -> Rig {
    let profile = Profile::Fixed(Duration::from_secs_f64(THOUGHT_MS / 1e3));
    Rig::builder()
        .config("timing_header: true")
        .emulator(move |emulator| emulator.profile(profile))
        .start()
}

/// The command with `direct`, and whatever is added.
fn directly(rig: &Rig, args: &[&str]) -> Command {
    let ca = rig.emulator.authority().unwrap().ca_pem();
    let ca = rig.directory.write("measure-ca.pem", ca);
    let key = rig.directory.write("measure-key", EMULATOR_KEY);
    let mut command = command(["measure"]);
    command
        .arg(format!("--target=direct={}", rig.emulator.base_url()))
        .arg(format!("--api-key-file=direct={}", key.display()))
        .arg("--ca-file")
        .arg(ca)
        .args(args);
    command
}

/// The target `proxy`, and that it gets no key.
fn proxy(rig: &Rig) -> [String; 2] {
    let url = format!("--target=proxy=http://{}/v1", rig.data_addr());
    [url, "--api-key-file=proxy=".to_owned()]
}

/// Ends with this code and shows the key to nobody.
#[track_caller]
fn ends(command: &mut Command, code: i32) -> Output {
    let output = command.output().unwrap();
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| text(bytes));
    assert_eq!(output.status.code(), Some(code), "{out}{err}");
    assert!(!out.contains(EMULATOR_KEY) && !err.contains(EMULATOR_KEY));
    assert!(
        !err.contains('\x1b') && !err.contains('\r'),
        "no terminal: {err:?}"
    );
    output
}

#[track_caller]
fn parsed(command: &mut Command, code: i32) -> Value {
    let output = ends(command.arg("--format=json"), code);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[track_caller]
fn number(value: &Value) -> f64 {
    match value.as_f64() {
        Some(number) => number,
        None => panic!("{value} is no number"),
    }
}

#[test]
fn both_ways_are_measured_side_by_side() {
    let rig = thinking();
    let few = ["--samples=20", "--rate=40", "--warm-up=2", "--handshakes=3"];
    let report = parsed(directly(&rig, &few).args(proxy(&rig)), 0);
    assert_eq!(report["verdict"], "none");
    assert_eq!(report["samples"], 20);
    for target in [&report["targets"][0], &report["targets"][1]] {
        assert_eq!(
            (&target["sent"], &target["good"]),
            (&json!(20), &json!(20)),
            "{target}"
        );
        assert_eq!(
            (&target["errors"], &target["from_cache"]),
            (&json!({}), &json!(0))
        );
        let times = &target["latency_ms"];
        let rising = ["min", "p50", "p95", "p99", "max"].map(|key| number(&times[key]));
        assert!(rising.is_sorted() && rising[0] >= THOUGHT_MS, "{times}");
        assert!(number(&times["mean"]) >= THOUGHT_MS && number(&times["mean"]) <= rising[4]);
        assert!(
            number(&target["first_byte_ms"]["min"]) >= THOUGHT_MS,
            "{target}"
        );
        let handshake = &target["handshake_ms"];
        assert_eq!(
            (&handshake["failed"], &handshake["connect"]["count"]),
            (&json!(0), &json!(3))
        );
        assert!(
            number(&target["kernel"]["min_rtt_ms"]) < number(&times["min"]),
            "{target}"
        );
    }
    let [direct, proxy] = [&report["targets"][0], &report["targets"][1]];
    assert_eq!(direct["handshake_ms"]["dns"]["count"], 3);
    assert_eq!(direct["handshake_ms"]["tls"]["count"], 3);
    // An address, and no TLS.
    assert_eq!(proxy["handshake_ms"]["dns"], Value::Null);
    assert_eq!(proxy["handshake_ms"]["tls"], Value::Null);
    assert!(
        number(&direct["share_ms"]["rest"]) >= THOUGHT_MS - 1.0,
        "{direct}"
    );
    // Without kernel programs the proxy knows its round trip and no more.
    assert!(
        number(&proxy["share_ms"]["rest"]) >= THOUGHT_MS - 1.0,
        "{proxy}"
    );
    assert_eq!(direct["against_first"], Value::Null);
    let against = &proxy["against_first"];
    assert_eq!(
        (&against["first"], &against["rounds"]),
        (&json!("direct"), &json!(20))
    );
    for spread in ["mean_ms", "p95_ms", "p99_ms"].map(|key| &against[key]) {
        let [low, high] = ["low", "high"].map(|key| number(&spread[key]));
        assert_eq!(spread["seen"], low > 0.0 || high < 0.0, "{spread}");
    }
    // All of them went to upstream, and cost nothing.
    rig.wait_stats(|stats| stats.requests == 2 * (20 + 2));
    assert_eq!(rig.emulator.stats().billed, 0);
    rig.wait_metric(
        r#"holysheep_http_requests_total{route="/v1/models",status="200"}"#,
        22.0,
    );
}

#[test]
fn connections_are_kept_and_requests_are_what_an_sdk_sends() {
    let rig = Rig::start();
    let few = [
        "--samples=30",
        "--rate=100",
        "--warm-up=5",
        "--handshakes=0",
    ];
    parsed(&mut directly(&rig, &few), 0);
    let requests = rig.emulator.requests();
    assert_eq!(requests.len(), 35);
    let connections: BTreeSet<_> = requests.iter().map(|request| request.connection).collect();
    assert!(connections.len() < 20, "{connections:?}");
    let request = requests.last().unwrap();
    assert_eq!(request.path_and_query, "/v1/models?limit=1");
    let bearer = format!("Bearer {EMULATOR_KEY}");
    assert_eq!(request.header("authorization"), Some(bearer.as_str()));
    let name = format!("holysheep-proxy/{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(request.header("user-agent"), Some(name.as_str()));
}

#[test]
fn an_answer_from_memory_is_not_taken_for_upstreams() {
    let rig = Rig::start();
    let few = [
        "--samples=5",
        "--rate=50",
        "--handshakes=0",
        "--path=/v1/models",
    ];
    let report = parsed(directly(&rig, &few).args(proxy(&rig)), 0);
    let [direct, proxied] = [&report["targets"][0], &report["targets"][1]];
    assert_eq!(
        (&direct["from_cache"], &proxied["from_cache"]),
        (&json!(0), &json!(5))
    );
    let output = ends(directly(&rig, &few).args(proxy(&rig)), 0);
    let table = text(&output.stdout);
    assert!(
        table.contains("proxy: 5 answers came out of a cache"),
        "{table}"
    );
}

#[test]
fn it_sends_at_its_rate_and_waits_for_nobody() {
    let rig = Rig::start();
    let stall = "stall-before-headers;ms=2000".parse().unwrap();
    rig.emulator.set_fault(stall, FaultScope::Next(1)).unwrap();
    let begun = SystemTime::now();
    let few = ["--samples=40", "--rate=40", "--warm-up=0", "--handshakes=0"];
    let report = parsed(&mut directly(&rig, &few), 0);
    // The last one is due in the last of forty 25 ms.
    let requests = rig.emulator.requests();
    let last = requests
        .iter()
        .map(|request| request.received_unix_ns)
        .max();
    let last = UNIX_EPOCH + Duration::from_nanos(last.unwrap());
    let passed = last.duration_since(begun).unwrap();
    assert!(passed >= Duration::from_millis(39 * 25), "{passed:?}");
    let target = &report["targets"][0];
    assert_eq!(target["good"], 40);
    assert!(number(&target["latency_ms"]["max"]) >= 2000.0, "{target}");
    // Whoever waits for the first answer would be late with all others.
    assert!(number(&target["latency_ms"]["p50"]) < 1000.0, "{target}");
    assert_eq!(rig.emulator.stats().requests, 40);
}

#[test]
fn a_body_is_posted() {
    let rig = Rig::start();
    let body = rig.directory.write("question.json", QUESTION);
    let mut command = directly(&rig, &["--samples=3", "--rate=50", "--warm-up=1"]);
    let command = command.args(["--handshakes=0", "--path=/v1/chat/completions", "--body"]);
    let report = parsed(command.arg(body), 0);
    assert_eq!(report["request"]["method"], "POST");
    assert_eq!(report["request"]["body_bytes"], QUESTION.len());
    let requests = rig.emulator.requests();
    assert_eq!(requests.len(), 4);
    assert_eq!(requests[0].body, QUESTION);
    assert_eq!(requests[0].header("content-type"), Some("application/json"));
    assert_eq!(rig.emulator.stats().billed, 4);
}

#[test]
fn the_key_may_be_in_the_environment() {
    let rig = Rig::start();
    let ca = rig
        .directory
        .write("ca.pem", rig.emulator.authority().unwrap().ca_pem());
    let key = rig.directory.write("key", EMULATOR_KEY);
    for (variable, value) in [
        ("HOLYSHEEP_API_KEY", EMULATOR_KEY),
        ("HOLYSHEEP_API_KEY_FILE", key.to_str().unwrap()),
    ] {
        let mut with_key = command(["measure", "--samples=2", "--rate=50", "--ca-file"]);
        let with_key = with_key.arg(&ca).env(variable, value);
        let with_key = with_key.arg(format!("--target=a={}", rig.emulator.base_url()));
        assert_eq!(parsed(with_key, 0)["targets"][0]["good"], 2, "{variable}");
    }
}
