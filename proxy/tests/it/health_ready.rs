//! `/health?ready`: readiness on the traffic port, whoever answers there.

use std::net::SocketAddr;

use crate::harness::client::request;
use crate::harness::h2::H2;
use crate::harness::{CHAT, Client, EMULATOR_KEY, QUESTION, Reply, Rig, eventually};

const READY: &str = "/health?ready";
const ANSWERED: &str = "holysheep_http_requests_total{route=\"/health\",status=\"503\"}";

fn ask(address: SocketAddr, method: &str) -> Reply {
    let fields = [("user-agent", "kube-probe/1.31"), ("connection", "close")];
    Client::connect(address).request(method, READY, &fields, b"")
}

/// The data port, where a worker answers, and the port for probes.
fn both(rig: &Rig) -> [SocketAddr; 2] {
    [rig.data_addr(), rig.app().addresses().probe.unwrap()]
}

#[test]
fn it_says_what_readyz_does() {
    let rig = Rig::builder()
        .config("probes: {listen: '127.0.0.1:0'}")
        .without_key()
        .start();
    eventually(|| rig.admin("/readyz").text() == "there is no upstream API key\n");
    for address in both(&rig) {
        let reply = ask(address, "GET");
        assert_eq!(reply.status, 503);
        assert_eq!(reply.text(), "there is no upstream API key\n");
        let content_type = reply.header("content-type").unwrap();
        assert!(content_type.starts_with("text/plain"), "{content_type}");
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        assert_eq!(reply.error(), None, "an answer, not a refusal");
    }
    assert_eq!(H2::connect(rig.data_addr()).get(READY).status(), 503);
    // Liveness is another question.
    assert_eq!(rig.get("/health").text(), "healthy\n");
    assert_eq!(rig.get("/health?verbose").status, 200);
    rig.wait_metric(ANSWERED, 2.0);
    let probed = "holysheep_probes_total{path=\"/readyz\",status=\"503\"}";
    rig.wait_metric(probed, 1.0);
    rig.wait_metric(
        "holysheep_probes_total{path=\"/health\",status=\"503\"}",
        0.0,
    );
}

#[test]
fn a_proxy_that_is_ready_says_ok() {
    let rig = Rig::with("probes: {listen: '127.0.0.1:0'}");
    for address in both(&rig) {
        eventually(|| ask(address, "GET").status == 200);
        assert_eq!(ask(address, "GET").text(), "ok\n");
    }
    let mut client = rig.client();
    client.send("HEAD /health?ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let head = client.rest();
    assert!(head.starts_with(b"HTTP/1.1 200 ") && head.ends_with(b"\r\n\r\n"));
}

#[test]
fn it_follows_a_stop_and_needs_neither_key_nor_room() {
    let yaml = "auth: passthrough\nlimits: {in_flight: 1}\ntimeouts: {drain_delay: 2s}";
    let rig = Rig::with(yaml);
    eventually(|| ask(rig.data_addr(), "GET").status == 200);
    let mut busy = rig.client();
    let key = format!("Bearer {EMULATOR_KEY}");
    let fields = [
        ("x-emulator-fault", "stall-before-headers;ms=1500"),
        ("authorization", key.as_str()),
    ];
    let question = QUESTION.as_bytes();
    busy.send(request("POST", CHAT, &fields, question));
    rig.wait_stats(|stats| stats.in_flight == 1);
    assert_eq!(ask(rig.data_addr(), "GET").status, 200, "busy is not ill");
    rig.app().stop();
    let reply = ask(rig.data_addr(), "GET");
    let text = reply.text();
    assert_eq!(
        (reply.status, text.as_str()),
        (503, "the proxy is stopping\n")
    );
}
