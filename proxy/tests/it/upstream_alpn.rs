//! `upstream.protocol: http2` and what upstream chooses in the TLS handshake.

use std::io;
use std::sync::Arc;

use holysheep_emulator::{Authority, CertificateKind, DEFAULT_API_KEY, Emulator};
use rustls::{ServerConnection, StreamOwned};

use crate::errors::assert_error;
use crate::harness::program::{command, text};
use crate::harness::upstream::Scripted;
use crate::harness::{CHAT, Directory, QUESTION, Rig};

/// An upstream that accepts TLS and then chooses no protocol, and its authority.
fn without_alpn() -> (Scripted, Authority) {
    let authority = Authority::new().unwrap();
    let valid = CertificateKind::Valid;
    let server = authority.server_config(&["127.0.0.1"], valid).unwrap();
    let mut server = (*server).clone();
    server.alpn_protocols.clear();
    let server = Arc::new(server);
    let upstream = Scripted::start(move |stream| {
        let session = ServerConnection::new(Arc::clone(&server)).unwrap();
        let mut tls = StreamOwned::new(session, stream);
        // Reads until the other side ends it.
        let _ended = io::copy(&mut tls, &mut io::sink());
    });
    (upstream, authority)
}

/// Its configuration, with TLS and h2.
fn h2_over_tls(upstream: &Scripted) -> String {
    let config = upstream.config().replace("http://", "https://");
    config.replace("min_idle: 0", "min_idle: 0, protocol: http2")
}

/// `check` of a configuration whose upstream has this authority.
fn check(yaml: &str, authority: &Authority) -> (Option<i32>, String) {
    let directory = Directory::new();
    let ca = directory.write("ca.pem", authority.ca_pem());
    let file = directory.write("config.yaml", yaml);
    let mut program = command(["check", "--admin-listen=127.0.0.1:1"]);
    let program = program
        .env("HOLYSHEEP_CONFIG", file)
        .env("HOLYSHEEP_UPSTREAM_CA", ca)
        .env("HOLYSHEEP_API_KEY", DEFAULT_API_KEY);
    let output = program.output().unwrap();
    (output.status.code(), text(&output.stdout))
}

#[test]
fn an_upstream_that_does_not_choose_h2_is_not_spoken_to_in_it() {
    let (upstream, authority) = without_alpn();
    let rig = Rig::builder()
        .config(h2_over_tls(&upstream))
        .edit(move |file, directory, _| {
            let ca = directory.write("other.pem", authority.ca_pem());
            file.upstream.ca_file = Some(ca);
        })
        .start();
    let reply = rig.post(CHAT, QUESTION);
    assert_error(&reply, CHAT, 502, "upstream_connect_failed");
    let message = reply.json()["error"]["message"].to_string();
    assert!(message.contains("upstream.protocol"), "{message}");
    assert_eq!(rig.admin("/readyz").status, 503);
}

#[test]
fn check_finds_that_upstream_does_not_speak_h2() {
    let (upstream, authority) = without_alpn();
    let (code, lines) = check(&h2_over_tls(&upstream), &authority);
    assert_eq!(code, Some(1), "{lines}");
    assert!(lines.contains("FAIL  tls"), "{lines}");
    assert!(lines.contains("set upstream.protocol to http1"), "{lines}");
}

#[test]
fn check_speaks_what_the_proxy_will_and_says_who_it_is() {
    for (protocol, version) in [
        ("http1", http::Version::HTTP_11),
        ("http2", http::Version::HTTP_2),
    ] {
        let emulator = Emulator::builder().start_blocking().unwrap();
        let url = emulator.base_url();
        let yaml = format!("upstream: {{base_url: '{url}', protocol: {protocol}}}");
        let (code, lines) = check(&yaml, emulator.authority().unwrap());
        assert_eq!(code, Some(0), "{lines}");
        let request = emulator.requests().pop().unwrap();
        assert_eq!(
            (request.version, request.path_and_query.as_str()),
            (version, "/v1/models")
        );
        let agent = concat!("holysheep-proxy/", env!("CARGO_PKG_VERSION"));
        assert_eq!(request.header("user-agent"), Some(agent));
    }
}
