//! The real program: what it refuses, what it says, how it stops.

use std::process::Stdio;

use holysheep_emulator::{DEFAULT_API_KEY, Emulator, FaultScope};

use crate::harness::client::request;
use crate::harness::program::{Served, command, run, text};
use crate::harness::{CHAT, Client, Directory, QUESTION, STREAMED, eventually};

const LISTEN: [&str; 3] = [
    "serve",
    "--listen=127.0.0.1:0",
    "--admin-listen=127.0.0.1:0",
];

/// Asserts that the program refuses to start and says all of this.
#[track_caller]
fn assert_refused(command: &mut std::process::Command, says: &[&str]) -> String {
    let output = command.output().unwrap();
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    for part in says {
        assert!(error.contains(part), "{part} in {error}");
    }
    error
}

#[track_caller]
fn refused_file(yaml: &str, says: &[&str]) -> String {
    let directory = Directory::new();
    let file = directory.write("config.yaml", yaml);
    let path = file.to_str().unwrap();
    assert_refused(&mut command(["serve", "--config", path]), says)
}

#[test]
fn an_address_others_can_reach_needs_a_word_on_auth() {
    let exposed = ["serve", "--listen=0.0.0.0:0", "--admin-listen=127.0.0.1:0"];
    assert_refused(
        &mut command(exposed),
        &["auth: not set", "0.0.0.0:0", "passthrough"],
    );
    let mut v6 = command(["serve"]);
    assert_refused(v6.env("HOLYSHEEP_LISTEN", "[::]:0"), &["auth: not set"]);
}

#[test]
fn an_address_others_can_reach_is_served_when_it_is_said() {
    let mut program = command(["serve", "--listen=0.0.0.0:0", "--admin-listen=127.0.0.1:0"]);
    program.args(["--auth=passthrough", "--log-format=json"]);
    let served = Served::start(program.stdout(Stdio::null()));
    assert_ne!(served.data_addr().port(), 0);
}

#[test]
fn an_unknown_key_in_the_file_is_refused_with_its_place() {
    refused_file(
        "listen: 127.0.0.1:0\ntimeouts:\n  conect: 1s\n",
        &["conect", "config.yaml"],
    );
    let shown = refused_file("upstream:\n  api_key: cr_supersecret\n", &["api_key"]);
    assert!(!shown.contains("supersecret"), "{shown}");
    refused_file("listen: [\n", &["config.yaml"]);
}

#[test]
fn bad_values_in_the_file_are_refused_with_their_field() {
    refused_file(
        "timeouts: {connect: soon}\n",
        &["soon", "expected such as 10s"],
    );
    refused_file("limits: {body: many}\n", &["many", "expected such as 10MB"]);
    refused_file(
        "workers: 0\nlimits: {headers: 1, in_flight: 0}\nupstream: {base_url: nonsense, min_idle: 9, max_idle: 1}\n",
        &[
            "workers: 0",
            "limits.headers: 1",
            "limits.in_flight: 0",
            "upstream.base_url: ",
            "upstream.min_idle: 9",
        ],
    );
    refused_file(
        "tls: {listen: '127.0.0.1:0', certificate: x}\n",
        &["tls.key: missing"],
    );
    refused_file("tls: {certificate: x, key: y}\n", &["tls.listen: missing"]);
    refused_file("timeouts: {client_idle: 400000000000y}\n", &["too long"]);
}

#[test]
fn a_bad_type_in_the_file_is_refused_with_the_path_to_the_field() {
    refused_file("timeouts: {connect: soon}\n", &["timeouts.connect"]);
    refused_file("workers: several\n", &["workers", "several"]);
}

