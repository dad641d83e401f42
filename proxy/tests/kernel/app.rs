//! The whole proxy with its kernel programs: what it tells of a request in the log, the response, `/metrics` and
//! `/status`, against what the client measured and the emulator waited.

use std::process::Command;
use std::time::Duration;

use holysheep_emulator::{Emulator, Profile};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
use serde_json::Value;

use crate::lab::{self, Lab};
use crate::proxy::{self, Directory, Proxy, Reply, sample};
use crate::{Outcome, privileges};

/// How long upstream thinks.
pub(crate) fn thinks() -> Duration {
    // An emulated processor writes a request within milliseconds, now and then tens of them, which must not be more than
    // one percent.
    if lab::is_emulated() {
        Duration::from_secs(3)
    } else {
        Duration::from_millis(50)
    }
}

/// On one connection of the client's, and one to upstream.
const REQUESTS: usize = 3;

pub(crate) const ROUTE: &str = "/v1/chat/completions";
const QUESTION: &[u8] = br#"{"model":"m","messages":[{"role":"user","content":"x"}]}"#;
const ASKS: &str = "x-holysheep-timing: 1\r\n";

/// Nothing is dialled but what a request waits for: so it is known how many connections there are.
const SETTINGS: &str = "timing_header: true\nupstream: {min_idle: 0}";

/// The five numbers of a log line; `None` is `null`.
const NUMBERS: [&str; 5] = [
    "connect_us",
    "rtt_us",
    "first_byte_us",
    "wakeup_lag_us",
    "retransmits",
];

fn numbers(line: &Value) -> [Option<u64>; 5] {
    let kernel = line["kernel"].as_object().unwrap();
    assert_eq!(kernel.len(), NUMBERS.len(), "{line}");
    NUMBERS.map(|name| {
        let value = &kernel[name];
        assert!(value.is_u64() || value.is_null(), "{name} in {line}");
        value.as_u64()
    })
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap()
}

fn emulator() -> Emulator {
    let builder = Emulator::builder().profile(Profile::Fixed(thinks()));
    builder.start_blocking().unwrap()
}

pub(crate) fn told(lab: &Lab) -> Outcome {
    let emulator = emulator();
    let proxy = Proxy::start(&emulator, SETTINGS);
    let mut client = proxy.client();
    let replies: Vec<Reply> = (0..REQUESTS)
        .map(|_| client.request("POST", ROUTE, ASKS, QUESTION))
        .collect();
    let health = proxy.client().request("GET", "/health", ASKS, b"");
    assert_eq!((health.status, health.field("server-timing")), (200, None));

    let lines = proxy.log(REQUESTS + 1);
    let mut first_bytes = 0;
    for (line, reply) in lines.iter().zip(&replies) {
        assert_eq!(reply.status, 200, "{}", reply.body);
        first_bytes += plausible(line, reply);
    }
    let connects = lines.iter().take(REQUESTS).map(|line| numbers(line)[0]);
    let connects: Vec<_> = connects.collect();
    assert!(
        connects.iter().all(|connect| *connect == connects[0]),
        "one connection has one connect time: {connects:?}"
    );
    // The first request waited for the connection, TLS included.
    let waited = lines[0]["uct"].as_f64().unwrap() * 1e6;
    assert!(connects[0].unwrap() as f64 <= waited, "{}", lines[0]);
    assert_eq!(numbers(&lines[REQUESTS]), [None; 5], "{}", lines[REQUESTS]);

    let stats = emulator.stats();
    assert_eq!(
        (stats.connections_accepted, stats.requests),
        (1, REQUESTS as u64),
        "{stats:?}"
    );
    metrics(&proxy.admin("/metrics"), first_bytes);
    attached(&proxy, lab);
    Ok(())
}

/// All five are there, agree with what the client saw, and are those it was sent. Returns the first byte's.
fn plausible(line: &Value, reply: &Reply) -> u64 {
    let all = numbers(line);
    println!("  client {:?}: {}", reply.head_came, line["kernel"]);
    let [connect, rtt, first_byte, lag, retransmits] =
        all.map(|number| number.unwrap_or_else(|| panic!("not everything is known: {line}")));
    let client = micros(reply.head_came);
    assert!(first_byte >= micros(thinks()), "{line}");
    // The client waited for more than that, and knows nothing of the kernel's clock.
    assert!(first_byte + lag <= client, "{line}, client {client} µs");
    // No packet on loopback takes none of them, nor longer than the request it belongs to.
    assert!((1..client).contains(&rtt), "{line}");
    assert!((1..1_000_000).contains(&connect), "{line}");
    assert_eq!(retransmits, 0, "nothing is lost on loopback: {line}");
    assert_eq!(
        reply.field("server-timing"),
        Some(server_timing(all).as_str()),
        "{line}"
    );
    first_byte
}

