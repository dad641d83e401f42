//! Several keys of one upstream: which is used, what happens when one is refused, and that none shows anywhere.

use holysheep_emulator::{FaultScope, RecordedRequest};
use holysheep_proxy::config::KeySource;

use crate::errors::assert_error;
use crate::harness::program::{Served, command};
use crate::harness::{CHAT, Client, MESSAGES, QUESTION, Reply, Rig, eventually};

/// Their names, and what nobody may see.
const KEYS: [(&str, &str); 3] = [
    ("blue", "cr_blue_81f3_never_shown"),
    ("green", "cr_green_27ac_never_shown"),
    ("red", "cr_red_90be_never_shown"),
];

/// A rig with all keys, all of which upstream accepts.
fn rig(config: &str) -> Rig {
    let builder = Rig::builder().config(config).emulator(|builder| {
        let keys = KEYS.map(|(_, key)| key);
        builder.api_keys(keys)
    });
    let builder = builder.edit(|file, directory, _| {
        file.upstream.api_key_file = None;
        file.upstream.api_keys = KEYS
            .map(|(name, key)| KeySource {
                name: name.to_owned(),
                file: directory.write(name, key),
            })
            .into();
    });
    builder.start()
}

/// Has upstream answer requests with the key at this position so.
fn refuse(rig: &Rig, key: usize, fault: &str, scope: FaultScope) {
    let fault = fault.parse().unwrap();
    rig.emulator.set_fault_of_key(key, fault, scope).unwrap();
}

/// The name of the key a request was sent with.
fn key_of(request: &RecordedRequest) -> &'static str {
    let bearer = request.header("authorization");
    let key = bearer.and_then(|bearer| bearer.strip_prefix("Bearer "));
    let key = key.or(request.header("x-api-key")).unwrap();
    KEYS.iter().find(|(_, known)| *known == key).unwrap().0
}

/// The names of the keys of all requests so far.
fn keys_used(rig: &Rig) -> Vec<&'static str> {
    rig.emulator.requests().iter().map(key_of).collect()
}

fn usable(rig: &Rig, key: &str) -> bool {
    let sample = format!("holysheep_upstream_key_usable{{upstream=\"holysheep\",key=\"{key}\"}}");
    rig.metric(&sample) > 0.5
}

#[track_caller]
fn assert_refusals(rig: &Rig, key: &str, status: u16, count: u32) {
    let labels = format!("upstream=\"holysheep\",key=\"{key}\",status=\"{status}\"");
    let sample = format!("holysheep_upstream_key_refusals_total{{{labels}}}");
    rig.wait_metric(&sample, f64::from(count));
}

/// The key that `/status` says is used.
fn current(rig: &Rig) -> String {
    let status = rig.admin("/status").json();
    let keys = status["upstream"]["keys"].as_array().unwrap().clone();
    let current = keys.iter().find(|key| key["current"] == true).unwrap();
    current["name"].as_str().unwrap().to_owned()
}

#[test]
fn a_refused_key_gives_way_to_the_next_and_no_client_learns_of_it() {
    for protocol in ["http1", "http2"] {
        for (status, fault, reason) in [
            (401, "401", "key_refused"),
            (402, "402", "key_refused"),
            (403, "403", "key_refused"),
            (429, "429;retry-after=30", "status_429"),
        ] {
            let rig = rig(&format!("upstream: {{protocol: {protocol}}}"));
            refuse(&rig, 0, fault, FaultScope::Always);
            let reply = rig.post(CHAT, QUESTION);
            assert_eq!(reply.status, 200, "{reply:?}");
            assert_eq!(reply.header("x-holysheep-attempts"), Some("2"));
            let reply = rig.post(MESSAGES, QUESTION);
            assert_eq!(reply.status, 200, "{reply:?}");
            assert_eq!(reply.header("x-holysheep-attempts"), None);
            assert_eq!(keys_used(&rig), ["blue", "green", "green"], "{fault}");
            assert_eq!(rig.assert_billed_once(), 2);
            assert_refusals(&rig, "blue", status, 1);
            assert_refusals(&rig, "green", status, 0);
            assert_eq!(
                ["blue", "green", "red"].map(|key| usable(&rig, key)),
                [false, true, true]
            );
            assert_eq!(current(&rig), "green");
            let labels = format!("upstream=\"holysheep\",reason=\"{reason}\"");
            rig.wait_metric(
                &format!("holysheep_upstream_retries_total{{{labels}}}"),
                1.0,
            );
            let line = rig.wait_log(2).remove(0);
            assert_eq!(
                (&line["attempts"], &line["retries"][0]),
                (&2.into(), &reason.into())
            );
        }
    }
}

#[test]
fn a_key_whose_limit_was_reached_is_used_again_in_its_time() {
    let rig = rig("");
    refuse(&rig, 0, "429;retry-after-ms=300", FaultScope::Next(1));
    assert_eq!(rig.post(CHAT, QUESTION).status, 200);
    assert_eq!(keys_used(&rig), ["blue", "green"]);
    eventually(|| {
        assert_eq!(rig.post(CHAT, QUESTION).status, 200);
        keys_used(&rig).last() == Some(&"blue")
    });
    assert!(usable(&rig, "blue"));
    assert_eq!(current(&rig), "blue");
    assert_refusals(&rig, "blue", 429, 1);
}