#[test]
fn malformed_flags_and_variables_are_refused_by_name() {
    for (flag, variable, value) in [
        ("--listen", "HOLYSHEEP_LISTEN", "nowhere"),
        ("--admin-listen", "HOLYSHEEP_ADMIN_LISTEN", "1234"),
        ("--workers", "HOLYSHEEP_WORKERS", "many"),
        ("--ebpf", "HOLYSHEEP_EBPF", "perhaps"),
        ("--log-format", "HOLYSHEEP_LOG_FORMAT", "xml"),
        ("--auth", "HOLYSHEEP_AUTH", "maybe"),
    ] {
        assert_refused(&mut command(["serve", flag, value]), &[flag, value]);
        let mut program = command(["serve"]);
        assert_refused(program.env(variable, value), &[flag, value]);
    }
    let mut program = command(["serve"]);
    program.env("HOLYSHEEP_API_BASE_URL", "ftp://x");
    assert_refused(&mut program, &["upstream.base_url", "ftp://x"]);
    assert_refused(&mut command(["serve", "--nonsense"]), &["--nonsense"]);
    assert_refused(&mut command(["frobnicate"]), &["frobnicate"]);
    assert_refused(
        &mut command(["serve", "--config", "/does/not/exist"]),
        &["/does/not/exist"],
    );
}

#[test]
fn a_key_that_cannot_be_sent_is_refused_without_showing_it() {
    let mut program = command(LISTEN);
    program.env("HOLYSHEEP_API_KEY", "cr_se\ncret");
    let shown = assert_refused(&mut program, &["HOLYSHEEP_API_KEY"]);
    assert!(!shown.contains("cret"), "{shown}");
}

#[test]
fn a_key_where_its_file_belongs_is_refused_without_showing_it() {
    for subcommand in ["serve", "check"] {
        let mut program = command([subcommand]);
        program.env("HOLYSHEEP_API_KEY_FILE", "cr_supersecret");
        let shown = assert_refused(&mut program, &["api_key_file", "HOLYSHEEP_API_KEY"]);
        assert!(!shown.contains("supersecret"), "{shown}");
    }
}

#[test]
fn the_key_of_the_environment_wins_over_the_file_and_two_are_refused() {
    let emulator = Emulator::builder().start_blocking().unwrap();
    let directory = Directory::new();
    let wrong = directory.write("wrong", "cr_wrong");
    let ca = directory.write("ca.pem", emulator.authority().unwrap().ca_pem());
    let yaml = format!("upstream: {{api_key_file: {}}}\n", wrong.display());
    let file = directory.write("config.yaml", &yaml);
    let [check, admin, upstream] = ["check", "--admin-listen=127.0.0.1:1", "--upstream"];
    let arguments = [check, admin, upstream, emulator.base_url()];
    let mut program = command(arguments);
    program
        .env("HOLYSHEEP_CONFIG", &file)
        .env("HOLYSHEEP_UPSTREAM_CA", &ca)
        .env("HOLYSHEEP_API_KEY", DEFAULT_API_KEY);
    let output = program.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    // A flag comes first of all.
    let output = program.arg("--api-key-file").arg(&wrong).output().unwrap();
    assert!(text(&output.stdout).contains("FAIL  key"));
    let mut program = command(arguments);
    program
        .env("HOLYSHEEP_API_KEY_FILE", &wrong)
        .env("HOLYSHEEP_API_KEY", DEFAULT_API_KEY);
    assert_refused(&mut program, &["HOLYSHEEP_API_KEY", "unset one of the two"]);
}

#[test]
fn files_of_the_configuration_that_cannot_be_used_are_bad_usage() {
    let missing = "/does/not/exist";
    let tls = format!("tls: {{listen: '127.0.0.1:0', certificate: {missing}, key: {missing}}}\n");
    for yaml in [
        format!("upstream: {{api_key_file: {missing}}}\n"),
        format!("upstream: {{ca_file: {missing}}}\n"),
        tls,
    ] {
        let yaml = format!("listen: 127.0.0.1:0\nadmin_listen: 127.0.0.1:0\n{yaml}");
        let shown = refused_file(&yaml, &[missing]);
        assert_eq!(shown.matches("No such file").count(), 1, "{shown}");
    }
}

