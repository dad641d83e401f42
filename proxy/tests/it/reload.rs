//! The configuration file is read again when it changes: what can takes effect while connections live on.

mod upstreams;

use std::path::Path;
use std::process::Stdio;

use holysheep_emulator::Emulator;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::program::{Served, command};
use crate::harness::{CHAT, Client, Directory, EMULATOR_KEY, QUESTION, eventually, metrics, soon};

const OK: &str = "holysheep_config_reloads_total{result=\"ok\"}";
const FAILED: &str = "holysheep_config_reloads_total{result=\"failed\"}";
const BROKEN: &str = "holysheep_config_reload_failed";

/// A proxy with its configuration in a file.
struct Proxy {
    served: Served,
    emulator: Emulator,
    directory: Directory,
}

impl Proxy {
    fn start(text: &str) -> Self {
        let directory = Directory::new();
        directory.write("config.yaml", text);
        Self::at(directory, "config.yaml")
    }

    fn at(directory: Directory, file: &str) -> Self {
        let emulator = Emulator::builder()
            .api_key(EMULATOR_KEY)
            .start_blocking()
            .unwrap();
        let ca = directory.write("ca.pem", emulator.authority().unwrap().ca_pem());
        let key = directory.write("key", EMULATOR_KEY);
        let mut command = command(["serve", "--listen", "127.0.0.1:0", "--ebpf", "off"]);
        let command = command
            .args(["--admin-listen", "127.0.0.1:0", "--log-format", "json"])
            .args(["--upstream", emulator.base_url(), "--workers", "2"])
            .stdout(Stdio::null())
            .arg("--upstream-ca")
            .arg(ca)
            .arg("--api-key-file")
            .arg(key)
            .arg("--config")
            .arg(directory.path(file));
        let proxy = Self {
            served: Served::start(command),
            emulator,
            directory,
        };
        // The control thread watches before it answers anybody.
        assert_eq!(proxy.admin("/livez").status, 200);
        proxy
    }

    fn admin(&self, path: &str) -> crate::harness::Reply {
        Client::connect(self.served.admin_addr()).request("GET", path, &[], b"")
    }

    fn metric(&self, sample: &str) -> f64 {
        let text = self.admin("/metrics").text();
        metrics::sample(&text, sample).unwrap_or(-1.0)
    }

    #[track_caller]
    fn wait(&self, sample: &str, value: f64) {
        let is_there = || (self.metric(sample) - value).abs() < f64::EPSILON;
        assert!(soon(is_there), "{sample} is {}", self.metric(sample));
    }

    fn status(&self) -> Value {
        self.admin("/status").json()["config"].take()
    }

    fn client(&self) -> Client {
        Client::connect(self.served.data_addr())
    }
}

fn ask(client: &mut Client) -> u16 {
    client
        .request("POST", CHAT, &[], QUESTION.as_bytes())
        .status
}

#[test]
fn a_changed_limit_takes_effect_on_connections_that_are_open() {
    let proxy = Proxy::start("limits: {body: 1MB}");
    let mut clients: Vec<_> = (0..8).map(|_| proxy.client()).collect();
    for client in &mut clients {
        assert_eq!(ask(client), 200);
    }
    let before = proxy.status();
    proxy
        .directory
        .write("config.yaml", "limits: {body: 10}\ntimeouts: {idle: 7s}");
    proxy.wait(OK, 1.0);
    let config = proxy.admin("/config").json();
    assert_eq!(config["limits"]["body"], 10);
    assert_eq!(config["timeouts"]["idle"], "7s");
    for client in &mut clients {
        // Each worker has got it; the first answer shows that the connection lives.
        assert_eq!(client.request("GET", "/health", &[], b"").status, 200);
        assert!(soon(|| ask(&mut proxy.client()) == 413));
        assert_eq!(ask(client), 413);
    }
    let after = proxy.status();
    assert_ne!(after["hash"], before["hash"]);
    assert_eq!(after["needs_restart"], json!([]));
    proxy.wait(BROKEN, 0.0);
    let logged = proxy
        .served
        .logged("the configuration was reloaded")
        .unwrap();
    for field in ["limits.body", "timeouts.idle"] {
        assert!(
            logged["changed"].as_str().unwrap().contains(field),
            "{logged}"
        );
    }
    let page = proxy.admin("/").text();
    assert!(page.contains(after["hash"].as_str().unwrap()), "{page}");
}

#[test]
fn a_file_that_cannot_be_used_changes_nothing_and_is_told() {
    let proxy = Proxy::start("limits: {body: 1MB}");
    let before = proxy.status();
    let faults = [
        ("limits: {body: 10, nothing: 1}", "nothing"),
        ("limits: {body: 10, in_flight: 0}", "limits.in_flight"),
        ("limits: [", ""),
    ];
    for (count, (text, why)) in (1_u32..).zip(faults) {
        proxy.directory.write("config.yaml", text);
        proxy.wait(FAILED, f64::from(count));
        proxy.wait(BROKEN, 1.0);
        let status = proxy.status();
        assert!(status["error"].as_str().unwrap().contains(why), "{status}");
        assert_eq!(status["hash"], before["hash"]);
        assert_eq!(ask(&mut proxy.client()), 200);
        assert_eq!(proxy.admin("/config").json()["limits"]["body"], 1_000_000);
    }
    let message = "the new configuration cannot be used, the old one stays";
    assert!(proxy.served.logged(message).unwrap()["error"].is_string());
    std::fs::remove_file(proxy.directory.path("config.yaml")).unwrap();
    proxy.wait(FAILED, 4.0);
    proxy.directory.write("config.yaml", "limits: {body: 10}");
    proxy.wait(BROKEN, 0.0);
    assert_eq!(proxy.status()["error"], Value::Null);
    assert!(soon(|| ask(&mut proxy.client()) == 413));
}

