//! The port for probes, and what liveness and readiness say: all that needs no kernel program.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use holysheep_proxy::worker::Inbox;
use rustix::process::Signal;
use serde_json::json;

use crate::harness::program::{self, Served};
use crate::harness::{CHAT, Client, Directory, QUESTION, Reply, Rig, client, eventually, soon};

/// A port for probes beside the others, and limits a test can wait for.
const PROBES: &str = "probes: {listen: '127.0.0.1:0', worker_limit: 500ms}";

fn probe_addr(rig: &Rig) -> SocketAddr {
    rig.app().addresses().probe.unwrap()
}

/// Each on a connection of its own, as the kubelet does it.
fn probe(rig: &Rig, path: &str) -> Reply {
    let fields = [("user-agent", "kube-probe/1.31"), ("connection", "close")];
    Client::connect(probe_addr(rig)).request("GET", path, &fields, b"")
}

/// Keeps a worker busy until it is dropped.
struct Wedge(#[expect(dead_code, reason = "dropping it ends the wedge")] mpsc::Sender<()>);

impl Wedge {
    fn new(inbox: &Inbox) -> Self {
        let (release, released) = mpsc::channel();
        let (wedged, is_wedged) = mpsc::channel();
        inbox.send(move |_| {
            wedged.send(()).unwrap();
            // Ends with an error when the test lets go.
            let _ = released.recv();
        });
        is_wedged.recv().unwrap();
        Self(release)
    }
}

#[test]
fn the_port_for_probes_answers_probes_and_nothing_else() {
    let rig = Rig::with(PROBES);
    eventually(|| probe(&rig, "/readyz").status == 200);
    for (path, body) in [
        ("/health", "healthy\n"),
        ("/livez", "ok\n"),
        ("/livez?verbose", "ok\n"),
    ] {
        let reply = probe(&rig, path);
        assert_eq!((reply.status, reply.text().as_str()), (200, body), "{path}");
        assert_eq!(reply.header("connection"), Some("close"));
        assert!(reply.header("date").is_some());
    }
    for path in ["/", "/metrics", "/healthz", CHAT, "/v1/models"] {
        let reply = probe(&rig, path);
        assert_eq!(reply.status, 404, "{path}");
        assert_eq!(reply.text(), "here are /health /livez /readyz\n");
    }
    let posted = Client::connect(probe_addr(&rig)).request("POST", "/health", &[], b"x");
    assert_eq!(posted.status, 404);
    assert_eq!(rig.emulator.stats().requests, 0);
    let count = |path, status| {
        rig.metric(&format!(
            "holysheep_probes_total{{path=\"{path}\",status=\"{status}\"}}"
        ))
    };
    assert!((count("/livez", "200") - 2.0).abs() < f64::EPSILON);
    assert!((count("/health", "200") - 1.0).abs() < f64::EPSILON);
    let status = rig.admin("/status").json();
    assert_eq!(status["probes"]["listen"], probe_addr(&rig).to_string());
    assert_eq!(status["probes"]["steered"], false);
}

#[test]
fn a_probe_may_come_in_pieces_and_on_a_connection_that_is_kept() {
    let rig = Rig::with(PROBES);
    let mut stream = client::tcp(probe_addr(&rig));
    for byte in b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\nHEAD /health HTTP/1.0\r\n\r\n" {
        stream.write_all(&[*byte]).unwrap();
    }
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let answers: Vec<_> = text.split("HTTP/1.1 200 OK\r\n").collect();
    assert_eq!(answers.len(), 3, "{text}");
    assert!(answers[1].ends_with("\r\n\r\nok\n"), "{text}");
    assert!(!answers[1].contains("connection: close"), "{text}");
    assert!(answers[2].contains("content-length: 8\r\n"), "{text}");
    assert!(answers[2].ends_with("connection: close\r\n\r\n"), "{text}");
}