#[test]
fn what_cannot_be_had_ends_the_program_with_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let admin = format!("--admin-listen={address}");
    for args in [
        ["serve", "--listen=127.0.0.1:0", &admin],
        [
            "serve",
            &format!("--listen={address}"),
            "--admin-listen=127.0.0.1:0",
        ],
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(1));
        let error = text(&output.stderr);
        let said = format!("cannot listen on {address}");
        assert_eq!(error.matches(&said).count(), 1, "{error}");
        assert!(error.contains("choose another address"), "{error}");
    }
}

#[test]
fn flags_win_over_variables_and_variables_over_the_file() {
    let directory = Directory::new();
    let file = directory.write(
        "config.yaml",
        "workers: 3\nauth: open\nlog: {format: json}\nlisten: 127.0.0.1:0\nadmin_listen: 127.0.0.1:0\n",
    );
    let mut program = command(["serve", "--auth=passthrough"]);
    program
        .env("HOLYSHEEP_CONFIG", &file)
        .env("HOLYSHEEP_WORKERS", "2")
        .env("HOLYSHEEP_AUTH", "open");
    let served = Served::start(program.stdout(Stdio::null()));
    let config = Client::connect(served.admin_addr()).request("GET", "/config", &[], b"");
    let config = config.json();
    assert_eq!(
        (&config["workers"], &config["auth"]),
        (&2.into(), &"passthrough".into())
    );
    assert_eq!(config["log_format"], "json");
}

#[test]
fn the_version_is_told() {
    for args in ["version", "--version"] {
        let output = run([args]);
        assert!(output.status.success());
        let version = env!("CARGO_PKG_VERSION");
        assert!(text(&output.stdout).starts_with(&format!("holysheep-proxy {version}")));
    }
    assert_eq!(run(["--help"]).status.code(), Some(0));
    assert_eq!(command::<&str>([]).output().unwrap().status.code(), Some(2));
}

/// An emulator and a `check` of it.
fn check(emulator: &Emulator, key: &str) -> (Option<i32>, String) {
    let directory = Directory::new();
    let ca = directory.write("ca.pem", emulator.authority().unwrap().ca_pem());
    let mut program = command(["check", "--admin-listen=127.0.0.1:1", "--upstream"]);
    program.arg(emulator.base_url());
    program
        .env("HOLYSHEEP_UPSTREAM_CA", ca)
        .env("HOLYSHEEP_API_KEY", key);
    let output = program.output().unwrap();
    (output.status.code(), text(&output.stdout))
}

#[test]
fn check_passes_against_a_good_upstream() {
    let emulator = Emulator::builder().start_blocking().unwrap();
    let (code, lines) = check(&emulator, DEFAULT_API_KEY);
    assert_eq!(code, Some(0), "{lines}");
    for step in ["resolve", "connect", "tls", "key"] {
        let line = lines
            .lines()
            .find(|line| line.contains(&format!("  {step} ")))
            .unwrap();
        assert!(line.starts_with("pass"), "{line}");
    }
    assert!(
        lines.contains("more days") && lines.contains(" ebpf "),
        "{lines}"
    );
    assert!(!lines.contains(DEFAULT_API_KEY));
}

#[test]
fn check_says_what_fails_and_what_to_do() {
    let emulator = Emulator::builder().start_blocking().unwrap();
    let (code, lines) = check(&emulator, "cr_wrong");
    assert_eq!(code, Some(1));
    assert!(
        lines.contains("FAIL  key") && lines.contains("→ renew the key"),
        "{lines}"
    );
    assert!(!lines.contains("cr_wrong"));

    let fault = holysheep_emulator::Fault::ExpiredCertificate;
    emulator.set_fault(fault, FaultScope::Next(1)).unwrap();
    let (code, lines) = check(&emulator, DEFAULT_API_KEY);
    assert_eq!(code, Some(1));
    assert!(
        lines.contains("FAIL  tls") && lines.contains("expired") && lines.contains("skip  key"),
        "{lines}"
    );

    emulator.stop_accepting();
    let (code, lines) = check(&emulator, DEFAULT_API_KEY);
    assert_eq!(code, Some(1));
    assert!(
        lines.contains("FAIL  connect") && lines.contains("→ check egress"),
        "{lines}"
    );

    let output = run(["check", "--upstream=https://does-not-exist.invalid/v1"]);
    let lines = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        lines.contains("FAIL  resolve") && lines.contains("skip  connect"),
        "{lines}"
    );
}

