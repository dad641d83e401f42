//! Clients' keys, and what they are told by, show nowhere; and bad keys leave nothing behind.

use std::process::Stdio;

use holysheep_emulator::Emulator;
use holysheep_proxy::clients::key;

use crate::harness::client::request;
use crate::harness::clients::{Keyed, stranger, text};
use crate::harness::program::{Served, command};
use crate::harness::{CHAT, Client, Directory, QUESTION, eventually};

/// The program, which logs all it can.
struct Proxy {
    served: Served,
    directory: Directory,
    _emulator: Emulator,
}

impl Proxy {
    fn start(clients: &[&Keyed], level: &str) -> Self {
        let emulator = Emulator::builder().start_blocking().unwrap();
        let directory = Directory::new();
        let ca = directory.write("ca.pem", emulator.authority().unwrap().ca_pem());
        let log = directory.path("access.log");
        let yaml = format!("log: {{level: {level}, access: '{}'}}", log.display());
        let mut command = command(["serve", "--listen", "127.0.0.1:0", "--ebpf", "off"]);
        command
            .args([
                "--admin-listen",
                "127.0.0.1:0",
                "--log-format",
                "json",
                "--workers",
                "1",
            ])
            .args(["--upstream", emulator.base_url(), "--auth", "clients"])
            .arg("--upstream-ca")
            .arg(ca)
            .arg("--config")
            .arg(directory.write("config.yaml", &yaml))
            .arg("--clients-file")
            .arg(directory.write("clients.yaml", &text(clients)))
            .env("HOLYSHEEP_API_KEY", emulator.api_key())
            .stdout(Stdio::null());
        Self {
            served: Served::start(&mut command),
            directory,
            _emulator: emulator,
        }
    }

    fn admin(&self, path: &str) -> String {
        Client::connect(self.served.admin_addr())
            .request("GET", path, &[], b"")
            .text()
    }

    /// Everything that anybody can see of it.
    fn shown(&self) -> String {
        let paths = ["/metrics", "/status", "/config", "/", "/readyz"];
        let mut shown: Vec<_> = paths.iter().map(|path| self.admin(path)).collect();
        shown.push(std::fs::read_to_string(self.directory.path("access.log")).unwrap());
        shown.extend(self.served.log());
        shown.join("\n")
    }
}

#[test]
fn no_key_salt_or_hash_is_shown_after_requests_of_all_kinds() {
    let good = Keyed::new("good", "");
    let limited = Keyed::new(
        "limited",
        r#""models": ["x"], "routes": ["/v1/chat/completions"]"#,
    );
    let old = Keyed::new("old", r#""expires": "2026-01-31""#);
    let off = Keyed::new("off", r#""disabled": true"#);
    let clients = [&good, &limited, &old, &off];
    let proxy = Proxy::start(&clients, "trace");
    let mut secrets: Vec<String> = Vec::new();
    let mut replies = String::new();
    let mut ask = |key: &str, path: &str| {
        for (field, value) in [
            ("authorization", format!("Bearer {key}")),
            ("authorization", key.to_owned()),
            ("x-api-key", key.to_owned()),
            ("api-key", format!("{key}x")),
            (
                "sec-websocket-protocol",
                format!("openai-insecure-api-key.{key}"),
            ),
        ] {
            let fields = [(field, &*value), ("content-type", "application/json")];
            let method = if path == CHAT { "POST" } else { "GET" };
            let body = if path == CHAT { QUESTION } else { "" };
            let mut client = Client::connect(proxy.served.data_addr());
            let reply = client.request(method, path, &fields, body.as_bytes());
            replies.push_str(&format!("{reply:?}"));
        }
    };
    for client in clients {
        let wrong = client.with_a_wrong_secret();
        for key in [&client.key, &wrong] {
            for path in [CHAT, "/v1/models", "/v1/realtime?model=x", "/v1/files"] {
                ask(key, path);
            }
            secrets.push(key[3 + key::ID + 1..].to_owned());
        }
        secrets.extend([client.salt.clone(), client.hash.clone()]);
    }
    let nobody = stranger();
    ask(&nobody, CHAT);
    ask(&format!("{nobody}?"), "/v1/models?key=query");
    secrets.push(nobody[3 + key::ID + 1..].to_owned());
    // A file with the secrets in the wrong places.
    let bad = text(&[&good]).replace("\"salt\"", &format!("\"{}\"", good.hash));
    proxy.directory.write("clients.yaml", &bad);
    eventually(|| {
        proxy
            .served
            .logged("the clients stay as they were")
            .is_some()
    });
    let failed = "holysheep_clients_reload_failed 1";
    eventually(|| proxy.admin("/metrics").replace("{}", "").contains(failed));
    let lines = || std::fs::read_to_string(proxy.directory.path("access.log")).unwrap();
    eventually(|| lines().lines().count() >= 8 * 4 * 5);
    let shown = proxy.shown() + &replies;
    for secret in &secrets {
        // Half of one would be too much, too.
        let half = &secret[..secret.len() / 2];
        assert!(!shown.contains(half), "{half} in {shown}");
    }
    // What may be seen is there: the requests were the ones that were meant.
    for text in [
        "\"client\":\"good\"",
        "invalid_api_key",
        "model_not_allowed",
        "route_not_allowed",
        "has expired",
        "is disabled",
        &old.key[3..3 + key::ID],
    ] {
        assert!(shown.contains(text), "no {text}");
    }
}

#[test]
fn a_hundred_thousand_bad_keys_need_no_memory() {
    const KEYS: usize = 100_000;
    const TOGETHER: usize = 100;
    let good = Keyed::new("good", "");
    let proxy = Proxy::start(&[&good], "info");
    let mut client = Client::connect(proxy.served.data_addr());
    let mut number = 0;
    let mut ask = |count: usize| {
        for _ in 0..count / TOGETHER {
            let mut requests = Vec::new();
            for _ in 0..TOGETHER {
                number += 1;
                // Each has an id of its own, and every other the form of a key.
                let secret = "s".repeat(42 + number % 2);
                let key = format!("hs-{number:012}-{secret}");
                requests.extend(request("GET", "/v1/models", &[("x-api-key", &key)], b""));
            }
            client.send(requests);
            for _ in 0..TOGETHER {
                assert_eq!(client.reply().status, 401);
            }
        }
    };
    ask(KEYS / 10);
    let before = resident(&proxy.served);
    ask(KEYS);
    let after = resident(&proxy.served);
    // A byte of each would be 100 kB, its hash alone 3 MB. What moves is the log's and the allocator's.
    assert!(after < before + 1024, "{before} kB, then {after} kB");
    let bearer = good.bearer();
    let reply = client.request("GET", "/v1/models", &[("authorization", &bearer)], b"");
    assert_eq!(reply.status, 200);
    let series = || {
        let metrics = proxy.admin("/metrics");
        let lines = metrics.lines().filter(|line| line.contains("client=\""));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    eventually(|| series().iter().any(|line| line.contains("_requests_total")));
    let is_of_client = |line: &String| line.contains("client=\"good\"");
    let series = series();
    assert!(
        series.iter().all(is_of_client),
        "only clients have series: {series:?}"
    );
}

/// Resident memory in kB.
fn resident(served: &Served) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", served.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.unwrap().parse().unwrap()
}
