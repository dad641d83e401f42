//! Whose key goes where, and that it shows nowhere.

use std::os::unix::fs::symlink;
use std::path::Path;

use holysheep_emulator::FaultScope;

use crate::harness::program::{Served, command};
use crate::harness::{CHAT, Client, EMULATOR_KEY, MESSAGES, QUESTION, Reply, Rig, eventually};

const CLIENT_KEY: &str = "sk-client-7d1e-never-sent-upstream";
const BEARER: &str = "Bearer sk-client-7d1e-never-sent-upstream";

fn post_with(rig: &Rig, path: &str, fields: &[(&str, &str)]) -> Reply {
    rig.client()
        .request("POST", path, fields, QUESTION.as_bytes())
}

#[test]
fn the_proxys_key_takes_the_place_of_the_clients() {
    let rig = Rig::start();
    let bearer = format!("Bearer {EMULATOR_KEY}");
    let authorization = ("authorization", bearer.as_str());
    let x_api_key = ("x-api-key", EMULATOR_KEY);
    for (path, fields, expected) in [
        (CHAT, vec![], authorization),
        (CHAT, vec![("Authorization", BEARER)], authorization),
        (CHAT, vec![("api-key", CLIENT_KEY)], authorization),
        (CHAT, vec![("x-api-key", CLIENT_KEY)], authorization),
        (MESSAGES, vec![], x_api_key),
        (MESSAGES, vec![("X-Api-Key", CLIENT_KEY)], x_api_key),
        (MESSAGES, vec![("authorization", BEARER)], authorization),
        (MESSAGES, vec![("authorization", "Basic eDp5")], x_api_key),
        (
            MESSAGES,
            vec![("x-api-key", CLIENT_KEY), ("authorization", BEARER)],
            authorization,
        ),
        (
            CHAT,
            vec![("x-api-key", CLIENT_KEY), ("authorization", BEARER)],
            authorization,
        ),
        (
            CHAT,
            vec![("authorization", BEARER), ("authorization", BEARER)],
            authorization,
        ),
        (
            CHAT,
            vec![("connection", "authorization"), ("authorization", BEARER)],
            authorization,
        ),
    ] {
        let reply = post_with(&rig, path, &fields);
        assert_eq!(reply.status, 200, "{path} {fields:?}: {reply:?}");
        let request = rig.last_request();
        assert_eq!(request.header(expected.0), Some(expected.1), "{fields:?}");
        let credentials = ["authorization", "x-api-key", "api-key"];
        let sent = credentials.iter().filter(|name| request.has_header(name));
        assert_eq!(sent.count(), 1, "{fields:?}");
        assert!(!format!("{:?}", request.headers).contains(CLIENT_KEY));
    }
}

#[test]
fn a_new_key_is_used_when_its_file_changes() {
    let rig = Rig::builder()
        .edit(|_, directory, _| {
            directory.write("key", "cr_outdated");
        })
        .start();
    rig.wait_watching();
    assert_eq!(
        rig.post(CHAT, QUESTION).error(),
        Some("upstream_invalid_api_key")
    );
    // As editors do it: a new file in place of the old one.
    let new = rig.directory.write("key.new", &format!("{EMULATOR_KEY}\n"));
    std::fs::rename(new, rig.directory.path("key")).unwrap();
    eventually(|| rig.post(CHAT, QUESTION).status == 200);
    // And in place.
    rig.directory.write("key", "cr_outdated");
    eventually(|| rig.post(CHAT, QUESTION).status == 502);
}

#[test]
fn a_new_key_is_used_when_kubernetes_swaps_the_secret() {
    let rig = Rig::builder()
        .edit(|file, directory, _| {
            let root = directory.path("secret");
            std::fs::create_dir(&root).unwrap();
            mount(&root, "..2026_01", "cr_outdated");
            symlink("..data/api-key", root.join("api-key")).unwrap();
            file.upstream.api_key_file = Some(root.join("api-key"));
        })
        .start();
    rig.wait_watching();
    assert_eq!(rig.post(CHAT, QUESTION).status, 502);
    mount(&rig.directory.path("secret"), "..2026_02", EMULATOR_KEY);
    eventually(|| rig.post(CHAT, QUESTION).status == 200);
}

