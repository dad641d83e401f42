//! A proxy takes the place of a running one while both have their kernel programs attached, to the same cgroup and the same
//! network: probes are steered and users served all the while, and afterwards nothing is left of the old one.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use holysheep_emulator::Emulator;
use netlab::Pair;
use serde_json::Value;

use super::{CHAT, PATIENCE, QUESTION, STEERED, probe_within};
use crate::lab::{self, Lab};
use crate::lifecycle::census;
use crate::proxy::{self, Client, Directory, Proxy, sample};
use crate::steering::Ended;
use crate::{Outcome, steering};

/// Whoever is no source of probes.
const USER: &str = "10.78.0.9";
const ASKS: &str = "connection: close\r\nx-holysheep-timing: 1\r\n";
const QUEUE: &str =
    "holysheep_kernel_accept_queue_seconds_count{listener=\"data\",source=\"ebpf\"}";
const WAITING: &str = "holysheep_kernel_map_entries{map=\"ACCEPTED\"}";
const LEFT: &str = "holysheep_kernel_events_dropped_total{reason=\"probe_not_steered\"}";
/// Of the data ports' workers: what is steered never gets there.
const PROBED: &str = "holysheep_http_requests_total{route=\"/health\",status=\"200\"}";

/// Two networks, and what the proxies in the pod have in common.
struct Site {
    pair: Pair,
    emulator: Emulator,
    directory: Directory,
}

impl Site {
    fn start() -> Result<Self, String> {
        let pair = steering::pair()?;
        let emulator = pair.pod().run(|| Emulator::builder().start_blocking());
        Ok(Self {
            pair,
            emulator: emulator.unwrap().unwrap(),
            directory: Directory::new(),
        })
    }

    fn config(&self) -> String {
        let sources = steering::sources(&self.pair);
        let sources: Vec<_> = sources.iter().map(ToString::to_string).collect();
        format!(
            "listen: '[::]:0'\nauth: open\ntiming_header: true\nprobes: {{sources: [{}]}}\ntake_over: {}\n",
            sources.join(", "),
            self.path().display()
        )
    }

    fn path(&self) -> std::path::PathBuf {
        self.directory.path().join("take-over.sock")
    }

    /// Starts a proxy, in place of the one there is.
    fn proxy(&self) -> Box<dyn Serving> {
        let start = || Proxy::start(&self.emulator, &self.config());
        Box::new(self.pair.pod().run(start).unwrap())
    }

    /// The same by the program itself.
    fn program(&self) -> Box<dyn Serving> {
        let write = |name, text: &str| {
            let path = self.directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let authority = self.emulator.authority().unwrap();
        let mut serve = Command::new(proxy::program().unwrap());
        serve
            .args(["serve", "--ebpf=required", "--log-format=json"])
            .args(["--workers=2", "--admin-listen=127.0.0.1:0", "--upstream"])
            .arg(format!("https://{}/v1", self.emulator.addr()))
            .arg("--upstream-ca")
            .arg(write("ca.pem", authority.ca_pem()))
            .arg("--config")
            .arg(write("config.yaml", &self.config()))
            .env_clear()
            .env("HOLYSHEEP_API_KEY", self.emulator.api_key())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = self.pair.pod().run(|| serve.spawn()).unwrap().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut log = lines.by_ref().map_while(Result::ok);
        let serving = log.find_map(|line| {
            let line: Value = serde_json::from_str(&line).unwrap();
            (line["message"] == "serving").then_some(line)
        });
        let serving = serving.expect("it starts");
        std::thread::spawn(move || lines.for_each(drop));
        let address = |field: &str| serving[field].as_str().unwrap().parse().unwrap();
        Box::new(Program {
            child,
            data: address("listen"),
            admin: address("admin"),
        })
    }

    fn metric(&self, proxy: &dyn Serving, name: &str) -> f64 {
        let address = proxy.admin();
        let stream = || TcpStream::connect(address).unwrap();
        let mut admin = Client::over(self.pair.pod().run(stream).unwrap());
        let text = admin.request("GET", "/metrics", "", b"").body;
        sample(&text, name).unwrap_or(0.0)
    }
}

/// One that has been started.
trait Serving {
    fn data(&self) -> SocketAddr;
    fn admin(&self) -> SocketAddr;
    /// Waits until it has ended, which it does because another has taken its place.
    fn end(self: Box<Self>);
}

impl Serving for Proxy {
    fn data(&self) -> SocketAddr {
        self.data_addr()
    }

    fn admin(&self) -> SocketAddr {
        self.app().admin_addr()
    }

    fn end(self: Box<Self>) {}
}

struct Program {
    child: Child,
    data: SocketAddr,
    admin: SocketAddr,
}

impl Serving for Program {
    fn data(&self) -> SocketAddr {
        self.data
    }

    fn admin(&self) -> SocketAddr {
        self.admin
    }

