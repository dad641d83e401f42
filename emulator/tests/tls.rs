//! TLS: versions, ALPN, resumption, server name and certificate faults.

use std::sync::Arc;
use std::time::{Duration, Instant};

use holysheep_emulator::{Authority, Emulator, Fault, FaultScope, Stats, Tls};
use rustls::ProtocolVersion;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{Client, SOON, connect_tls, start, start_with};

fn only(
    emulator: &Emulator,
    version: &'static rustls::SupportedProtocolVersion,
) -> Arc<rustls::ClientConfig> {
    let ca: CertificateDer<'static> = emulator.authority().unwrap().ca_der().clone();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(ca).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

#[tokio::test]
async fn both_versions_work_and_resume() {
    for (version, expected) in [
        (&rustls::version::TLS12, ProtocolVersion::TLSv1_2),
        (&rustls::version::TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let emulator = start().await;
        let config = only(&emulator, version);
        for _ in 0..2 {
            let stream = connect_tls(&emulator, &config).await.unwrap();
            assert_eq!(stream.get_ref().1.protocol_version(), Some(expected));
            // An answer is only read after the session tickets, which precede it.
            let mut client = Client::over(stream, emulator.api_key());
            assert_eq!(client.get("/v1/models").await.unwrap().status, 200);
        }
        let stats = emulator.stats();
        let handshakes = (stats.tls_handshakes_full, stats.tls_handshakes_resumed);
        assert_eq!(handshakes, (1, 1), "{expected:?}");
    }
}

#[tokio::test]
async fn alpn_offers_both_protocols() {
    let emulator = start().await;
    let authority = emulator.authority().unwrap();
    for offered in ["h2", "http/1.1"] {
        let config = authority.client_config(&[offered]).unwrap();
        let stream = connect_tls(&emulator, &config).await.unwrap();
        let chosen = stream.get_ref().1.alpn_protocol();
        assert_eq!(chosen, Some(offered.as_bytes()));
    }
}

#[tokio::test]
async fn certificate_faults_are_noticed_by_a_verifying_client() {
    let emulator = start().await;
    for (fault, reason) in [
        (Fault::ExpiredCertificate, "expired"),
        (Fault::WrongNameCertificate, "not valid for"),
    ] {
        emulator.set_fault(fault, FaultScope::Next(1)).unwrap();
        let error = Client::connect(&emulator).await.err().unwrap().to_string();
        assert!(error.contains(reason), "{error}");
    }
    let failed = emulator.wait_until(SOON, |s| s.tls_handshakes_failed == 2);
    assert_eq!(failed.await.unwrap().tls_handshakes_full, 0);
    assert!(Client::connect(&emulator).await.is_ok());
}

#[tokio::test]
async fn a_connection_without_a_byte_is_no_failed_handshake() {
    let emulator = start().await;
    drop(TcpStream::connect(emulator.addr()).await.unwrap());
    let closed = |s: &Stats| s.connections_accepted == 1 && s.connections_open == 0;
    let stats = emulator.wait_until(SOON, closed).await.unwrap();
    assert_eq!(stats.tls_handshakes_failed, 0);
}

#[tokio::test]
async fn several_emulators_can_share_an_authority() {
    let authority = Arc::new(Authority::new().unwrap());
    let config = authority.client_config(&[]).unwrap();
    for _ in 0..2 {
        let tls = Tls::SignedBy(Arc::clone(&authority));
        let emulator = start_with(|builder| builder.tls(tls)).await;
        assert!(connect_tls(&emulator, &config).await.is_ok());
    }
}

#[tokio::test]
async fn a_stalled_handshake_ends_with_its_pause() {
    let emulator = start().await;
    let pause = Duration::from_millis(20);
    let stall = Fault::StallHandshake { pause: Some(pause) };
    emulator.set_fault(stall, FaultScope::Next(1)).unwrap();
    let begun = Instant::now();
    assert!(Client::connect(&emulator).await.is_ok());
    assert!(begun.elapsed() >= pause);
}

#[tokio::test]
async fn a_handshake_stalled_for_ever_ends_with_the_peer() {
    let emulator = start().await;
    let stall = Fault::StallHandshake { pause: None };
    emulator.set_fault(stall, FaultScope::Next(1)).unwrap();
    let config = emulator.authority().unwrap().client_config(&[]).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut hello = Vec::new();
    let mut session = rustls::ClientConnection::new(config, name).unwrap();
    session.write_tls(&mut hello).unwrap();
    let mut tcp = TcpStream::connect(emulator.addr()).await.unwrap();
    tcp.write_all(&hello).await.unwrap();
    let answer = tokio::time::timeout(Duration::from_millis(30), tcp.read_u8());
    assert!(answer.await.is_err());
    drop(tcp);
    let failed = emulator.wait_until(SOON, |s| s.tls_handshakes_failed == 1);
    assert_eq!(failed.await.unwrap().connections_open, 0);
}

#[tokio::test]
async fn plain_bytes_on_a_tls_port_fail_the_handshake() {
    let emulator = start().await;
    let mut tcp = TcpStream::connect(emulator.addr()).await.unwrap();
    tcp.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _reset = tcp.read_to_end(&mut answer).await;
    let failed = emulator.wait_until(SOON, |s| s.tls_handshakes_failed == 1);
    assert!(failed.await.is_ok());
}