#[test]
fn a_key_that_changes_while_the_proxy_starts_is_used() {
    for _ in 0..5 {
        let rig = Rig::builder()
            .edit(|_, directory, _| {
                directory.write("key", "cr_outdated");
            })
            .start();
        let new = rig.directory.write("key.new", EMULATOR_KEY);
        std::fs::rename(new, rig.directory.path("key")).unwrap();
        eventually(|| rig.post(CHAT, QUESTION).status == 200);
    }
}

/// What the kubelet does: a new directory, then `..data` renamed over the old link.
fn mount(root: &Path, version: &str, key: &str) {
    std::fs::create_dir(root.join(version)).unwrap();
    std::fs::write(root.join(version).join("api-key"), key).unwrap();
    symlink(version, root.join("..data_tmp")).unwrap();
    std::fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
}

/// The real program in front of the rig's emulator; it lacks a key still.
fn program(rig: &Rig) -> std::process::Command {
    let mut program = command([
        "serve",
        "--listen=127.0.0.1:0",
        "--admin-listen=127.0.0.1:0",
    ]);
    program
        .env("HOLYSHEEP_API_BASE_URL", rig.emulator.base_url())
        .env("HOLYSHEEP_UPSTREAM_CA", rig.directory.path("ca.pem"))
        .stdout(std::process::Stdio::null());
    program
}

/// With a key file, so that its log tells when it has looked at the file.
fn with_key_file(rig: &Rig, key: &Path) -> Served {
    let mut program = program(rig);
    program
        .args(["--log-format=json", "--workers=1"])
        .env("HOLYSHEEP_API_KEY_FILE", key);
    Served::start(&mut program)
}

#[test]
fn a_file_without_a_key_leaves_the_old_one_in_use() {
    let rig = Rig::start();
    let path = rig.directory.write("program-key", EMULATOR_KEY);
    let served = with_key_file(&rig, &path);
    let ask = || {
        let mut client = Client::connect(served.data_addr());
        client
            .request("POST", CHAT, &[], QUESTION.as_bytes())
            .status
    };
    assert_eq!(ask(), 200);
    let kept = || served.times_logged("the upstream API key stays as it was");
    // The control thread watches files before it answers.
    Client::connect(served.admin_addr()).request("GET", "/livez", &[], b"");
    rig.directory.write("program-key", "");
    eventually(|| kept() >= 1);
    assert_eq!(ask(), 200);
    let before = kept();
    std::fs::remove_file(&path).unwrap();
    eventually(|| kept() > before);
    assert_eq!(ask(), 200);
    rig.directory.write("program-key", "cr_other");
    eventually(|| ask() == 502);
}

#[test]
fn passthrough_keeps_the_clients_key() {
    let rig = Rig::builder()
        .config("auth: passthrough")
        .without_key()
        .start();
    let own = format!("Bearer {EMULATOR_KEY}");
    let reply = post_with(&rig, CHAT, &[("Authorization", &own)]);
    assert_eq!(reply.status, 200);
    assert_eq!(
        rig.last_request().header("authorization"),
        Some(own.as_str())
    );
    let reply = post_with(&rig, MESSAGES, &[("x-api-key", EMULATOR_KEY)]);
    assert_eq!(reply.status, 200);
    assert!(!rig.last_request().has_header("authorization"));
}

#[test]
fn passthrough_passes_upstreams_refusal_on() {
    let rig = Rig::with("auth: passthrough");
    let reply = post_with(&rig, CHAT, &[("authorization", BEARER)]);
    assert_eq!((reply.status, reply.error()), (401, None));
    assert!(reply.text().contains("Incorrect API key provided."));
    assert_eq!(rig.last_request().header("authorization"), Some(BEARER));
}

#[test]
fn an_open_proxy_says_that_upstream_refused_its_own_key() {
    let rig = Rig::start();
    for code in [401, 403] {
        let reply = rig.faulty(&format!("status;code={code}"));
        assert_eq!(reply.status, 502);
        assert_eq!(reply.error(), Some("upstream_invalid_api_key"));
    }
    rig.wait_rejected("upstream_invalid_api_key", 2);
    let sample = "holysheep_upstream_requests_total{upstream=\"holysheep\",outcome=\"upstream_invalid_api_key\"}";
    rig.wait_metric(sample, 2.0);
}

