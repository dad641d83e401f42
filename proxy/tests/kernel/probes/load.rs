//! Probes while users have filled the queue, or keep the workers busy.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use holysheep_proxy::worker::Inbox;

use super::{CHAT, PATIENCE, QUESTION, Rig, STEERED, probe};
use crate::lab::{self, Lab};
use crate::{Outcome, steering};

/// How many probes one after another; each takes ten milliseconds and more where the processor is emulated.
fn many() -> usize {
    if lab::is_emulated() { 200 } else { 1000 }
}

/// Sends probes from the node's namespace, and says how many failed and how long the others took.
fn probes(from: IpAddr, to: SocketAddr, count: usize) -> (usize, Vec<Duration>) {
    let mut failed = 0;
    let mut took = Vec::new();
    for _ in 0..count {
        let started = Instant::now();
        match probe(from, to) {
            Ok(text) if text.starts_with("HTTP/1.1 200 ") => took.push(started.elapsed()),
            other => {
                println!("  a probe failed: {other:?}");
                failed += 1;
            }
        }
    }
    took.sort_unstable();
    (failed, took)
}

fn report(what: &str, failed: usize, took: &[Duration]) {
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    println!(
        "  {what}: {} probes, {failed} failed, median {:?}, p99 {:?}",
        took.len() + failed,
        at(0.5),
        at(0.99)
    );
}

/// Connections that wait at a port of the pod, and how the kernel sees them: by its own table.
fn waiting(rig: &Rig) -> u32 {
    let port = format!(":{:04X} ", rig.proxy.data_addr().port());
    let read = || {
        ["tcp", "tcp6"]
            .map(|file| std::fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap())
    };
    let text = rig.pair.pod().run(read).unwrap().concat();
    // Local address, remote address, state (0A is LISTEN), queues.
    let listening = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let listening = listening
        .filter(|words| words.get(3) == Some(&"0A") && format!("{} ", words[1]).ends_with(&port));
    let waiting = listening.map(|words| {
        let (_, waiting) = words[4].split_once(':').unwrap();
        u32::from_str_radix(waiting, 16).unwrap()
    });
    waiting.sum()
}

/// The only worker does not run, and its queue is full: probes say the truth, which is that it lives, until its time is up.
pub(crate) fn past_a_full_queue(_: &Lab) -> Outcome {
    let rig = Rig::start("probes: {sources: [SOURCES], worker_limit: 5m}")?;
    let (release, released) = mpsc::channel::<()>();
    let (wedged, is_wedged) = mpsc::channel();
    rig.proxy.app().inbox(0).unwrap().send(move |_| {
        wedged.send(()).unwrap();
        // Ends with an error when the test lets go.
        let _ = released.recv();
    });
    is_wedged.recv().unwrap();
    let other: IpAddr = "10.78.0.9".parse().unwrap();
    // One more than the limit fits.
    let users: Vec<_> = (0..9).map(|_| rig.connect(other)).collect();
    assert_eq!(waiting(&rig), 9);
    let (from, to) = (rig.node(), rig.data(other));
    let node = rig.pair.node();
    let usual = node.run(|| steering::connect_here(other, to, PATIENCE));
    let error = usual.unwrap().expect_err("the queue is full");
    println!("  the usual way: {error}");
    let (failed, took) = node.run(|| probes(from, to, many())).unwrap();
    report("past a full queue", failed, &took);
    assert_eq!((failed, waiting(&rig)), (0, 9));
    assert!((rig.metric(STEERED) - many() as f64).abs() < f64::EPSILON);
    drop((release, users));
    Ok(())
}

/// Takes nine tenths of a worker's time away, until `stop`.
fn burden(inbox: &Inbox, stop: &AtomicBool) {
    let (work, rest) = (Duration::from_millis(45), Duration::from_millis(5));
    while !stop.load(Relaxed) {
        let (done, is_done) = mpsc::channel();
        inbox.send(move |_| {
            let end = Instant::now() + work;
            while Instant::now() < end {
                std::hint::spin_loop();
            }
            // Nobody waits any more when the test has failed.
            let _ = done.send(());
        });
        if is_done.recv().is_err() {
            return;
        }
        lab::pass(rest);
    }
}

/// Users connect anew for each request, ten times as many as the worker can serve in the tenth of its time that is left: its
/// queue is full again and again. Every probe is answered in time all the same.
pub(crate) fn past_busy_workers(_: &Lab) -> Outcome {
    // Where the processor is emulated, so many would leave the worker none of it for seconds.
    let (users, limit) = match lab::is_emulated() {
        true => (20, "1m"),
        false => (240, "5s"),
    };
    let limits = format!("probes: {{sources: [SOURCES], worker_limit: {limit}}}");
    let rig = Rig::start(&format!("{limits}\nlog: {{access: 'off'}}"))?;
    let other: IpAddr = "10.78.0.9".parse().unwrap();
    let (from, to) = (rig.node(), rig.data(other));
    let stop = AtomicBool::new(false);
    let (came, served) = (AtomicU64::new(0), AtomicU64::new(0));
    let (mut failed, mut took) = (0, Vec::new());
    let rounds = 20;
    let all = || {
        std::thread::scope(|scope| {
            let _stop = steering::Ended(&stop);
            scope.spawn(|| burden(rig.proxy.app().inbox(0).unwrap(), &stop));
            for _ in 0..users {
                scope.spawn(|| {
                    while !stop.load(Relaxed) {
                        came.fetch_add(1, Relaxed);
                        let result = user(other, to);
                        served.fetch_add(u64::from(result.is_ok()), Relaxed);
                    }
                });
            }
            for _ in 0..rounds {
                // How much of the time it is full is the scheduler's to say.
                lab::eventually("the queue is full", || waiting(&rig) >= 8);
                let (lost, times) = probes(from, to, many() / rounds);
                failed += lost;
                took.extend(times);
            }
        });
    };
    rig.pair.node().run(all).unwrap();
    took.sort_unstable();
    report("past busy workers", failed, &took);
    let (came, served) = (came.load(Relaxed), served.load(Relaxed));
    println!("  of {came} users {served} were served");
    assert_eq!(failed, 0);
    assert!(served > 0, "the worker lives");
    // What the worker cannot carry is what it did not carry while it was never idle.
    assert!(came > 10 * served || lab::is_emulated(), "not ten times");
    Ok(())
}

/// A user's request on a connection of its own, from the node's namespace.
fn user(from: IpAddr, to: SocketAddr) -> std::io::Result<()> {
    // Shorter than the kernel's own pause before it tries again, which would take the pressure away.
    let mut stream = steering::connect_here(from, to, Duration::from_millis(50))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = QUESTION.len();
    let request = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(&[request.as_bytes(), QUESTION].concat())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map(drop)
}