/// The field's value for a log line's numbers.
fn server_timing([connect, rtt, first_byte, lag, retransmits]: [Option<u64>; 5]) -> String {
    let times = [
        ("connect", connect),
        ("rtt", rtt),
        ("first_byte", first_byte),
        ("wakeup_lag", lag),
    ];
    let times = times.iter().map(|(name, micros)| {
        let micros = micros.unwrap();
        format!("{name};dur={}.{:03}", micros / 1000, micros % 1000)
    });
    let retransmits = format!("retransmits;desc=\"{}\"", retransmits.unwrap());
    times.chain([retransmits]).collect::<Vec<_>>().join(", ")
}

/// The series of `/metrics` count what was done.
fn metrics(text: &str, first_bytes: u64) {
    let attached = [
        ("socket_timing", Some(1.0)),
        ("payload_timing", Some(1.0)),
        // Without sources of probes nobody wants it.
        ("probe_steering", None),
    ];
    for (program, runs) in attached {
        let name = format!("holysheep_kernel_program_attached{{program=\"{program}\"}}");
        assert_eq!(sample(text, &name), runs, "{text}");
    }
    let upstream = r#"upstream="holysheep",source="ebpf""#;
    let data = r#"listener="data",source="ebpf""#;
    let requests = REQUESTS as f64;
    let [connect, rtt, first_byte, _, _] = [
        ("connect", upstream, Some(1.0)),
        // About one for each acknowledgement.
        ("rtt", upstream, None),
        ("first_byte", upstream, Some(requests)),
        ("wakeup_lag", upstream, Some(requests)),
        // One connection for the requests, one for `/health`; the admin port is not among them.
        ("accept_queue", data, Some(2.0)),
    ]
    .map(|(name, labels, expected)| histogram(text, name, labels, expected));
    assert!(rtt.0 >= requests, "{} round trips", rtt.0);
    // Each logged number has less than a microsecond cut off.
    let logged = first_bytes as f64 / 1e6;
    let cut_off = requests / 1e6;
    assert!(
        (logged..=logged + cut_off).contains(&first_byte.1),
        "{} s in the metrics, {logged} s in the log",
        first_byte.1
    );
    assert!(connect.1 < 1.0, "{} s", connect.1);
    let retransmits = format!("holysheep_kernel_retransmits_total{{{upstream}}}");
    assert_eq!(sample(text, &retransmits), Some(0.0), "{text}");
    let failures = format!("holysheep_kernel_connect_failures_total{{{upstream}}}");
    assert_eq!(sample(text, &failures), Some(0.0), "{text}");
    for absent in [r#"source="tcp_info""#, r#"listener="data_tls""#] {
        assert!(!text.contains(absent), "{absent} in {text}");
    }
}

/// Count and sum of a histogram whose parts agree.
fn histogram(text: &str, name: &str, labels: &str, expected: Option<f64>) -> (f64, f64) {
    let name = format!("holysheep_kernel_{name}_seconds");
    let part = |suffix: &str, labels: &str| {
        let sample_name = format!("{name}_{suffix}{{{labels}}}");
        sample(text, &sample_name).unwrap_or_else(|| panic!("no {sample_name} in {text}"))
    };
    let (count, sum) = (part("count", labels), part("sum", labels));
    println!("  {name} count {count}, sum {sum}");
    let all = part("bucket", &format!("le=\"+Inf\",{labels}"));
    assert!((all - count).abs() < f64::EPSILON, "{name}: {all} {count}");
    assert!(sum > 0.0, "{name}");
    if let Some(expected) = expected {
        assert!((count - expected).abs() < f64::EPSILON, "{name}: {count}");
    }
    (count, sum)
}

