//! Every fault of the emulator, with one upstream and with two of which the first is at fault, for a plain answer and for
//! a stream: what the client gets, what reaches whom, and what is billed.
//!
//! The rows of `fault_matrix/rows.rs` are what is expected. The same run renders them as the table in
//! docs/resilience.md; `HOLYSHEEP_WRITE_TABLES=1` writes that anew.

mod rows;
mod table;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use holysheep_emulator::{Fault, FaultScope};

use crate::harness::client::request;
use crate::harness::{CHAT, Reply, Rig};
use rows::{EITHER, Expected, PLAIN, ROWS, STREAMED};

/// As short as an answer can be, since one fault sends it byte by byte.
const BODIES: [(&str, &str); 2] = [
    (
        PLAIN,
        r#"{"model":"m","max_tokens":2,"messages":[{"role":"user","content":"hello"}]}"#,
    ),
    (
        STREAMED,
        r#"{"model":"m","max_tokens":2,"stream":true,"messages":[{"role":"user","content":"hello"}]}"#,
    ),
];

/// What a request came to.
#[derive(Clone, Debug)]
struct Seen {
    client: String,
    /// What reached each upstream.
    reached: String,
    metrics: String,
    took: Duration,
}

/// A fault and a number of upstreams: what one proxy is started for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Case {
    fault: &'static str,
    upstreams: usize,
}

impl Case {
    /// All cases, in the order of the rows.
    fn all() -> Vec<Self> {
        let mut all: Vec<Self> = ROWS.iter().map(Expected::case).collect();
        all.dedup();
        all
    }

    /// No connection waits, so that faults of connections hit that of the request.
    fn start(self) -> Rig {
        let mut config = "upstream: {min_idle: 0, max_idle: 0}\n".to_owned();
        if self.fault.starts_with("stall") {
            config.push_str("timeouts: {connect: 1s, first_byte: 1s, idle: 1s}\n");
        }
        let rig = Rig::builder().config(config);
        match self.upstreams {
            1 => rig.start(),
            _ => rig.another(|builder| builder).start(),
        }
    }

    fn set(self, rig: &Rig) {
        let (fault, scope) = match self.fault.strip_suffix(" once") {
            Some(fault) => (fault, FaultScope::Next(1)),
            None => (self.fault, FaultScope::Always),
        };
        let fault: Fault = fault.parse().unwrap();
        rig.emulator.set_fault(fault, scope).unwrap();
    }

    /// Sends a request of each kind, each through a proxy of its own: one that has failed to connect goes on trying by itself,
    /// and would meet what is meant for the next request.
    fn run(self) -> Vec<Seen> {
        let bodies = BODIES.iter();
        let seen = bodies.map(|(kind, body)| {
            let rig = self.start();
            self.set(&rig);
            let seen = self.ask(&rig, kind, body);
            assert!(rig.assert_billed_once() <= 1, "{self:?}");
            seen
        });
        seen.collect()
    }

    fn ask(self, rig: &Rig, kind: &str, body: &str) -> Seen {
        let before = Books::of(rig);
        let fields = [("x-request-id", kind), ("content-type", "application/json")];
        let begun = Instant::now();
        let mut client = rig.client();
        client.send(request("POST", CHAT, &fields, body.as_bytes()));
        let reply = client.try_head().map(|mut reply| {
            client.body(&mut reply);
            reply
        });
        let took = begun.elapsed();
        rig.wait_idle();
        assert_billed_last(rig, kind);
        let (reached, metrics) = Books::of(rig).since(&before);
        Seen {
            client: reply.as_ref().map_or("no answer".to_owned(), describe),
            reached,
            metrics,
            took,
        }
    }
}

/// Asserts that nothing was sent once something had been billed: the upstream that billed the request had the last of it.
fn assert_billed_last(rig: &Rig, id: &str) {
    let mut arrivals = Vec::new();
    let mut billed = Vec::new();
    for (number, emulator) in rig.emulators().enumerate() {
        let requests = emulator.requests().into_iter();
        let own = requests.filter(|request| request.header("x-request-id") == Some(id));
        arrivals.extend(own.map(|request| (request.received_unix_ns, number)));
        let ids = emulator.billed_ids();
        billed.extend(ids.iter().filter(|one| *one == id).map(|_| number));
    }
    arrivals.sort_unstable();
    assert!(billed.len() <= 1, "{id} was billed by {billed:?}");
    if let Some(billed) = billed.first() {
        assert_eq!(arrivals.last().map(|last| last.1), Some(*billed));
    }
}

