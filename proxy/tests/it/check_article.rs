//! `check` and the article's table of errors: each row has a line with its remedy, and an exit code that an init container can
//! go by.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;

use holysheep_emulator::{Authority, CertificateKind, DEFAULT_API_KEY, Emulator, FaultScope};
use rustls::{ServerConnection, StreamOwned};

use crate::harness::program::{assert_line, command, text};
use crate::harness::{Directory, Rig, eventually};

/// What one `check` comes to.
struct Row {
    code: i32,
    /// How a line begins.
    line: String,
    /// What stands in the line below.
    remedy: &'static str,
}

fn row(code: i32, line: impl Into<String>, remedy: &'static str) -> Row {
    let line = line.into();
    Row { code, line, remedy }
}

impl Row {
    /// Runs it; gives all lines.
    #[track_caller]
    fn hold(&self, check: &mut Command) -> String {
        let output = check.output().unwrap();
        let lines = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(self.code), "{lines}");
        assert_line(&lines, &self.line);
        let below = lines
            .lines()
            .skip_while(|line| !line.starts_with(&self.line));
        let below = below.skip(1).take_while(|line| line.starts_with(' '));
        let remedy = below.collect::<String>();
        assert!(remedy.contains(self.remedy), "{}\n{lines}", self.remedy);
        lines
    }
}

/// A `check` of this upstream, with a configuration besides.
fn check(url: &str, authority: &Authority, directory: &Directory, yaml: &str) -> Command {
    let file = directory.write("config.yaml", yaml);
    let ca = directory.write("ca.pem", authority.ca_pem());
    let mut check = command(["check", "--ebpf=off", "--admin-listen=127.0.0.1:1"]);
    check.args(["--upstream", url, "--upstream-ca"]).arg(ca);
    check.arg("--config").arg(file);
    check.env("HOLYSHEEP_API_KEY", DEFAULT_API_KEY);
    check
}

#[test]
fn a_timeout_says_of_what() {
    let emulator = Emulator::builder().start_blocking().unwrap();
    let authority = emulator.authority().unwrap();
    let directory = Directory::new();
    let yaml = "timeouts: {connect: 300ms, first_byte: 400ms}";
    let check = |url: &str| check(url, authority, &directory, yaml);
    // The kernel drops what does not fit into a full accept queue.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    socket.bind(&any.into()).unwrap();
    socket.listen(0).unwrap();
    let silent = socket.local_addr().unwrap().as_socket().unwrap();
    let _queued = TcpStream::connect(silent).unwrap();
    let line = format!(
        "FAIL  connect      {silent}: no answer within 300ms: requests end with upstream_connect_timeout"
    );
    row(
        1,
        line,
        "→ check egress: something on the way drops packets",
    )
    .hold(&mut check(&format!("https://{silent}/v1")));

    for (fault, line, remedy) in [
        (
            "stall-handshake",
            "tls          no TLS handshake within 300ms: requests end with upstream_connect_timeout",
            "→ check for middleboxes on the path",
        ),
        (
            "stall-before-headers",
            "key          no answer to GET /v1/models within 400ms: requests end with upstream_first_byte_timeout",
            "raise timeouts.first_byte, or let clients stream",
        ),
    ] {
        let next = FaultScope::Next(1);
        emulator.set_fault(fault.parse().unwrap(), next).unwrap();
        let lines = row(1, format!("FAIL  {line}"), remedy).hold(&mut check(emulator.base_url()));
        assert_line(&lines, "pass  connect      127.0.0.1:");
    }
}

/// Answers one request over TLS with a certificate of this kind.
fn once(authority: &Authority, kind: CertificateKind) -> String {
    let tls = authority.server_config(&["localhost"], kind).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let stream = listener.accept().unwrap().0;
        let mut stream = StreamOwned::new(ServerConnection::new(tls).unwrap(), stream);
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            // Who does not trust it goes away.
            if stream.read(&mut byte).unwrap_or(0) == 0 {
                return;
            }
            request.extend(byte);
        }
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
            .unwrap();
    });
    format!("https://localhost:{port}/v1")
}

#[test]
fn a_certificate_of_upstream_says_whose_clock_and_until_when() {
    let authority = Authority::new().unwrap();
    let directory = Directory::new();
    for (kind, code, line, remedy) in [
        (
            CertificateKind::Expired,
            1,
            "FAIL  tls          the certificate has expired on 20",
            "→ check this machine's clock; if it is right, upstream has to renew",
        ),
        (
            CertificateKind::Early,
            1,
            "FAIL  tls          certificate not valid yet",
            "→ check this machine's clock, which is probably behind",
        ),
        (
            CertificateKind::Ending,
            0,
            "warn  tls          TLS 1.3, certificate valid for ",
            "→ it should have been renewed by now; ask upstream",
        ),
        (CertificateKind::Valid, 0, "pass  tls          TLS 1.3", ""),
    ] {
        let url = once(&authority, kind);
        let lines = row(code, line, remedy).hold(&mut check(&url, &authority, &directory, "{}"));
        assert_eq!(
            lines.contains("by this machine's clock it is 20"),
            code == 1,
            "{lines}"
        );
    }
}