#[test]
fn without_a_key_nothing_is_sent() {
    let rig = Rig::builder().without_key().start();
    for path in [CHAT, MESSAGES] {
        let reply = rig.post(path, QUESTION);
        assert_eq!(reply.status, 502);
        assert_eq!(reply.error(), Some("upstream_invalid_api_key"));
        assert!(reply.text().contains("no upstream API key"));
    }
    assert_eq!(rig.get("/v1/models").status, 502);
    assert_eq!(rig.emulator.stats().requests, 0);
}

/// Provokes errors of many kinds and returns every byte clients got.
fn provoke(address: std::net::SocketAddr) -> String {
    let mut seen = String::new();
    let mut ask = |method: &str, path: &str, fields: &[(&str, &str)], body: &str| {
        let reply = Client::connect(address).request(method, path, fields, body.as_bytes());
        seen.push_str(&String::from_utf8_lossy(&reply.raw));
    };
    for path in [CHAT, MESSAGES] {
        for fault in [
            "status;code=401",
            "status;code=403",
            "503",
            "reset",
            "cut;after=5",
            "stall-before-headers",
            "stall-after-headers",
            "malformed;kind=status-line",
            "malformed;kind=chunk-size",
            "malformed;kind=length-and-chunked",
            "oversized-headers",
        ] {
            let fields = [("x-emulator-fault", fault), ("authorization", BEARER)];
            ask("POST", path, &fields, QUESTION);
        }
        ask("GET", path, &[("authorization", BEARER)], "");
        ask("POST", path, &[("bad name", BEARER)], "");
        ask("POST", path, &[("x-api-key", CLIENT_KEY)], "not json");
    }
    ask(
        "GET",
        "/v1/models?key=sk-client-7d1e-never-sent-upstream",
        &[],
        "",
    );
    ask("GET", "/nowhere", &[("api-key", CLIENT_KEY)], "");
    seen
}

fn assert_no_key(place: &str, text: &str) {
    for key in [EMULATOR_KEY, CLIENT_KEY] {
        assert!(!text.contains(key), "{key} in {place}: {text}");
    }
}

#[test]
fn no_key_shows_in_anything_the_proxy_says() {
    // No connection ahead of need: the first request meets the certificate.
    let yaml = "timeouts: {first_byte: 200ms, idle: 200ms}\nupstream: {min_idle: 0}";
    let rig = Rig::with(yaml);
    rig.fault("expired-certificate", FaultScope::Next(1));
    let reply = post_with(&rig, CHAT, &[("authorization", BEARER)]);
    assert_eq!(reply.error(), Some("upstream_certificate_expired"));
    assert_no_key(
        "a certificate's refusal",
        &String::from_utf8_lossy(&reply.raw),
    );
    assert_no_key("answers", &provoke(rig.data_addr()));
    rig.wait_log(31);
    assert_no_key("the access log", &rig.log_text());
    for path in ["/metrics", "/status", "/config", "/", "/readyz", "/livez"] {
        assert_no_key(path, &rig.admin(path).text());
    }
    let config = rig.admin("/config").text();
    assert!(config.contains("api_key_file"), "{config}");
}

#[test]
fn no_key_shows_in_the_programs_own_log() {
    let rig = Rig::start();
    let config = rig.directory.write(
        "config.yaml",
        "timeouts: {first_byte: 200ms, idle: 200ms}\nlog: {level: trace, format: json}\n",
    );
    let mut program = program(&rig);
    program
        .env("HOLYSHEEP_API_KEY", EMULATOR_KEY)
        .env("HOLYSHEEP_CONFIG", config);
    let served = Served::start(&mut program);
    assert_no_key("answers", &provoke(served.data_addr()));
    let shown = Client::connect(served.admin_addr()).request("GET", "/config", &[], b"");
    assert!(shown.text().contains("(redacted)"), "{}", shown.text());
    assert_no_key("/config", &shown.text());
    assert_no_key("the log", &served.log().join("\n"));
}