/// The status, and its page, say where the programs are.
fn attached(proxy: &Proxy, lab: &Lab) {
    let kernel = &proxy.status()["kernel"];
    for (number, name) in ["socket_timing", "payload_timing"].iter().enumerate() {
        let program = &kernel["programs"][number];
        assert_eq!(program["name"], *name, "{kernel}");
        assert_eq!(program["attached"], true, "{kernel}");
        assert_eq!(program["reasons"], Value::Array(Vec::new()), "{kernel}");
    }
    let cgroup = kernel["cgroup"].as_str().unwrap();
    assert_eq!(std::path::Path::new(cgroup), lab.cgroup);
    println!("  capabilities {}", kernel["capabilities"]);
    assert!(kernel["capabilities"].is_string(), "{kernel}");
    let page = proxy.admin("/");
    let runs = "socket_timing runs, payload_timing runs";
    assert!(page.contains(runs), "{page}");
}

/// Upstream's port is closed: the kernel counts what the proxy counts.
pub(crate) fn failures(_: &Lab) -> Outcome {
    let emulator = emulator();
    let proxy = Proxy::start(&emulator, SETTINGS);
    emulator.stop_accepting();
    let reply = proxy.client().request("POST", ROUTE, ASKS, QUESTION);
    assert_eq!(reply.status, 502, "{}", reply.body);
    // The proxy goes on trying, so the number is between two readings of its own.
    let own = || proxy.status()["upstream"]["connect_failures"].as_f64();
    let before = own().unwrap();
    let text = proxy.admin("/metrics");
    let after = own().unwrap();
    let upstream = r#"upstream="holysheep",source="ebpf""#;
    let name = format!("holysheep_kernel_connect_failures_total{{{upstream}}}");
    let counted = sample(&text, &name).unwrap();
    println!("  {counted} failures, of which the proxy knew {before} to {after}");
    assert!(before >= 1.0);
    // One may have failed that the proxy has not yet been told of.
    assert!((before..=after + 1.0).contains(&counted));
    let connects = format!("holysheep_kernel_connect_seconds_count{{{upstream}}}");
    assert_eq!(sample(&text, &connects), Some(0.0), "{text}");
    // Of a request that never left, nothing is known but that.
    assert_eq!(numbers(&proxy.log(1)[0]), [None; 5]);
    Ok(())
}

/// Requests over h2 share a connection, so nothing is said of them, and above all not zero.
pub(crate) fn multiplexed(_: &Lab) -> Outcome {
    let emulator = emulator();
    let settings = "timing_header: true\nupstream: {protocol: http2, min_idle: 0}";
    let proxy = Proxy::start(&emulator, settings);
    let reply = proxy.client().request("POST", ROUTE, ASKS, QUESTION);
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(reply.field("server-timing"), None);
    assert_eq!(numbers(&proxy.log(1)[0]), [None; 5]);
    let text = proxy.admin("/metrics");
    for absent in ["first_byte", "wakeup_lag"] {
        let name = format!("holysheep_kernel_{absent}_seconds_count");
        assert!(!text.contains(&name), "{name} in {text}");
    }
    // What is known is of the connection.
    let upstream = r#"upstream="holysheep",source="ebpf""#;
    let (connects, _) = histogram(&text, "connect", upstream, None);
    let accepted = emulator.stats().connections_accepted;
    assert_eq!(connects as u64, accepted);
    Ok(())
}

/// `ebpf: required` means it.
pub(crate) fn refuses(_: &Lab) -> Outcome {
    let emulator = emulator();
    let directory = Directory::new();
    let config = proxy::config(&emulator, SETTINGS, &directory);
    let started = std::thread::spawn(|| {
        // Of this thread only, and those it starts.
        let none = CapabilitySet::empty();
        let sets = CapabilitySets {
            effective: none,
            permitted: none,
            inheritable: none,
        };
        set_capabilities(None, sets).unwrap();
        proxy::start(config).map(drop)
    });
    let error = started.join().unwrap().expect_err("no capabilities");
    refusal(&format!("{error:#}"));
    Ok(())
}

fn refusal(said: &str) {
    println!("  {}", said.trim_end().replace('\n', "\n  "));
    for part in [
        "--ebpf required",
        "socket_timing",
        "payload_timing",
        "CAP_BPF",
        "CAP_NET_ADMIN",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
}

/// The same of the program itself, where it is at hand.
pub(crate) fn program_refuses(_: &Lab) -> Outcome {
    let program = proxy::program()?;
    let started = std::thread::spawn(move || {
        privileges::leave(CapabilitySet::empty());
        let mut serve = Command::new(program);
        serve.args(["serve", "--ebpf=required"]);
        serve.args(["--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"]);
        serve.env_clear().output().unwrap()
    });
    let output = started.join().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    refusal(&said);
    Ok(())
}
