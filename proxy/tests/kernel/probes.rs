//! A whole proxy in a pod's namespace, asked for its health from the node: the same port as everybody, past everybody's
//! queue.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use holysheep_emulator::Emulator;
use holysheep_emulator::tls::Authority;
use holysheep_proxy::worker::Inbox;
use netlab::Pair;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::lab::{self, Lab};
use crate::proxy::{Client, Directory, Proxy};
use crate::{Outcome, steering};

const CHAT: &str = "/v1/chat/completions";
const QUESTION: &[u8] = br#"{"model":"m","messages":[{"role":"user","content":"x"}]}"#;
const PROBE: &[u8] = b"GET /health HTTP/1.1\r\nhost: pod\r\nuser-agent: kube-probe/1.31\r\nconnection: close\r\n\r\n";

/// What the kubelet waits for, unless it is told otherwise.
const PATIENCE: Duration = Duration::from_secs(1);

/// A proxy in the pod, on all its addresses, that steers what comes from the node.
struct Rig {
    // The proxy goes before its upstream, and both before the network.
    proxy: Proxy,
    emulator: Emulator,
    pair: Pair,
}

impl Rig {
    fn start(yaml: &str) -> Result<Self, String> {
        let pair = steering::pair()?;
        let (emulator, proxy) = pair
            .pod()
            .run(|| {
                // As on many nodes: a queue that is soon full.
                std::fs::write("/proc/sys/net/core/somaxconn", "8").unwrap();
                let emulator = Emulator::builder().start_blocking().unwrap();
                let from = steering::sources(&pair)
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>();
                let all = format!("listen: '[::]:0'\nauth: open\n{yaml}")
                    .replace("SOURCES", &from.join(", "));
                let proxy = Proxy::start(&emulator, &all);
                (emulator, proxy)
            })
            .unwrap();
        Ok(Self {
            proxy,
            emulator,
            pair,
        })
    }

    /// The data port at the pod's address of a family.
    fn data(&self, like: IpAddr) -> SocketAddr {
        let pod = self.pair.pod();
        let port = self.proxy.data_addr().port();
        let ip = if like.is_ipv4() {
            pod.ipv4().into()
        } else {
            pod.ipv6().into()
        };
        SocketAddr::new(ip, port)
    }

    /// A connection from one of the node's addresses.
    fn connect(&self, from: IpAddr) -> TcpStream {
        steering::connect(self.pair.node(), from, self.data(from)).unwrap()
    }

    fn node(&self) -> IpAddr {
        self.pair.node().ipv4().into()
    }

    /// One probe from one of the node's addresses.
    fn probe(&self, from: IpAddr) -> std::io::Result<String> {
        let to = self.data(from);
        self.pair.node().run(|| probe(from, to)).unwrap()
    }

    fn admin(&self, path: &str) -> String {
        self.pair.pod().run(|| self.proxy.admin(path)).unwrap()
    }