#[test]
fn prices_follow_the_file() {
    let proxy = Proxy::start("prices: {m: {input: 0, output: 1}}");
    let sample = "holysheep_cost_usd_total{client=\"anonymous\",model=\"m\"}";
    assert_eq!(ask(&mut proxy.client()), 200);
    // 16 tokens.
    proxy.wait(sample, 0.000_016);
    proxy
        .directory
        .write("config.yaml", "prices: {m: {input: 0, output: 1000}}");
    proxy.wait(OK, 1.0);
    assert_eq!(proxy.status()["needs_restart"], json!([]));
    // Each worker has its own copy, which comes as a job.
    let is_dearer = || ask(&mut proxy.client()) == 200 && proxy.metric(sample) > 0.016;
    assert!(soon(is_dearer));
    proxy
        .directory
        .write("config.yaml", "prices: {m: {input: cheap, output: 1}}");
    proxy.wait(BROKEN, 1.0);
    let error = proxy.status()["error"].take();
    assert!(
        error.as_str().unwrap().contains("prices.m.input"),
        "{error}"
    );
}

/// As the kubelet does it: files in a directory of their own, a link to it that is swapped, and
/// links to the files through that link.
fn mount(directory: &Path, version: &str, text: &str) {
    let data = directory.join(version);
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("config.yaml"), text).unwrap();
    let temporary = directory.join("..data_tmp");
    std::os::unix::fs::symlink(version, &temporary).unwrap();
    std::fs::rename(temporary, directory.join("..data")).unwrap();
}

#[test]
fn a_config_map_that_is_swapped_is_read_again() {
    let directory = Directory::new();
    let volume = directory.path("volume");
    std::fs::create_dir(&volume).unwrap();
    mount(&volume, "..1", "limits: {body: 1MB}");
    std::os::unix::fs::symlink("..data/config.yaml", volume.join("config.yaml")).unwrap();
    let proxy = Proxy::at(directory, "volume/config.yaml");
    assert_eq!(ask(&mut proxy.client()), 200);
    mount(&volume, "..2", "limits: {body: 10}");
    proxy.wait(OK, 1.0);
    std::fs::remove_dir_all(volume.join("..1")).unwrap();
    assert!(soon(|| ask(&mut proxy.client()) == 413));
    mount(&volume, "..3", "limits: {body: 1MB}");
    proxy.wait(OK, 2.0);
    assert!(soon(|| ask(&mut proxy.client()) == 200));
    proxy.wait(FAILED, 0.0);
}

#[test]
fn what_needs_a_restart_is_named_and_the_rest_is_applied() {
    let proxy = Proxy::start("limits: {body: 1MB}");
    let text = "upstream: {tcp: {after_idle: 'off'}}\nauth: passthrough\nlog: {level: debug, access: 'off'}\n\
         limits: {body: 10}\nprobes: {accept_limit: 3s, sources: [node]}\n\
         # The command line says otherwise, before and after.\nworkers: 7";
    proxy.directory.write("config.yaml", text);
    proxy.wait(OK, 1.0);
    let mut fields: Vec<String> =
        serde_json::from_value(proxy.status()["needs_restart"].take()).unwrap();
    fields.sort();
    let expected = [
        "auth",
        "log.access",
        "probes.sources",
        "upstream.tcp.after_idle",
    ];
    assert_eq!(fields, expected);
    let message = "changed settings take effect after a restart only";
    eventually(|| proxy.served.logged(message).is_some());
    let logged = proxy.served.logged(message).unwrap();
    for field in expected {
        assert!(
            logged["fields"].as_str().unwrap().contains(field),
            "{logged}"
        );
    }
    let config = proxy.admin("/config").json();
    assert_eq!(config["auth"], "open", "what is in force");
    assert_eq!(config["probes"]["accept_limit"], "3s");
    assert_eq!(config["log_level"], "debug");
    assert!(soon(|| ask(&mut proxy.client()) == 413));
    // The log's filter follows at once: an h2 connection that ends badly is told at this level only.
    let is_debug = |line: &String| line.contains("\"level\":\"DEBUG\"");
    let mut broken = proxy.client();
    broken.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nno frame at all, whatever its length may be");
    eventually(|| proxy.served.log().iter().any(is_debug));
    // Taken back, nothing is left to restart for.
    proxy.directory.write("config.yaml", "limits: {body: 1MB}");
    proxy.wait(OK, 2.0);
    assert_eq!(proxy.status()["needs_restart"], json!([]));
}

#[test]
fn a_hangup_reads_the_file_even_if_it_is_the_same() {
    let proxy = Proxy::start("limits: {body: 1MB}");
    let mut client = proxy.client();
    assert_eq!(ask(&mut client), 200);
    proxy.wait(OK, 0.0);
    proxy.served.signal(Signal::HUP);
    proxy.wait(OK, 1.0);
    proxy.served.signal(Signal::HUP);
    proxy.wait(OK, 2.0);
    assert_eq!(ask(&mut client), 200);
}