/// A program in front of an emulator, and the directory its files are in.
fn serve(emulator: &Emulator) -> (Served, Directory) {
    let directory = Directory::new();
    let ca = directory.write("ca.pem", emulator.authority().unwrap().ca_pem());
    let mut program = command(LISTEN);
    program
        .args(["--log-format=json", "--workers=2"])
        .args(["--upstream", emulator.base_url()])
        .env("HOLYSHEEP_UPSTREAM_CA", ca)
        .env("HOLYSHEEP_API_KEY", DEFAULT_API_KEY)
        .stdout(Stdio::null());
    (Served::start(&mut program), directory)
}

#[test]
fn sigterm_under_load_loses_no_request() {
    let emulator = Emulator::builder().start_blocking().unwrap();
    let (mut served, _directory) = serve(&emulator);
    let address = served.data_addr();
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..16)
            .map(|_| {
                scope.spawn(move || {
                    let mut client = Client::connect(address);
                    let stall = [("x-emulator-fault", "stall-before-headers;ms=500")];
                    client.request("GET", "/health", &[], b"");
                    let reply = client.request("POST", CHAT, &stall, QUESTION.as_bytes());
                    client.expect_close();
                    reply
                })
            })
            .collect();
        eventually(|| emulator.stats().in_flight == 16);
        served.terminate();
        for reply in asking {
            let reply = reply.join().unwrap();
            assert!(reply.status == 200 && reply.complete, "{reply:?}");
            // Or the client's next request could cross the close.
            assert_eq!(reply.header("connection"), Some("close"));
        }
    });
    assert_eq!(served.wait().code(), Some(0), "{:?}", served.log());
    eventually(|| served.logged("stopped").is_some());
    assert_eq!(emulator.stats().cancelled, 0);
}

#[test]
fn sigterm_lets_a_stream_finish_and_closes_idle_connections() {
    let emulator = Emulator::builder()
        .token_interval(std::time::Duration::from_millis(30))
        .start_blocking()
        .unwrap();
    let (mut served, _directory) = serve(&emulator);
    let mut idle = Client::connect(served.data_addr());
    assert_eq!(idle.request("GET", "/health", &[], b"").status, 200);
    let mut client = Client::connect(served.data_addr());
    client.send(request("POST", CHAT, &[], STREAMED.as_bytes()));
    let mut reply = client.head();
    client.chunk(&mut reply.raw).unwrap();
    served.terminate();
    idle.expect_close();
    client.body(&mut reply);
    assert!(reply.complete && reply.text().ends_with("data: [DONE]\n\n"));
    client.expect_close();
    assert_eq!(served.wait().code(), Some(0));
}

#[test]
fn at_a_second_sigterm_nobody_waits_any_longer() {
    let emulator = Emulator::builder().start_blocking().unwrap();
    let (mut served, _directory) = serve(&emulator);
    let mut client = Client::connect(served.data_addr());
    let stall = [("x-emulator-fault", "stall-before-headers")];
    client.send(request("POST", CHAT, &stall, QUESTION.as_bytes()));
    eventually(|| emulator.stats().in_flight == 1);
    served.terminate();
    eventually(|| {
        served
            .logged("stopping: running requests may finish")
            .is_some()
    });
    served.terminate();
    let reply = client.reply();
    assert_eq!((reply.status, reply.error()), (503, Some("proxy_stopping")));
    assert_eq!(served.wait().code(), Some(0));
}
