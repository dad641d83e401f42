//! A whole proxy at the near end of an emulated path: what the path saw of a long prompt after a pause, and what the proxy
//! says of it.

use std::net::SocketAddr;
use std::time::Duration;

use holysheep_emulator::Emulator;
use netlab::{Direction, Path};

use crate::lab::{self, Lab};
use crate::proxy::{Directory, Proxy};
use crate::windows::{self, round_trip, setting, wide};
use crate::{Outcome, path};

/// One connection to upstream, which every request takes.
const SETTINGS: &str = "upstream: {min_idle: 0}";
const KEPT: &str = r#"holysheep_kernel_idle_windows_kept{by="sysctl"}"#;

/// A conversation of some 70 segments.
fn prompt() -> Vec<u8> {
    let text = "long ".repeat(20_000);
    let prompt = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"{text}"}}]}}"#);
    prompt.into_bytes()
}

/// How long it took from the first to the last segment of requests since `since` to reach the path.
fn left_within(path: &Path, since: Duration) -> Duration {
    let journal = path.journal();
    let data = journal.records().iter().filter(|record| {
        record.direction == Direction::ToServer && record.has_data() && record.came >= since
    });
    let came: Vec<_> = data.map(|record| record.came).collect();
    assert!(came.len() > 60, "{} segments", came.len());
    *came.last().unwrap() - came[0]
}

pub(crate) fn leave_at_once(_: &Lab) -> Outcome {
    let path = wide()?;
    along(&path, serve);
    // As it was before.
    assert_eq!(setting(&path), "1");
    Ok(())
}

/// The setting is the next process' affair from the moment it starts, and no process takes the other's for the system's.
pub(crate) fn taken_over(_: &Lab) -> Outcome {
    let path = wide()?;
    along(&path, succeed);
    assert_eq!(setting(&path), "1", "as it was before");
    Ok(())
}

fn succeed(path: &Path, emulator: &Emulator) {
    let directory = Directory::new();
    let take_over = directory.path().join("take-over.sock");
    let settings = format!("{SETTINGS}\ntake_over: {}", take_over.display());
    let start = || {
        let proxy = Proxy::start(emulator, &settings);
        let status = proxy.status();
        let by = &status["upstream"]["windows"]["after_idle"]["by"];
        assert_eq!(*by, "sysctl", "{status:#}");
        lab::eventually("it can be taken over", || take_over.exists());
        let mut client = proxy.client();
        let prompt = prompt();
        lab::eventually("the windows are kept", || {
            let reply = client.request("POST", "/v1/chat/completions", "", &prompt);
            assert_eq!(reply.status, 200, "{}", reply.body);
            proxy.metric(KEPT) == Some(1.0)
        });
        assert_eq!(setting(path), "0");
        proxy
    };
    let mut serving = start();
    for _ in 0..2 {
        let next = start();
        drop(std::mem::replace(&mut serving, next));
        assert_eq!(setting(path), "0", "the end of the old one changes nothing");
    }
}

/// A connection with a window that losses have brought down is replaced, but not over a narrow path.
pub(crate) fn worn_connections(_: &Lab) -> Outcome {
    let builder = Path::builder().round_trip(round_trip());
    let lossy = path::start(builder.clone().drop_every(60))?;
    let lost = along(&lossy, wear);
    println!("  over a path with losses: {lost:?} (closed, sent again)");
    assert!(lost.0 >= 1.0 && lost.1 >= 1.0);
    let narrow = path::start(builder.rate(10_000_000, 24_000))?;
    let queued = along(&narrow, wear);
    println!("  over a narrow path: {queued:?}");
    assert!(queued.0.abs() < f64::EPSILON && queued.1 >= 1.0);
    Ok(())
}

/// How many connections were closed as worn in a number of long requests, and how many segments were sent again.
fn wear(_: &Path, emulator: &Emulator) -> (f64, f64) {
    let proxy = Proxy::start(emulator, "");
    let mut client = proxy.client();
    let prompt = prompt();
    for _ in 0..12 {
        let reply = client.request("POST", "/v1/chat/completions", "", &prompt);
        assert_eq!(reply.status, 200, "{}", reply.body);
    }
    let worn = r#"holysheep_upstream_connections_worn_total{upstream="holysheep"}"#;
    let again = r#"holysheep_kernel_retransmits_total{upstream="holysheep",source="ebpf"}"#;
    (proxy.metric(worn).unwrap(), proxy.metric(again).unwrap())
}

/// With an upstream at the path's far end, does something at its near end.
fn along<T: Send>(path: &Path, work: fn(&Path, &Emulator) -> T) -> T {
    let address = SocketAddr::new(path.server().ipv4().into(), 0);
    let start = || {
        let builder = Emulator::builder().listen(address);
        builder.name(address.ip().to_string()).start_blocking()
    };
    let emulator = path.server().run(start).unwrap().unwrap();
    path.client().run(|| work(path, &emulator)).unwrap()
}

fn serve(path: &Path, emulator: &Emulator) {
    let proxy = Proxy::start(emulator, SETTINGS);
    let mut client = proxy.client();
    let prompt = prompt();
    let mut ask = || {
        let since = netlab::now();
        let reply = client.request("POST", "/v1/chat/completions", "", &prompt);
        assert_eq!(reply.status, 200, "{}", reply.body);
        left_within(path, since)
    };
    let first = ask();
    assert!(first > round_trip(), "a new connection needs several");
    for _ in 0..4 {
        ask();
    }
    lab::eventually("the windows are kept", || proxy.metric(KEPT) == Some(1.0));
    assert_eq!(setting(path), "0");
    lab::pass(round_trip() + windows::IDLE);
    let later = ask();
    println!("  the first took {first:?} to leave, that after a pause {later:?}");
    assert!(later < round_trip() / 2, "{later:?}");

    let upstream = r#"upstream="holysheep""#;
    let value = |name: &str, labels: &str| {
        let name = format!("holysheep_kernel_{name}{{{labels}}}");
        proxy.metric(&name).unwrap_or_else(|| panic!("no {name}"))
    };
    let avoided = format!(r#"{upstream},outcome="avoided""#);
    assert!(value("window_restarts_total", &avoided) >= 1.0);
    let carried = value("window_carried_bytes", upstream);
    assert!(carried > 50_000.0, "{carried}");
    assert!(value("window_start_bytes", upstream) > 0.0);
    assert!(value("paths_on_hold", upstream).abs() < f64::EPSILON);
    let status = &proxy.status()["upstream"]["windows"];
    assert_eq!(status["after_idle"]["by"], "sysctl", "{status}");
    assert_eq!(status["after_idle"]["kept"], true, "{status}");
    assert!(status["initial_window_lost"].is_null(), "{status}");
    let known = &status["paths"][0];
    assert_eq!(known["address"], path.server().ipv4().to_string());
    assert_eq!(known["carried_bytes"].as_f64(), Some(carried));
    assert!(proxy.admin("/").contains("Windows after idling"));
}