#[test]
fn the_next_but_one_is_used_if_the_next_is_refused_too() {
    let rig = rig("");
    refuse(&rig, 0, "402", FaultScope::Always);
    refuse(&rig, 1, "401", FaultScope::Always);
    let reply = rig.post(CHAT, QUESTION);
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("x-holysheep-attempts"), Some("3"));
    assert_eq!(keys_used(&rig), ["blue", "green", "red"]);
    assert_refusals(&rig, "blue", 402, 1);
    assert_refusals(&rig, "green", 401, 1);
    assert_eq!(current(&rig), "red");
}

/// All keys are refused in the same way; what the client gets.
fn ask_in_vain(rig: &Rig, fault: &str) -> Reply {
    let fault = fault.parse().unwrap();
    rig.emulator.set_fault(fault, FaultScope::Always).unwrap();
    let reply = rig.post(CHAT, QUESTION);
    assert_eq!(keys_used(rig), ["blue", "green", "red"]);
    assert_eq!(rig.billed(), [0]);
    for (name, _) in KEYS {
        eventually(|| !usable(rig, name));
    }
    reply
}

#[test]
fn when_all_are_refused_the_client_gets_the_error() {
    for status in [401, 403] {
        let rig = rig("");
        let reply = ask_in_vain(&rig, &status.to_string());
        assert_error(&reply, CHAT, 502, "upstream_invalid_api_key");
        rig.wait_rejected("upstream_invalid_api_key", 1);
        // The next one is not sent three times.
        assert_eq!(rig.post(CHAT, QUESTION).status, 502);
        assert_eq!(rig.requests(), [4]);
    }
    for (status, fault) in [(402, "402"), (429, "429;retry-after=30")] {
        let rig = rig("");
        let reply = ask_in_vain(&rig, fault);
        assert_eq!((reply.status, reply.error()), (status, None), "{reply:?}");
        assert!(reply.json()["error"]["message"].is_string());
        assert_eq!(reply.header("x-holysheep-attempts"), Some("3"));
    }
}

#[test]
fn when_all_are_refused_another_upstream_serves() {
    let rig = Rig::builder()
        .another(|builder| builder)
        .edit(|file, directory, _| {
            file.upstream.api_key_file = None;
            file.upstream.api_keys = [("one", "cr_wrong_1"), ("two", "cr_wrong_2")]
                .map(|(name, key)| KeySource {
                    name: name.to_owned(),
                    file: directory.write(name, key),
                })
                .into();
        });
    let rig = rig.start();
    let reply = rig.post(CHAT, QUESTION);
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(rig.requests(), [2, 1]);
    assert_eq!(rig.billed(), [0, 1]);
}

#[test]
fn a_key_is_good_again_when_its_file_changes() {
    let rig = rig("");
    let write = |key: &str| {
        let new = rig.directory.write("blue.new", key);
        std::fs::rename(new, rig.directory.path("blue")).unwrap();
    };
    let is_sent_with = |key: &str| {
        assert_eq!(rig.post(CHAT, QUESTION).status, 200);
        let last = rig.last_request();
        last.header("authorization") == Some(&format!("Bearer {key}"))
    };
    let (blue, green) = (KEYS[0].1, KEYS[1].1);
    rig.wait_watching();
    write("cr_outdated");
    eventually(|| is_sent_with(green));
    // For half a minute, were there no news.
    assert!(!usable(&rig, "blue"));
    assert_refusals(&rig, "blue", 401, 1);
    write(blue);
    eventually(|| usable(&rig, "blue"));
    eventually(|| is_sent_with(blue));
    assert_refusals(&rig, "blue", 401, 1);
}

#[track_caller]
fn assert_no_key(place: &str, text: &str) {
    for (_, key) in KEYS {
        assert!(!text.contains(key), "{key} in {place}: {text}");
    }
}

#[test]
fn no_key_shows_in_what_the_proxy_says_of_its_keys() {
    let rig = rig("");
    let reply = ask_in_vain(&rig, "401");
    assert_no_key("the answer", &String::from_utf8_lossy(&reply.raw));
    rig.wait_log(1);
    assert_no_key("the access log", &rig.log_text());
    for path in ["/metrics", "/status", "/config", "/", "/readyz"] {
        let text = rig.admin(path).text();
        assert_no_key(path, &text);
        assert!(
            path == "/readyz" || text.contains("green"),
            "{path}: {text}"
        );
    }
}

#[test]
fn no_key_shows_in_the_programs_own_log() {
    let rig = rig("");
    let keys = KEYS.map(|(name, _)| {
        let file = rig.directory.path(name);
        format!("{{name: {name}, file: {}}}", file.display())
    });
    let config = format!(
        "upstream: {{base_url: '{}', ca_file: {}, api_keys: [{}]}}\nlog: {{level: trace, format: json}}",
        rig.emulator.base_url(),
        rig.directory.path("ca.pem").display(),
        keys.join(", ")
    );
    let config = rig.directory.write("program.yaml", &config);
    let listen = ["--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"];
    let config = format!("--config={}", config.display());
    let mut program = command([&["serve", &config], &listen[..]].concat());
    program.stdout(std::process::Stdio::null());
    let served = Served::start(&mut program);
    refuse(&rig, 0, "403", FaultScope::Always);
    let mut client = Client::connect(served.data_addr());
    let reply = client.request("POST", CHAT, &[], QUESTION.as_bytes());
    assert_eq!(reply.status, 200);
    let said = "upstream refused a key, it is left alone";
    eventually(|| served.times_logged(said) == 1);
    let line = served.logged(said).unwrap();
    assert_eq!(
        (&line["key"], &line["status"]),
        (&"blue".into(), &403.into())
    );
    assert_no_key("the log", &served.log().join("\n"));
}
