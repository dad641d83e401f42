//! A whole proxy in a pod's namespace, asked for its health from the node: the same port as everybody, past everybody's
//! queue.

pub(crate) mod load;
pub(crate) mod take_over;
pub(crate) mod tls;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use holysheep_emulator::Emulator;
use netlab::Pair;
use rustix::thread::CapabilitySet;

use crate::lab::{self, Lab};
use crate::proxy::{self, Client, Proxy};
use crate::{Outcome, privileges, steering};

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
    probe_within(from, to, PATIENCE)
}

/// The same with another limit.
fn probe_within(from: IpAddr, to: SocketAddr, patience: Duration) -> std::io::Result<String> {
    let deadline = Instant::now() + patience;
    let mut stream = steering::connect_here(from, to, patience)?;
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
    // Readiness by a path that workers know too is still a probe.
    let mut ready = Client::over(rig.connect(rig.node()));
    let reply = ready.request("GET", "/health?ready", "", b"");
    assert_eq!((reply.status, reply.body.as_str()), (200, "ok\n"));
    rig.wait_metric(
        "holysheep_probes_total{path=\"/readyz\",status=\"200\"}",
        1.0,
    );
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

/// The program without capabilities, where it is at hand: the port for probes serves, and the log says once what is missing.
pub(crate) fn without_capabilities(_: &Lab) -> Outcome {
    let program = proxy::program()?;
    let started = std::thread::spawn(move || {
        privileges::leave(CapabilitySet::empty());
        let mut serve = Command::new(program);
        serve.args([
            "serve",
            "--listen=127.0.0.1:0",
            "--admin-listen=127.0.0.1:0",
        ]);
        serve.args(["--probe-listen=127.0.0.1:0", "--probe-source=10.0.0.1"]);
        serve.args(["--upstream=http://127.0.0.1:9/v1", "--log-format=json"]);
        serve.env_clear().stderr(Stdio::piped()).spawn().unwrap()
    });
    let mut child = started.join().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut log = Vec::new();
    let address = lines.by_ref().map_while(Result::ok).find_map(|line| {
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        log.push(line["message"].as_str().unwrap_or_default().to_owned());
        line["probes"]
            .as_str()
            .map(|address| address.parse::<SocketAddr>().unwrap())
    });
    let reply = Client::over(TcpStream::connect(address.unwrap()).unwrap())
        .request("GET", "/livez", "", b"");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!((reply.status, reply.body.as_str()), (200, "ok\n"));
    for capability in ["CAP_BPF", "CAP_NET_ADMIN"] {
        let says = |line: &&String| line.contains("probe_steering: ") && line.contains(capability);
        assert_eq!(log.iter().filter(says).count(), 1, "{log:#?}");
    }
    Ok(())
}