#[test]
fn a_wedged_worker_fails_liveness_by_name_although_probes_are_answered() {
    let rig = Rig::builder().config(PROBES).workers(2).start();
    eventually(|| probe(&rig, "/readyz").status == 200);
    let wedge = Wedge::new(rig.app().inbox(1).unwrap());
    eventually(|| probe(&rig, "/livez").status == 503);
    let reasons = probe(&rig, "/livez").text();
    assert!(
        reasons.starts_with("worker-1 has not run for "),
        "{reasons}"
    );
    assert_eq!(reasons.lines().count(), 1, "{reasons}");
    assert_eq!(probe(&rig, "/health").status, 503);
    assert_eq!(
        probe(&rig, "/readyz").status,
        503,
        "nor should traffic come"
    );
    let admin = rig.admin("/livez");
    assert_eq!(admin.status, 503);
    assert!(admin.text().starts_with("worker-1 "), "{admin:?}");
    // The other worker says the same, if the connection is its own.
    let health = [("connection", "close")];
    eventually(|| {
        let mut stream = client::tcp(rig.data_addr());
        stream
            .set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        stream
            .write_all(&client::request("GET", "/health", &health, b""))
            .unwrap();
        let mut start = [0; 12];
        stream
            .read_exact(&mut start)
            .is_ok_and(|()| start.ends_with(b"503"))
    });
    drop(wedge);
    eventually(|| probe(&rig, "/livez").status == 200);
    assert_eq!(rig.admin("/livez").status, 200);
}

#[test]
fn a_task_that_has_to_last_and_does_not_fails_liveness() {
    let rig = Rig::with(PROBES);
    eventually(|| probe(&rig, "/readyz").status == 200);
    let inbox = rig.app().inbox(0).unwrap();
    inbox.send(|_| panic!("on purpose: what runs jobs ends with one that panics"));
    eventually(|| probe(&rig, "/livez").status == 503);
    let reasons = probe(&rig, "/livez").text();
    assert_eq!(reasons, "worker-0: taking jobs has ended\n");
    assert_eq!(rig.admin("/livez").text(), reasons);
    // Users are served by what is left.
    assert_eq!(rig.post(CHAT, QUESTION).status, 200);
}

#[test]
fn without_descriptors_probes_are_answered_and_readiness_tells() {
    let limits = "probes: {accept_limit: 500ms}";
    let directory = Directory::new();
    let file = directory.write("config.yaml", limits);
    let (served, address) = serve(
        &["--ebpf", "off", "--workers", "1", "--config"],
        Some(&file),
    );
    let path = "/readyz";
    assert!(soon(
        || ask(address, "/livez").is_ok_and(|text| is_ok(&text))
    ));
    served.limit_descriptors(served.descriptors());
    // More than the few it may have had open only for a moment.
    let clients: Vec<_> = (0..16).map(|_| client::tcp(served.data_addr())).collect();
    let behind = |text: &str| text.contains("\nworker-0 is behind: connections wait ");
    let mut last = Err(ErrorKind::Other);
    let is_behind = soon(|| {
        last = ask(address, path);
        last.as_ref().is_ok_and(|text| behind(text))
    });
    assert!(is_behind, "{last:?}, {:?}", served.log());
    for _ in 0..20 {
        assert!(
            is_ok(&ask(address, "/livez").unwrap()),
            "it is busy, not ill"
        );
    }
    served.limit_descriptors(1024);
    assert!(soon(|| ask(address, path).is_ok_and(|text| !behind(&text))));
    drop(clients);
}

#[test]
fn without_upstream_readiness_fails_and_liveness_does_not() {
    let yaml = "probes: {listen: '127.0.0.1:0', upstream_limit: 500ms}";
    let rig = Rig::with(yaml);
    eventually(|| probe(&rig, "/readyz").status == 200);
    rig.emulator.stop_accepting();
    // Those that are open are not yet useless.
    let fields = [("x-emulator-fault", "close-after;requests=1")];
    eventually(|| {
        let _used = rig
            .client()
            .request("POST", CHAT, &fields, QUESTION.as_bytes());
        probe(&rig, "/readyz").status == 503
    });
    let reasons = probe(&rig, "/readyz").text();
    assert!(
        reasons.starts_with("upstream holysheep cannot be reached: "),
        "{reasons}"
    );
    assert_eq!(probe(&rig, "/livez").status, 200);
    rig.emulator.resume_accepting().unwrap();
    eventually(|| probe(&rig, "/readyz").status == 200);
}

