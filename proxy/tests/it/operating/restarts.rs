//! A drain with restart as Kubernetes does it: of two processes behind a Service, one after the other is told to stop, ends by
//! itself, and is started again at the same addresses.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use holysheep_emulator::Emulator;

use super::{Ends, Seen};
use crate::harness::program::{Served, command, with_upstream};
use crate::harness::{Client, Directory, EMULATOR_KEY, QUESTION, SOON, eventually};

const ROUNDS: usize = 3;
/// For how long a Service sends connections to a process that has said it is not ready any more: less than `drain_delay`.
const LAG: Duration = Duration::from_millis(300);
/// Longer than `drain_delay`, so that every drain has to wait for some.
const LONG: &str = r#"{"model":"m","stream":true,"max_tokens":180,"messages":[{"role":"user","content":"hello"}]}"#;
const CONFIG: &str = "timeouts: {drain_delay: 1500ms, drain: 20s}";

/// A process, and whether new connections go there.
struct Endpoint {
    data: SocketAddr,
    admin: SocketAddr,
    is_listed: AtomicBool,
}

/// What sends each new connection to one of the processes that are ready, as far as it has heard.
struct Service {
    endpoints: [Endpoint; 2],
    turn: AtomicUsize,
}

impl Service {
    fn of(replicas: &[Served; 2]) -> Self {
        Self {
            endpoints: replicas.each_ref().map(|served| Endpoint {
                data: served.data_addr(),
                admin: served.admin_addr(),
                is_listed: AtomicBool::new(false),
            }),
            turn: AtomicUsize::new(0),
        }
    }

    fn connect(&self) -> Client {
        let turn = self.turn.fetch_add(1, SeqCst);
        let mut all = self.endpoints.iter().cycle().skip(turn % 2).take(2);
        let listed = all.find(|endpoint| endpoint.is_listed.load(SeqCst));
        // One of two is always ready.
        Client::connect(listed.unwrap().data)
    }

    /// Asks one process after the other whether it is ready, until there is nobody left to ask for.
    fn follow(&self, seen: &Seen) {
        let mut last_ready = [Instant::now(); 2];
        while !seen.over.load(SeqCst) {
            for (endpoint, last_ready) in self.endpoints.iter().zip(&mut last_ready) {
                if is_ready(endpoint.admin) {
                    *last_ready = Instant::now();
                    endpoint.is_listed.store(true, SeqCst);
                } else if last_ready.elapsed() > LAG {
                    endpoint.is_listed.store(false, SeqCst);
                }
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }

    fn wait_listed(&self, number: usize, is_listed: bool) {
        eventually(|| self.endpoints[number].is_listed.load(SeqCst) == is_listed);
    }
}

/// There may be nobody at the port.
fn is_ready(admin: SocketAddr) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect(admin)?;
        stream.set_read_timeout(Some(SOON))?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: pod\r\nconnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok::<_, std::io::Error>(text.starts_with("HTTP/1.1 200 "))
    };
    ask().unwrap_or(false)
}

fn start(
    emulator: &Emulator,
    directory: &Directory,
    (data, admin): (SocketAddr, SocketAddr),
) -> Served {
    let mut command = command(["serve", "--ebpf", "off", "--log-format", "json"]);
    command
        .args(["--listen", &data.to_string()])
        .args(["--admin-listen", &admin.to_string()])
        .args(["--workers", "2", "--config"])
        .arg(directory.path("config.yaml"))
        .stdout(Stdio::null());
    Served::start(with_upstream(&mut command, emulator, directory))
}

#[test]
fn nothing_fails_while_each_replica_is_stopped_and_started_again() {
    let emulator = Emulator::builder()
        .api_key(EMULATOR_KEY)
        .token_interval(Duration::from_millis(10))
        .start_blocking()
        .unwrap();
    let directory = Directory::new();
    directory.write("config.yaml", CONFIG);
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut replicas = [(); 2].map(|()| start(&emulator, &directory, (free, free)));
    let service = Service::of(&replicas);
    let seen = Seen::default();
    std::thread::scope(|scope| {
        let ends = Ends(&seen.over);
        scope.spawn(|| service.follow(&seen));
        (0..2).for_each(|number| service.wait_listed(number, true));
        for _ in 0..2 {
            scope.spawn(|| seen.load(QUESTION, &seen.plain, || service.connect()));
        }
        for _ in 0..8 {
            scope.spawn(|| seen.load(LONG, &seen.streams, || service.connect()));
        }
        for number in (0..ROUNDS).flat_map(|_| 0..2) {
            seen.wait_for_more();
            let old = &mut replicas[number];
            old.terminate();
            assert_eq!(old.wait().code(), Some(0), "{:?}", old.log());
            service.wait_listed(number, false);
            let addresses = (old.data_addr(), old.admin_addr());
            replicas[number] = start(&emulator, &directory, addresses);
            service.wait_listed(number, true);
        }
        seen.wait_for_more();
        drop(ends);
    });
    let failures = seen.failures.lock().unwrap();
    assert!(failures.is_empty(), "{failures:#?}");
    let stats = emulator.stats();
    let asked = seen.plain.load(SeqCst) + seen.streams.load(SeqCst);
    assert_eq!((stats.cancelled, stats.billed), (0, asked.into()));
}
