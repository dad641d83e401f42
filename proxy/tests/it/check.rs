//! `check` of several upstreams and keys.

use holysheep_emulator::{Emulator, FaultScope};

use crate::harness::Directory;
use crate::harness::program::{assert_line, command, text};

/// Exit code and lines of a `check` of this configuration; `CA` and `DIR` stand for files.
fn check(emulator: &Emulator, directory: &Directory, yaml: &str) -> (Option<i32>, String) {
    let ca = directory.write("ca.pem", emulator.authority().unwrap().ca_pem());
    let keys = ca.parent().unwrap().to_str().unwrap();
    let url = format!(
        "base_url: '{}', ca_file: {}",
        emulator.base_url(),
        ca.display()
    );
    let yaml = yaml.replace("URL", &url).replace("DIR", keys);
    let file = directory.write("config.yaml", &yaml);
    let output = command([
        "check",
        "--admin-listen=127.0.0.1:1",
        "--ebpf=off",
        "--config",
        file.to_str().unwrap(),
    ])
    .output();
    let output = output.unwrap();
    (output.status.code(), text(&output.stdout))
}

#[test]
fn each_upstream_and_each_key_has_lines_of_its_own() {
    let emulator = Emulator::builder().api_keys(["cr_a", "sk-o"]);
    let emulator = emulator.start_blocking().unwrap();
    let directory = Directory::new();
    directory.write("a", "cr_a");
    directory.write("b", "cr_b");
    directory.write("o", "sk-o");
    let yaml = "{upstream: {URL, api_keys: [{name: team-a, file: DIR/a}, {name: team-b, file: DIR/b}]}, \
                upstreams: [{name: openai, URL, dialect: openai, api_key_file: DIR/o}, \
                {name: anthropic, URL, dialect: anthropic, api_keys: [{name: main, file: DIR/o}, {name: lost, file: DIR/none}]}]}";
    let (code, lines) = check(&emulator, &directory, yaml);
    assert_eq!(code, Some(1), "{lines}");
    for upstream in ["holysheep", "openai", "anthropic"] {
        for step in ["resolve", "connect", "tls"] {
            assert_line(&lines, &format!("pass  {step:<12} {upstream}: "));
        }
    }
    for (mark, key) in [
        ("pass", "holysheep, team-a: accepted"),
        ("FAIL", "holysheep, team-b: refused"),
        ("pass", "openai: accepted"),
        ("pass", "anthropic, main: accepted"),
        ("FAIL", "anthropic, lost: the key file"),
    ] {
        assert_line(&lines, &format!("{mark}  key          {key}"));
    }
    assert!(
        lines.contains("→ renew the key in the HolySheep console"),
        "{lines}"
    );
    assert!(
        lines.contains("correct the file in upstreams[1]"),
        "{lines}"
    );
    for key in ["cr_a", "cr_b", "sk-o"] {
        assert!(!lines.contains(key), "{lines}");
    }
    let requests = emulator.requests();
    assert_eq!(requests.len(), 4);
    let anthropic = requests.last().unwrap();
    assert!(anthropic.header("authorization").is_none());
    assert_eq!(anthropic.header("anthropic-version"), Some("2023-06-01"));
    assert!(
        requests
            .first()
            .unwrap()
            .header("anthropic-version")
            .is_none()
    );
}

#[test]
fn what_is_wrong_with_one_upstream_says_nothing_of_another() {
    let emulator = Emulator::builder().start_blocking().unwrap();
    let directory = Directory::new();
    directory.write("key", holysheep_emulator::DEFAULT_API_KEY);
    let yaml = "{upstream: {base_url: 'http://127.0.0.1:9/v1', api_key_file: DIR/key}, \
                upstreams: [{name: second, URL, api_key_file: DIR/key}, {name: third, URL}]}";
    emulator
        .set_fault("status;code=429".parse().unwrap(), FaultScope::Next(1))
        .unwrap();
    let (code, lines) = check(&emulator, &directory, yaml);
    assert_eq!(code, Some(1), "{lines}");
    for expected in [
        "FAIL  connect      holysheep: 127.0.0.1:9",
        "skip  tls          holysheep: ",
        "skip  key          holysheep: ",
        "pass  tls          second: ",
        "warn  key          second: its limit is reached",
        "FAIL  key          third: there is none",
    ] {
        assert_line(&lines, expected);
    }
    assert!(lines.contains("→ set upstreams[1].api_key_file"), "{lines}");
}