#[test]
fn a_draining_proxy_is_alive_and_not_ready() {
    let rig = Rig::builder()
        .config(format!("{PROBES}\ntimeouts: {{drain: 20s}}"))
        .start();
    eventually(|| probe(&rig, "/readyz").status == 200);
    let mut stream = rig.connect();
    let fields = [("x-emulator-fault", "stall-before-headers;ms=1500")];
    let request = client::request("POST", CHAT, &fields, QUESTION.as_bytes());
    stream.write_all(&request).unwrap();
    rig.wait_stats(|stats| stats.requests == 1);
    rig.app().stop();
    let reply = probe(&rig, "/readyz");
    assert_eq!(
        (reply.status, reply.text().as_str()),
        (503, "the proxy is stopping\n")
    );
    assert_eq!(
        probe(&rig, "/livez").status,
        200,
        "it has to finish its work"
    );
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "the request was cut");
}

/// The program with a port for probes, which waits for nobody upstream.
fn serve(arguments: &[&str], file: Option<&Path>) -> (Served, SocketAddr) {
    let mut command = on_free_ports();
    command.args(["--probe-listen", "127.0.0.1:0"]);
    command.args(arguments).args(file);
    let served = Served::start(in_front_of_nothing(&mut command));
    let line = served.logged("serving").unwrap();
    let address = line["probes"].as_str().unwrap().parse().unwrap();
    (served, address)
}

fn on_free_ports() -> Command {
    let mut command = program::command(["serve", "--log-format", "json"]);
    for port in ["--listen", "--admin-listen"] {
        command.args([port, "127.0.0.1:0"]);
    }
    command
}

fn in_front_of_nothing(command: &mut Command) -> &mut Command {
    let upstream = "http://127.0.0.1:9/v1";
    command
        .env("HOLYSHEEP_API_KEY", "cr_x")
        .env("HOLYSHEEP_API_BASE_URL", upstream)
}

/// What a prober gets within its patience.
fn ask(address: SocketAddr, path: &str) -> Result<String, ErrorKind> {
    let mut stream = client::tcp(address);
    let patience = Some(Duration::from_millis(300));
    stream.set_read_timeout(patience).unwrap();
    let request = format!("GET {path} HTTP/1.0\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    let read = stream.read_to_string(&mut text);
    read.map(|_| text).map_err(|error| error.kind())
}

fn is_ok(text: &str) -> bool {
    text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\nok\n")
}

#[test]
fn a_paused_process_fails_by_silence() {
    let (served, address) = serve(&["--ebpf", "off"], None);
    assert!(soon(
        || ask(address, "/livez").is_ok_and(|text| is_ok(&text))
    ));
    served.signal(Signal::STOP);
    // The kernel still accepts for it, so that only a prober's patience tells.
    assert!(soon(|| ask(address, "/livez") == Err(ErrorKind::WouldBlock)));
    served.signal(Signal::CONT);
    assert!(soon(
        || ask(address, "/livez").is_ok_and(|text| is_ok(&text))
    ));
}

#[test]
fn without_kernel_programs_the_port_serves_and_the_log_says_so_once() {
    let sources = ["--ebpf", "off", "--probe-source", "10.0.0.1,fd00::/8"];
    let (served, address) = serve(&sources, None);
    assert!(soon(
        || ask(address, "/livez").is_ok_and(|text| is_ok(&text))
    ));
    let message = "probes are not steered: kernel programs are switched off (ebpf)";
    assert_eq!(served.times_logged(message), 1, "{:?}", served.log());
}

#[test]
fn sources_come_from_the_environment_and_bad_ones_are_named() {
    let mut command = on_free_ports();
    command
        .args(["--ebpf", "off"])
        .env("HOLYSHEEP_PROBE_SOURCES", "node,192.0.2.1")
        .env("HOST_IP", "198.51.100.4")
        .env("HOST_IPS", "198.51.100.4,2001:db8::4");
    let served = Served::start(in_front_of_nothing(&mut command));
    let mut admin = Client::connect(served.admin_addr());
    let config = admin.request("GET", "/config", &[], b"").json();
    let probes = &config["probes"];
    assert_eq!(probes["sources"], json!(["node", "192.0.2.1/32"]));
    assert_eq!(probes["node"][2], "2001:db8::4");

    let wrong = program::run(["serve", "--probe-source", "10.0.0.0/33"]);
    let text = program::text(&wrong.stderr);
    assert_eq!(wrong.status.code(), Some(2), "{text}");
    let expected = "expected `node`, an address, or a network";
    assert!(text.contains(expected), "{text}");
    let mut command = program::command(["serve"]);
    let output = command.env("HOST_IP", "nowhere").output().unwrap();
    let text = program::text(&output.stderr);
    assert!(
        text.contains("HOST_IP: \"nowhere\" is no address"),
        "{text}"
    );
}