/// What the client got, in a few words.
fn describe(reply: &Reply) -> String {
    let text = reply.text();
    let status = reply.status;
    let in_stream = text.contains("data: ") && !text.contains("[DONE]");
    let mut said = match reply.error() {
        Some(code) => format!("{status} `{code}`"),
        None if status >= 400 => format!("{status} of upstream's"),
        None if !reply.complete => format!("{status}, broken off"),
        None if in_stream => {
            let code = text.rsplit_once("\"code\":\"").unwrap().1;
            let code = code.split('"').next().unwrap();
            format!("{status}, then `{code}` as an event")
        }
        None => status.to_string(),
    };
    if let Some(attempts) = reply.header("x-holysheep-attempts") {
        said.push_str(&format!(", {attempts} attempts"));
    }
    said
}

/// What has been counted so far.
struct Books {
    upstreams: Vec<(u64, u64)>,
    counters: BTreeMap<String, u64>,
}

impl Books {
    fn of(rig: &Rig) -> Self {
        let requests = rig.requests().into_iter();
        let text = rig.admin("/metrics").text();
        let mut counters = BTreeMap::new();
        for line in text.lines() {
            let Some((sample, value)) = line.rsplit_once(' ') else {
                continue;
            };
            let label = sample.split('"').rev().nth(1).unwrap_or_default();
            let name = match sample.split('{').next().unwrap_or_default() {
                "holysheep_upstream_retries_total" => format!("retries `{label}`"),
                "holysheep_rejected_total" => format!("rejected `{label}`"),
                _ => continue,
            };
            let value: f64 = value.parse().unwrap();
            *counters.entry(name).or_default() += value as u64;
        }
        Self {
            upstreams: requests.zip(rig.billed()).collect(),
            counters,
        }
    }

    /// What has been counted since, in words.
    fn since(&self, before: &Self) -> (String, String) {
        let upstreams = self.upstreams.iter().zip(&before.upstreams);
        let reached = upstreams.map(|(now, before)| {
            let (requests, billed) = (now.0 - before.0, now.1 - before.1);
            match billed {
                0 => requests.to_string(),
                _ => format!("{requests} ({billed} billed)"),
            }
        });
        let reached: Vec<_> = reached.collect();
        let counters = self.counters.iter();
        let moved = counters.filter_map(|(name, now)| {
            let before = before.counters.get(name).copied().unwrap_or_default();
            match now - before {
                0 => None,
                1 => Some(name.clone()),
                count => Some(format!("{name} × {count}")),
            }
        });
        let moved: Vec<_> = moved.collect();
        (reached.join(" / "), moved.join(", "))
    }
}

/// Runs all cases, some of them at the same time: most of what they need is patience.
fn run_all(cases: &[Case]) -> Vec<Vec<Seen>> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let seen = case.run();
                    let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
                    results.insert((case.fault, case.upstreams), seen);
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap();
    let mut take = |case: &Case| results.remove(&(case.fault, case.upstreams)).unwrap();
    cases.iter().map(&mut take).collect()
}

#[test]
fn every_fault_comes_to_what_the_table_says() {
    let cases = Case::all();
    let results = run_all(&cases);
    let mut wrong = Vec::new();
    let mut lines = Vec::new();
    for row in ROWS {
        let at = cases.iter().position(|case| *case == row.case()).unwrap();
        let kinds = BODIES.iter().map(|(kind, _)| *kind).zip(&results[at]);
        let seen = kinds.filter(|(kind, _)| row.request == EITHER || row.request == *kind);
        let mut took = Duration::ZERO;
        for (kind, seen) in seen {
            took = took.max(seen.took);
            let found = Expected {
                fault: row.fault,
                upstreams: row.upstreams,
                request: kind,
                client: &seen.client,
                reached: &seen.reached,
                metrics: &seen.metrics,
            };
            if !row.is_met_by(&found) {
                wrong.push(format!("{found:?},"));
            }
        }
        lines.push((row, took));
    }
    assert!(wrong.is_empty(), "not as expected:\n{}", wrong.join("\n"));
    table::check(&lines);
}

#[test]
fn every_fault_of_the_emulator_has_a_row() {
    let text = holysheep_emulator::GRAMMAR;
    let lines = text
        .lines()
        .filter(|line| !line.starts_with([' ', '(', 'n']));
    let words = lines.flat_map(str::split_whitespace);
    for word in words {
        let end = word.find(['[', ';']).unwrap_or(word.len());
        let name = &word[..end];
        let has_row = |row: &Expected<'_>| match name {
            "status" => row.fault.starts_with("503"),
            name => row.fault.starts_with(name),
        };
        assert!(ROWS.iter().any(has_row), "{name} has no row");
    }
}