    /// A sample of `/metrics`; 0 if it is not there.
    fn metric(&self, name: &str) -> f64 {
        let text = self.admin("/metrics");
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Waits until a sample has a value.
    fn wait_metric(&self, name: &str, value: f64) {
        lab::eventually(name, || (self.metric(name) - value).abs() < f64::EPSILON);
    }
}

/// One probe as the kubelet makes it, from the node's namespace.
fn probe(from: IpAddr, to: SocketAddr) -> std::io::Result<String> {
    let deadline = Instant::now() + PATIENCE;
    let mut stream = steering::connect_here(from, to, PATIENCE)?;
    let left = deadline.saturating_duration_since(Instant::now());
    stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
    stream.write_all(PROBE)?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

const STEERED: &str = "holysheep_kernel_probes_steered_total{}";
const HEALTHY: &str = "holysheep_probes_total{path=\"/health\",status=\"200\"}";
const HANDED_OVER: &str = "holysheep_probe_handovers_total{}";

pub(crate) fn steered(_: &Lab) -> Outcome {
    let rig = Rig::start("probes: {sources: [SOURCES]}")?;
    let is_healthy =
        |text: &str| text.starts_with("HTTP/1.1 200 ") && text.ends_with("\r\n\r\nhealthy\n");
    for from in rig.pair.node().addresses() {
        let text = rig.probe(from).unwrap();
        assert!(is_healthy(&text), "{text}");
    }
    assert!((rig.metric(STEERED) - 2.0).abs() < f64::EPSILON);
    rig.wait_metric(HEALTHY, 2.0);
    // From elsewhere a worker says the same, and logs it.
    let mut client = Client::over(rig.connect("10.78.0.9".parse().unwrap()));
    let reply = client.request("GET", "/health", "", b"");
    assert_eq!((reply.status, reply.body.as_str()), (200, "healthy\n"));
    assert_eq!(rig.proxy.log(1).len(), 1);
    assert!((rig.metric(STEERED) - 2.0).abs() < f64::EPSILON);
    let queue = "holysheep_kernel_accept_queue_seconds_count{listener=\"probe\",source=\"ebpf\"}";
    rig.wait_metric(queue, 2.0);
    assert!(rig.metric("holysheep_accept_queue_limit{listener=\"data\"}") >= 8.0);

    let status = serde_json::from_str::<serde_json::Value>(&rig.admin("/status")).unwrap();
    let probes = &status["probes"];
    assert_eq!(probes["steered"], true, "{status}");
    assert_eq!(probes["steered_connections"], 2);
    assert_eq!(probes["sources"].as_array().unwrap().len(), 2);
    assert_eq!(status["kernel"]["programs"][2]["attached"], true);
    let page = rig.admin("/");
    assert!(
        page.contains("steered from 10.78.0.1/32, fd78::1/128 (2 connections, 0 handed over)"),
        "{page}"
    );
    Ok(())
}

pub(crate) fn handed_over(_: &Lab) -> Outcome {
    let rig = Rig::start("workers: 2\nprobes: {sources: [SOURCES]}")?;
    // A probe, then a request, on one connection; and the other way round.
    let mut client = Client::over(rig.connect(rig.node()));
    assert_eq!(client.request("GET", "/livez", "", b"").body, "ok\n");
    for _ in 0..2 {
        let reply = client.request("POST", CHAT, "", QUESTION);
        assert_eq!(reply.status, 200, "{}", reply.body);
    }
    assert_eq!(client.request("GET", "/health", "", b"").body, "healthy\n");
    let line = &rig.proxy.log(3)[0];
    assert_eq!(line["remote_addr"], rig.node().to_string(), "{line}");
    rig.wait_metric(HANDED_OVER, 1.0);
    // In pieces, as it may come; the first already says that it is none.
    let mut slow = rig.connect(rig.node());
    let request = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        QUESTION.len()
    );
    for piece in [&b"P"[..], b"O", &request.as_bytes()[2..], QUESTION] {
        slow.write_all(piece).unwrap();
    }
    let mut text = String::new();
    slow.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
    // What is no HTTP is refused as it always is.
    let mut wrong = rig.connect(rig.node());
    wrong.write_all(b"GET /health\r\n\r\n").unwrap();
    let mut text = String::new();
    wrong.read_to_string(&mut text).unwrap();
    assert!(
        text.contains("x-holysheep-error: invalid_request"),
        "{text}"
    );
    // With prior knowledge of h2: a settings frame comes back.
    let mut h2 = rig.connect(rig.node());
    h2.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .unwrap();
    let mut frame = [0; 9];
    h2.read_exact(&mut frame).unwrap();
    assert_eq!(frame[3], 4, "{frame:?}");
    rig.wait_metric(HANDED_OVER, 4.0);
    assert_eq!(rig.emulator.stats().requests, 3);
    Ok(())
}

/// A TLS connection from the node.
fn encrypted(
    rig: &Rig,
    config: &Arc<ClientConfig>,
    name: ServerName<'static>,
) -> StreamOwned<ClientConnection, TcpStream> {
    let pod = SocketAddr::new(
        rig.pair.pod().ipv4().into(),
        rig.proxy.tls_addr().unwrap().port(),
    );
    let stream = steering::connect(rig.pair.node(), rig.node(), pod).unwrap();
    StreamOwned::new(
        ClientConnection::new(Arc::clone(config), name).unwrap(),
        stream,
    )
}

pub(crate) fn encrypted_too(_: &Lab) -> Outcome {
    let directory = Directory::new();
    let authority = Authority::new().unwrap();
    let name = "proxy.test";
    let pems = authority.server_pem(&[name, "10.78.0.2"]).unwrap();
    for (file, pem) in ["cert.pem", "key.pem"].iter().zip([&pems.0, &pems.1]) {
        std::fs::write(directory.path().join(file), pem).unwrap();
    }
    let path = directory.path().display();
    let tls =
        format!("tls: {{listen: '[::]:0', certificate: {path}/cert.pem, key: {path}/key.pem}}");
    let rig = Rig::start(&format!("{tls}\nprobes: {{sources: [SOURCES]}}"))?;
    let by_address = || ServerName::try_from("10.78.0.2").unwrap();
    let by_name = || ServerName::try_from(name).unwrap();
    let http1 = authority.client_config(&["http/1.1"]).unwrap();
    let health = |name: ServerName<'static>| {
        let mut stream = encrypted(&rig, &http1, name);
        stream.write_all(PROBE).unwrap();
        let mut text = String::new();
        // The end of the connection is the end of the answer.
        let _ = stream.read_to_string(&mut text);
        assert!(text.ends_with("\r\n\r\nhealthy\n"), "{text}");
    };
    // The kubelet asks an address.
    health(by_address());
    rig.wait_metric(HEALTHY, 1.0);
    // Whoever asks a name is no probe, so that handshakes of users stay with the workers.
    health(by_name());
    rig.wait_metric(HANDED_OVER, 1.0);
    assert_eq!(rig.proxy.log(1)[0]["status"], 200);
    // What asks for something else behind the handshake is handed over with it.
    let mut stream = encrypted(&rig, &http1, by_address());
    stream
        .write_all(b"GET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
    rig.wait_metric(HANDED_OVER, 2.0);
    let h2 = authority.client_config(&["h2"]).unwrap();
    let mut stream = encrypted(&rig, &h2, by_address());
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .unwrap();
    let mut frame = [0; 9];
    stream.read_exact(&mut frame).unwrap();
    assert_eq!(frame[3], 4, "{frame:?}");
    rig.wait_metric(HANDED_OVER, 3.0);
    Ok(())
}

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

/// Users connect anew for each request, as many as a worker could serve that had all of its time, and it has a tenth: its
/// queue stays full. Every probe is answered in time all the same.
pub(crate) fn past_busy_workers(_: &Lab) -> Outcome {
    // Where the processor is emulated, so many would leave the worker none of it for seconds.
    let (users, limit) = match lab::is_emulated() {
        true => (20, "1m"),
        false => (90, "5s"),
    };
    let limits = format!("probes: {{sources: [SOURCES], worker_limit: {limit}}}");
    let rig = Rig::start(&format!("{limits}\nlog: {{access: 'off'}}"))?;
    let other: IpAddr = "10.78.0.9".parse().unwrap();
    let (from, to) = (rig.node(), rig.data(other));
    let (stop, served) = (AtomicBool::new(false), AtomicU64::new(0));
    let (mut failed, mut took, mut full) = (0, Vec::new(), 0);
    let looks = 20;
    let all = || {
        std::thread::scope(|scope| {
            let _stop = steering::Ended(&stop);
            scope.spawn(|| burden(rig.proxy.app().inbox(0).unwrap(), &stop));
            for _ in 0..users {
                scope.spawn(|| {
                    while !stop.load(Relaxed) {
                        let result = user(other, to);
                        served.fetch_add(u64::from(result.is_ok()), Relaxed);
                    }
                });
            }
            lab::eventually("the queue is full", || waiting(&rig) >= 8);
            for _ in 0..looks {
                let (lost, times) = probes(from, to, many() / looks);
                full += usize::from(waiting(&rig) >= 8);
                failed += lost;
                took.extend(times);
            }
        });
    };
    rig.pair.node().run(all).unwrap();
    took.sort_unstable();
    report("past busy workers", failed, &took);
    let served = served.load(Relaxed);
    println!("  {served} users served; the queue was full at {full} of {looks} looks");
    assert_eq!(failed, 0);
    assert!(full > looks / 4 && served > 0);
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

/// A probe thread that is well does not hide a worker that is not.
pub(crate) fn a_wedged_worker_is_told(_: &Lab) -> Outcome {
    let rig = Rig::start("workers: 2\nprobes: {sources: [SOURCES], worker_limit: 500ms}")?;
    let (release, released) = mpsc::channel::<()>();
    rig.proxy.app().inbox(1).unwrap().send(move |_| {
        // Ends with an error when the test lets go.
        let _ = released.recv();
    });
    let mut text = String::new();
    lab::eventually("liveness fails", || {
        text = rig.probe(rig.node()).unwrap();
        text.starts_with("HTTP/1.1 503 ")
    });
    assert!(text.contains("\r\n\r\nworker-1 has not run for "), "{text}");
    // Others are served by the worker that runs.
    let mut client = Client::over(rig.connect(rig.node()));
    assert_eq!(client.request("POST", CHAT, "", QUESTION).status, 200);
    drop(release);
    lab::eventually("liveness returns", || {
        rig.probe(rig.node()).unwrap().starts_with("HTTP/1.1 200 ")
    });
    Ok(())
}
