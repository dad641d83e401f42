//! Loading and unloading: what it costs the verifier, what it says, and that nothing stays.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use aya::maps::loaded_maps;
use aya::programs::{loaded_links, loaded_programs};
use holysheep_proxy::kernel::{Kernel, Settings};

use crate::Outcome;
use crate::lab::{self, Lab};

/// Instructions the verifier may look at for each program; what more means is a path nobody meant to add.
const CEILINGS: [(&str, u32); 4] = [
    ("payload_timing", 900),
    ("socket_timing", 1000),
    ("upstream_window", 2000),
    ("probe_steering", 200),
];

pub(crate) fn ceilings(lab: &Lab) -> Outcome {
    let counts = lab.kernel().verified_instructions();
    for (program, ceiling) in CEILINGS {
        let (_, count) = counts
            .iter()
            .find(|(name, _)| name == program)
            .expect("loaded");
        let Some(count) = *count else {
            return Err("this kernel does not tell".to_owned());
        };
        println!("  {program:<16} {count:>5} instructions verified, ceiling {ceiling}");
        assert!(count <= ceiling, "{program}: {count}");
    }
    Ok(())
}

/// A load during traffic takes about a second where the processor is emulated; what each leaves behind shows in fewer, too.
fn rounds() -> usize {
    if lab::is_emulated() { 20 } else { 200 }
}

pub(crate) fn leaks(lab: &Lab) -> Outcome {
    let (listener, address) = lab::listen("127.0.0.1:0", "127.0.0.1");
    let stop = Arc::new(AtomicBool::new(false));
    let (stopped, server) = (
        Arc::clone(&stop),
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                // Ends with the client's last connection, which sends nothing.
                let mut byte = [0];
                if std::io::Read::read(&mut stream, &mut byte).unwrap_or(0) == 0 {
                    return;
                }
                let _ = stream.write_all(&byte);
            }
        }),
    );
    let traffic = std::thread::spawn(move || {
        let mut exchanges = 0;
        while !stopped.load(Relaxed) {
            lab::ping(&mut TcpStream::connect(address).unwrap());
            exchanges += 1;
        }
        drop(TcpStream::connect(address));
        exchanges
    });
    let before = census();
    let rounds = rounds();
    for _ in 0..rounds {
        let kernel = lab.kernel();
        connect_once(&kernel);
        assert!(
            census().difference(&before).count() >= 3 + 10 + 3,
            "the census misses some"
        );
    }
    stop.store(true, Relaxed);
    let exchanges: u32 = traffic.join().unwrap();
    server.join().unwrap();
    // The kernel frees them some time after the last reference is gone.
    let mut left = Vec::new();
    lab::eventually("nothing is left of them", || {
        left = census().difference(&before).cloned().collect();
        left.is_empty()
    });
    println!(
        "  {rounds} loads during {exchanges} exchanges; programs, maps and links left: {}",
        left.len()
    );
    assert!(exchanges > 0);
    Ok(())
}

/// Programs and maps of our names on this machine, and all links. Numbers are never used again.
pub(crate) fn census() -> BTreeSet<(&'static str, u32)> {
    let ours = ["payload_timing", "socket_timing", "probe_steering"];
    let programs = loaded_programs()
        .filter_map(Result::ok)
        .filter(|program| {
            program
                .name_as_str()
                .is_some_and(|name| ours.contains(&name))
        })
        .map(|program| ("program", program.id()));
    let ours = [
        "FLOWS",
        "ACCEPTED",
        "PORTS",
        "STATS",
        "COUNTERS",
        "AYA_LOGS",
        "SOURCES",
        "PROBE_SOCKETS",
        "STEERED",
        "STEERED_PORTS",
    ];
    let maps = loaded_maps()
        .filter_map(Result::ok)
        .filter(|map| map.name_as_str().is_some_and(|name| ours.contains(&name)))
        .map(|map| ("map", map.id()));
    let links = loaded_links()
        .filter_map(Result::ok)
        .map(|link| ("link", link.id()));
    programs.chain(maps).chain(links).collect()
}

/// Where messages go that would otherwise go to the log.
#[derive(Clone, Default)]
struct Collected(Arc<Mutex<Vec<u8>>>);

impl Collected {
    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Write for Collected {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

pub(crate) fn messages(lab: &Lab) -> Outcome {
    let collected = Collected::default();
    let writer = collected.clone();
    tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .try_init()
        .unwrap();
    connect_once(&lab.kernel());
    assert_eq!(collected.text(), "", "nobody asked for messages");
    let settings = Settings {
        log: true,
        ..lab::settings()
    };
    let kernel = Kernel::start(&settings).unwrap();
    connect_once(&kernel);
    lab::eventually("messages of a connection from its start to its end", || {
        let text = collected.text();
        [
            "connecting to port",
            "connected within",
            "closed from state",
        ]
        .iter()
        .all(|message| text.contains(message))
    });
    let text = collected.text();
    println!("  {}", text.lines().next().unwrap_or_default());
    for (program, count) in kernel.verified_instructions() {
        println!("  {program:<16} {count:?} instructions verified with messages");
    }
    Ok(())
}

fn connect_once(kernel: &Kernel) {
    let (listener, address) = lab::listen("127.0.0.1:0", "127.0.0.1");
    let peer = lab::echo(listener);
    let flows = kernel.flows().unwrap();
    lab::ping(&mut lab::connect(&flows, address, 0).0);
    peer.join().unwrap();
    lab::eventually("the connection's end is seen", || flows.occupied() == 0);
}