    fn end(mut self: Box<Self>) {
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What came of those who ask all the while.
#[derive(Default)]
struct Seen {
    probes: AtomicU32,
    requests: AtomicU32,
    failed: AtomicU32,
    enough: AtomicBool,
}

impl Seen {
    /// Asks again and again; `ask` says whether it was answered as it should be.
    fn ask(&self, count: &AtomicU32, ask: impl Fn() -> Result<(), String>) {
        while !self.enough.load(Relaxed) {
            match ask() {
                Ok(()) => count.fetch_add(1, Relaxed),
                Err(error) => {
                    println!("  failed: {error}");
                    self.failed.fetch_add(1, Relaxed)
                }
            };
            // As fast as it goes there would be nothing left for the proxy there.
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    fn wait_for_more(&self) {
        let [probes, requests] = [&self.probes, &self.requests].map(|count| count.load(Relaxed));
        lab::eventually("probes and requests are answered", || {
            self.probes.load(Relaxed) > probes + 5 && self.requests.load(Relaxed) > requests + 5
        });
    }
}

fn asked_for_health(from: IpAddr, to: SocketAddr) -> Result<(), String> {
    match probe_within(from, to, patience()) {
        Ok(text) if text.starts_with("HTTP/1.1 200 ") => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

/// As much as the kubelet has, and more where the processor is emulated: a proxy that starts or ends may keep it for seconds.
fn patience() -> Duration {
    if lab::is_emulated() {
        Duration::from_secs(20)
    } else {
        PATIENCE
    }
}

fn user(to: SocketAddr) -> TcpStream {
    steering::connect_here(USER.parse().unwrap(), to, Duration::from_secs(20)).unwrap()
}

fn asked_for_chat(to: SocketAddr) -> Result<(), String> {
    let reply = Client::over(user(to)).request("POST", CHAT, ASKS, QUESTION);
    match reply.status {
        200 => Ok(()),
        status => Err(format!("{status} {}", reply.body)),
    }
}

/// Within one process, as guests have no program.
pub(crate) fn by_an_app(_: &Lab) -> Outcome {
    through(&Site::start()?, Site::proxy)
}

pub(crate) fn by_a_program(_: &Lab) -> Outcome {
    proxy::program()?;
    through(&Site::start()?, Site::program)
}

fn through(site: &Site, start: fn(&Site) -> Box<dyn Serving>) -> Outcome {
    let before = census();
    let mut serving = start(site);
    let port = serving.data().port();
    let node = site.pair.node();
    let from = IpAddr::from(node.ipv4());
    let to = SocketAddr::new(site.pair.pod().ipv4().into(), port);
    let seen = Seen::default();
    std::thread::scope(|scope| {
        let end = Ended(&seen.enough);
        let probes = || seen.ask(&seen.probes, || asked_for_health(from, to));
        scope.spawn(move || node.run(probes).unwrap());
        let users = || seen.ask(&seen.requests, || asked_for_chat(to));
        scope.spawn(move || node.run(users).unwrap());
        for _ in 0..3 {
            seen.wait_for_more();
            lab::eventually("it can be taken over", || site.path().exists());
            let next = start(site);
            assert_eq!(next.data().port(), port);
            let old = std::mem::replace(&mut serving, next);
            replaced(site, &seen, &before, (old, &*serving));
            lab::eventually("a request's times are known", || {
                // Each on another connection to upstream: it is the programs that are looked at, not one connection.
                let fields = format!("{ASKS}x-emulator-fault: close-after\r\n");
                let ask = || Client::over(user(to)).request("POST", CHAT, &fields, QUESTION);
                let reply = node.run(ask).unwrap();
                let timing = reply.field("server-timing").unwrap_or_default();
                timing.contains("connect;") && timing.contains("first_byte;")
            });
        }
        drop(end);
    });
    println!(
        "  {} probes and {} requests, {} failed",
        seen.probes.load(Relaxed),
        seen.requests.load(Relaxed),
        seen.failed.load(Relaxed)
    );
    assert_eq!(seen.failed.load(Relaxed), 0);
    lab::eventually("nobody waits any more", || {
        site.metric(&*serving, WAITING) == 0.0
    });
    Ok(())
}

/// Looks at both, and at what is left when the old one has ended.
fn replaced(
    site: &Site,
    seen: &Seen,
    before: &BTreeSet<(&'static str, u32)>,
    (old, new): (Box<dyn Serving>, &dyn Serving),
) {
    let both = census().difference(before).count();
    let steered = site.metric(new, STEERED);
    seen.wait_for_more();
    assert!(site.metric(new, STEERED) > steered, "it steers at once");
    old.end();
    let alone = census().difference(before).count();
    println!("  programs, maps and links: {both} of both, {alone} of one");
    // The old one had only let go of its link for steering.
    lab::eventually("nothing is left of the old one", || {
        2 * census().difference(before).count() == both + 1
    });
    let queue = site.metric(new, QUEUE);
    seen.wait_for_more();
    assert!(site.metric(new, QUEUE) > queue);
    // Steered by one or the other, or a worker would have answered it.
    assert_eq!(site.metric(new, PROBED), 0.0);
    assert_eq!(site.metric(new, LEFT), 0.0);
}