#[test]
fn a_certificate_of_ours_is_looked_at_before_clients_do() {
    let emulator = Emulator::builder().start_blocking().unwrap();
    let authority = emulator.authority().unwrap();
    let directory = Directory::new();
    let yaml = format!(
        "tls: {{listen: '127.0.0.1:0', certificate: {0}, key: {1}}}",
        directory.path("tls.crt").display(),
        directory.path("tls.key").display()
    );
    let mut check = check(emulator.base_url(), authority, &directory, &yaml);
    row(
        1,
        "FAIL  certificate  tls.certificate ",
        "→ mount the Secret",
    )
    .hold(&mut check);
    for (kind, code, line, remedy) in [
        (
            CertificateKind::Expired,
            1,
            "FAIL  certificate  it has expired on 20",
            "→ renew it (cert-manager: `kubectl describe certificate`",
        ),
        (
            CertificateKind::Ending,
            0,
            "warn  certificate  valid for ",
            "→ it should have been renewed by now",
        ),
        (
            CertificateKind::Valid,
            0,
            "pass  certificate  valid until 20",
            "",
        ),
    ] {
        let (certificate, key) = authority.server_pem_of(&["localhost"], kind).unwrap();
        directory.write("tls.crt", &certificate);
        directory.write("tls.key", &key);
        row(code, line, remedy).hold(&mut check);
    }
}

#[test]
fn what_upstream_answers_tells_a_key_from_other_trouble() {
    let emulator = Emulator::builder().start_blocking().unwrap();
    let authority = emulator.authority().unwrap();
    let directory = Directory::new();
    for (status, code, line, remedy) in [
        (
            401,
            1,
            "FAIL  key          refused",
            "→ renew the key in the HolySheep console",
        ),
        (
            403,
            1,
            "FAIL  key          refused (GET /v1/models: 403): requests end with upstream_invalid_api_key",
            "→ renew the key in the HolySheep console and put it into the Secret",
        ),
        (
            429,
            0,
            "warn  key          its limit is reached",
            "→ try again later",
        ),
        (
            502,
            1,
            "FAIL  key          upstream is in trouble (GET /v1/models: 502)",
            "→ see its status, and try again",
        ),
        (
            404,
            1,
            "FAIL  key          GET /v1/models: 404",
            "→ check the path of upstream.base_url",
        ),
    ] {
        let fault = format!("status;code={status}").parse().unwrap();
        emulator.set_fault(fault, FaultScope::Next(1)).unwrap();
        let url = emulator.base_url();
        row(code, line, remedy).hold(&mut check(url, authority, &directory, "{}"));
    }
}

#[test]
fn for_a_502_the_proxy_that_runs_here_is_asked() {
    let emulator = Emulator::builder().start_blocking().unwrap();
    let authority = emulator.authority().unwrap();
    let directory = Directory::new();
    let with = |admin: &str| {
        let file = directory.write("config.yaml", &format!("admin_listen: '{admin}'"));
        let ca = directory.write("ca.pem", authority.ca_pem());
        let mut check = command(["check", "--ebpf=off", "--upstream", emulator.base_url()]);
        check.arg("--upstream-ca").arg(ca).arg("--config").arg(file);
        check.env("HOLYSHEEP_API_KEY", DEFAULT_API_KEY);
        check
    };
    row(
        0,
        "note  proxy        none runs at 127.0.0.1:1,",
        "`kubectl get pods`",
    )
    .hold(&mut with("127.0.0.1:1"));
    // Of one that listens everywhere, the port is what counts.
    let rig = Rig::start();
    eventually(|| rig.admin("/readyz").status == 200);
    let line = format!(
        "pass  proxy        the one at {} is ready",
        rig.admin_addr()
    );
    row(0, line, "").hold(&mut with(&format!("0.0.0.0:{}", rig.admin_addr().port())));
    let keyless = Rig::builder().without_key().start();
    let line = "FAIL  proxy        not ready, so no traffic comes: there is no upstream API key";
    row(1, line, "→ see the line `key`").hold(&mut with(&keyless.admin_addr().to_string()));
    let cut = Rig::builder()
        .config("upstream: {base_url: 'http://127.0.0.1:9/v1'}")
        .start();
    eventually(|| cut.admin("/readyz").status == 503);
    let line =
        "FAIL  proxy        not ready, so no traffic comes: upstream holysheep cannot be reached";
    row(1, line, "→ see the lines `resolve`, `connect` and `tls`")
        .hold(&mut with(&cut.admin_addr().to_string()));
    let other = emulator.addr();
    row(
        0,
        format!("warn  proxy        {other}"),
        "→ give the address of the one that runs",
    )
    .hold(&mut with(&other.to_string()));
}

#[test]
fn an_hpa_is_pointed_to_where_there_can_be_one() {
    let emulator = Emulator::builder().start_blocking().unwrap();
    let directory = Directory::new();
    let url = emulator.base_url();
    let mut check = check(url, emulator.authority().unwrap(), &directory, "{}");
    let lines = row(0, "pass  key", "").hold(&mut check);
    assert!(!lines.contains("HPA"), "{lines}");
    check.env("KUBERNETES_SERVICE_HOST", "192.0.2.1");
    row(
        0,
        "note  scaling      whether an HPA scales down cannot be seen from here",
        "→ `kubectl describe hpa`: behavior.scaleDown.stabilizationWindowSeconds",
    )
    .hold(&mut check);
}

#[test]
fn a_configuration_that_cannot_be_used_is_neither_failure_nor_success() {
    let emulator = Emulator::builder().start_blocking().unwrap();
    let directory = Directory::new();
    let authority = emulator.authority().unwrap();
    let mut check = check(
        emulator.base_url(),
        authority,
        &directory,
        "upstream: {min_idle: few}",
    );
    row(2, "holysheep-proxy: the configuration cannot be used", "").hold(&mut check);
}

#[test]
fn the_articles_words_are_in_the_help() {
    let help = text(&command(["check", "--help"]).output().unwrap().stdout);
    for words in [
        "upstream timed out (110)",
        "certificate has expired",
        "Invalid API Key",
        "502 Bad Gateway",
        "HPA",
    ] {
        assert!(help.contains(words), "{words} in {help}");
    }
}
