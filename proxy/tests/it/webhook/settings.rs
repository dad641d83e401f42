//! Where the secret comes from, and what `check` says of it and of the receiver.

use super::receiver::Receiver;
use super::sender::{BODY, Notice, SECRET, post};
use crate::harness::program::{Served, assert_line, command, text};
use crate::harness::{Client, Directory};
use holysheep_emulator::Emulator;

const KEY: &str = "cr_webhook_settings";

fn emulator() -> Emulator {
    Emulator::builder().api_key(KEY).start_blocking().unwrap()
}

/// `check` with a section `webhook:`.
fn check(emulator: &Emulator, directory: &Directory, webhook: &str) -> (Option<i32>, String) {
    let ca = directory.write("ca.pem", emulator.authority().unwrap().ca_pem());
    let yaml = format!(
        "upstream: {{base_url: '{}', ca_file: '{}'}}\nwebhook: {webhook}",
        emulator.base_url(),
        ca.display()
    );
    let file = directory.write("config.yaml", &yaml);
    let mut program = command([
        "check",
        "--admin-listen=127.0.0.1:1",
        "--ebpf=off",
        "--config",
        file.to_str().unwrap(),
    ]);
    let output = program.env("HOLYSHEEP_API_KEY", KEY).output().unwrap();
    (output.status.code(), text(&output.stdout))
}

#[test]
fn check_looks_at_secret_and_receiver() {
    let emulator = emulator();
    let directory = Directory::new();
    let receiver = Receiver::start();
    let secret = directory.write("secret", SECRET);
    let short = directory.write("short", "abc");
    let to = format!("http://{}/pay?token=t", receiver.address);
    let section = |secret: &str| format!("{{secret_file: '{secret}', forward_to: '{to}'}}");
    let (code, lines) = check(&emulator, &directory, &section(secret.to_str().unwrap()));
    assert_eq!(code, Some(0), "{lines}");
    assert_line(&lines, "pass  webhook      secret: 1 secret");
    let shown = format!("http://{}/pay?… can be connected to", receiver.address);
    assert_line(&lines, &format!("pass  webhook      receiver: {shown}"));
    assert!(receiver.received().is_empty(), "nothing may be sent");
    let (code, lines) = check(&emulator, &directory, &section(short.to_str().unwrap()));
    assert_eq!(code, Some(0), "{lines}");
    assert_line(
        &lines,
        "warn  webhook      secret: a secret has fewer than 24 bytes",
    );
    drop(receiver);
    let (code, lines) = check(&emulator, &directory, &section("/nowhere/secret"));
    assert_eq!(code, Some(1), "{lines}");
    assert_line(
        &lines,
        "FAIL  webhook      secret: webhook.secret_file /nowhere/secret",
    );
    assert_line(&lines, "FAIL  webhook      receiver: http://127.0.0.1");
    assert!(!lines.contains("token=t"), "{lines}");
}

#[test]
fn the_secret_may_come_from_the_environment() {
    let (emulator, directory, receiver) = (emulator(), Directory::new(), Receiver::start());
    let yaml = format!(
        "{{listen: '127.0.0.1:0', admin_listen: '127.0.0.1:0', workers: 1, log: {{format: json}}, ebpf: off, \
         upstream: {{base_url: '{}', min_idle: 0}}, webhook: {{forward_to: 'http://{}'}}}}",
        emulator.base_url(),
        receiver.address
    );
    let file = directory.write("config.yaml", &yaml);
    let serve = || {
        let mut program = command(["serve", "--config", file.to_str().unwrap()]);
        program.env("HOLYSHEEP_API_KEY", KEY);
        program
    };
    let path = directory.write("secret", SECRET);
    for (id, name, value) in [
        ("msg_value", "HOLYSHEEP_WEBHOOK_SECRET", SECRET),
        (
            "msg_file",
            "HOLYSHEEP_WEBHOOK_SECRET_FILE",
            path.to_str().unwrap(),
        ),
    ] {
        let served = Served::start(serve().env(name, value));
        let mut client = Client::connect(served.data_addr());
        let reply = post(&mut client, &Notice::new(id).fields(), &[], BODY);
        assert_eq!(reply.status, 200, "{reply:?}");
        assert!(!served.log().concat().contains(&SECRET[6..]));
    }
    let refused = |program: &mut std::process::Command| {
        let output = program.output().unwrap();
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(!error.contains("bmV2"), "{error}");
        error
    };
    let error = refused(&mut serve());
    assert!(error.contains("webhook.secret_file: missing"), "{error}");
    let error = refused(serve().env("HOLYSHEEP_WEBHOOK_SECRET_FILE", "/nowhere/secret"));
    assert!(
        error.contains("webhook.secret_file /nowhere/secret"),
        "{error}"
    );
    let error = refused(serve().env("HOLYSHEEP_WEBHOOK_SECRET", "whsec_bmV2?"));
    assert!(
        error.contains("HOLYSHEEP_WEBHOOK_SECRET: line 1"),
        "{error}"
    );
    let both = serve()
        .env("HOLYSHEEP_WEBHOOK_SECRET", SECRET)
        .env("HOLYSHEEP_WEBHOOK_SECRET_FILE", &path)
        .output()
        .unwrap();
    assert!(text(&both.stderr).contains("set together with"));
}
