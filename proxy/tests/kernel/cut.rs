//! A whole proxy before two endpoints of one name, each behind a path of its own, one of which is cut.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use holysheep_emulator::{Emulator, Profile};
use netlab::{Direction, Path};
use serde_json::Value;

use crate::dns::NameServer;
use crate::lab::{self, Lab};
use crate::proxy::Proxy;
use crate::{Outcome, path};

const NAME: &str = "upstream.test";
/// Requests at a time: some for each endpoint.
const CLIENTS: usize = 8;
const BODY: &[u8] = br#"{"model":"m","messages":[{"role":"user","content":"hello"}]}"#;
const BY_KERNEL: &str = r#"holysheep_upstream_kernel_ejections_total{upstream="holysheep"}"#;
const WON: &str = r#"holysheep_upstream_hedges_total{upstream="holysheep",result="won"}"#;
const UNACKNOWLEDGED: &str =
    r#"holysheep_upstream_retries_total{upstream="holysheep",reason="unacknowledged"}"#;

/// Requests sent along a path that is cut are answered by the other endpoint, as soon as the kernel has seen that nothing is
/// acknowledged: no number of failures ejects here, and unacknowledged requests alone would wait longer than their clients.
pub(crate) fn left_alone(_: &Lab) -> Outcome {
    before_two_endpoints(leave_alone)
}

/// Requests sent along a path that is cut are also sent to the other endpoint once nothing has been acknowledged for a
/// while; here nothing is ejected, and nothing taken back.
pub(crate) fn hedged(_: &Lab) -> Outcome {
    before_two_endpoints(hedge)
}

fn before_two_endpoints(serve: fn(&Path, &Emulator, &Emulator)) -> Outcome {
    let builder = || Path::builder().round_trip(Duration::from_millis(5));
    let first = path::start(builder())?;
    let second = builder().start_beside(&first);
    let second = second.map_err(|error| error.to_string())?;
    let good = emulate(&first, None);
    let bad = emulate(&second, Some(&good));
    let work = || serve(&second, &good, &bad);
    first.client().run(work).unwrap();
    Ok(())
}

/// An emulator at a path's far end; a second one shares authority and port with the first.
fn emulate(path: &Path, other: Option<&Emulator>) -> Emulator {
    let port = other.map_or(0, |other| other.addr().port());
    let mut builder = Emulator::builder()
        .listen(SocketAddr::new(path.server().ipv4().into(), port))
        .name(NAME)
        .profile(Profile::Fixed(Duration::from_millis(50)));
    if let Some(other) = other {
        builder = builder.authority(other.authority().unwrap());
    }
    let start = || builder.start_blocking().unwrap();
    path.server().run(start).unwrap()
}

/// A proxy with settings of its own that has connections to both.
fn start(good: &Emulator, bad: &Emulator, settings: &str) -> Arc<Proxy> {
    let names = NameServer::start();
    let addresses = [good, bad].map(|one| one.addr().ip().to_string());
    names.set(NAME, &[&addresses[0], &addresses[1]], 600);
    let yaml = format!(
        "upstream: {{base_url: 'https://{NAME}:{}/v1', min_idle: 0}}\ndns: {{servers: ['{}']}}\n\
         retries: {{unacknowledged: 50s}}\n{settings}",
        good.addr().port(),
        names.addr()
    );
    let proxy = Arc::new(Proxy::start(good, &yaml));
    // Several at a time, until there are connections to both.
    for round in 0..5 {
        ask(&proxy, &format!("warm-{round}"));
    }
    assert!(
        bad.stats().requests > 0,
        "nothing was sent to the second endpoint"
    );
    proxy
}

/// Cuts a path, and waits until what is sent then cannot have been received before.
fn cut_off(cut: &Path) {
    for direction in [Direction::ToServer, Direction::ToClient] {
        cut.cut(direction);
    }
    // What is sent right after a sign of life may have been received before the path was cut, as far as anybody can tell.
    let cut_at = Instant::now();
    lab::eventually("a silence", || {
        cut_at.elapsed() > Duration::from_millis(150)
    });
}

fn leave_alone(cut: &Path, good: &Emulator, bad: &Emulator) {
    let proxy = start(good, bad, "ejection: {failures: 1000}");
    let before = bad.stats().requests;
    cut_off(cut);
    ask(&proxy, "cut");
    assert_eq!(bad.stats().requests, before);
    let again = proxy.metric(UNACKNOWLEDGED).unwrap();
    println!("  {again} requests had been sent along the path that was cut");
    assert!(again >= 1.0);
    assert!(proxy.metric(BY_KERNEL).unwrap() >= 1.0);
    assert_ne!(state(&proxy, bad), "closed");
    cut.heal();
    lab::eventually("it is used again", || {
        ask(&proxy, "healed");
        bad.stats().requests > before
    });
    lab::eventually("it is well", || state(&proxy, bad) == "closed");
    let (ids, all) = (bad.billed_ids(), good.billed_ids());
    let ids: Vec<_> = ids
        .iter()
        .chain(&all)
        .filter(|id| !id.starts_with("healed"))
        .collect();
    let different: HashSet<_> = ids.iter().collect();
    assert_eq!(different.len(), ids.len(), "something was billed twice");
}

fn hedge(cut: &Path, good: &Emulator, bad: &Emulator) {
    // Longer than from one look at the endpoints to the next.
    let settings = "ejection: {failures: 1000, kernel: false}\nhedging: {unacknowledged: 600ms}";
    let proxy = start(good, bad, settings);
    let before = bad.stats().requests;
    cut_off(cut);
    let took = ask(&proxy, "cut");
    assert_eq!(bad.stats().requests, before);
    let won = proxy.metric(WON).unwrap();
    println!("  {won} requests were answered by the other endpoint");
    assert!(won >= 1.0);
    // The proxy's clock may be a tenth of a second behind.
    let waited = took
        .iter()
        .filter(|took| **took > Duration::from_millis(500));
    assert!(waited.count() as f64 >= won, "{took:?}");
    assert!(proxy.metric(UNACKNOWLEDGED).unwrap() < 0.5);
    assert_eq!(state(&proxy, bad), "closed");
    // The first ones ended with a reset: nothing of them arrives when the path heals.
    cut.heal();
    let is_of_cut = |id: &String| id.starts_with("cut");
    assert_eq!(
        bad.billed_ids().iter().filter(|id| is_of_cut(id)).count(),
        0
    );
    let billed = good.billed_ids();
    assert_eq!(billed.iter().filter(|id| is_of_cut(id)).count(), CLIENTS);
}

/// Sends a request of each client at once; all are answered. How long each took.
fn ask(proxy: &Arc<Proxy>, name: &str) -> Vec<Duration> {
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (proxy, id) = (Arc::clone(proxy), format!("{name}-{client}"));
            std::thread::spawn(move || {
                let fields = format!("x-request-id: {id}\r\n");
                let path = "/v1/chat/completions";
                let started = Instant::now();
                let reply = proxy.client().request("POST", path, &fields, BODY);
                assert_eq!(reply.status, 200, "{id}: {}", reply.body);
                started.elapsed()
            })
        })
        .collect();
    let joined = clients.into_iter().map(std::thread::JoinHandle::join);
    joined.collect::<Result<_, _>>().unwrap()
}

fn state(proxy: &Proxy, emulator: &Emulator) -> String {
    let status = proxy.status();
    let endpoints = status["upstream"]["endpoints"].as_array().unwrap();
    let address = Value::from(emulator.addr().to_string());
    let found = endpoints.iter().find(|one| one["address"] == address);
    found.unwrap()["state"].as_str().unwrap().to_owned()
}
