//! The TLS data port: its certificate, and what happens when its files change.

use std::sync::Arc;

use holysheep_emulator::Authority;

use crate::harness::{CHAT, Client, QUESTION, Rig, eventually, soon};

/// A rig with a TLS listener whose certificate the authority has signed.
pub(crate) fn with_tls(authority: &Arc<Authority>) -> Rig {
    let (certificate, key) = authority.server_pem(&["localhost"]).unwrap();
    Rig::builder()
        .workers(2)
        .edit(move |file, directory, _| {
            file.tls.listen = Some(([127, 0, 0, 1], 0).into());
            file.tls.certificate = Some(directory.write("tls.crt", &certificate));
            file.tls.key = Some(directory.write("tls.key", &key));
        })
        .start()
}

fn replace(rig: &Rig, authority: &Authority) {
    let (certificate, key) = authority.server_pem(&["localhost"]).unwrap();
    rig.directory.write("tls.crt", &certificate);
    rig.directory.write("tls.key", &key);
}

/// Connects, if the listener's certificate is the authority's.
fn connect(rig: &Rig, authority: &Authority) -> std::io::Result<Client> {
    let config = authority.client_config(&["http/1.1"]).unwrap();
    Client::connect_tls(rig.app().tls_addr().unwrap(), "localhost", config)
}

fn authority() -> Arc<Authority> {
    Arc::new(Authority::new().unwrap())
}

fn ask(client: &mut Client) -> u16 {
    let reply = client.request("POST", CHAT, &[], QUESTION.as_bytes());
    assert!(reply.complete);
    reply.status
}

#[test]
fn requests_over_tls_are_served_and_told_upstream() {
    let authority = authority();
    let rig = with_tls(&authority);
    let mut client = connect(&rig, &authority).unwrap();
    for _ in 0..3 {
        assert_eq!(ask(&mut client), 200);
    }
    assert_eq!(
        rig.last_request().header("x-forwarded-proto"),
        Some("https")
    );
    // The plain port is there as well.
    assert_eq!(rig.post(CHAT, QUESTION).status, 200);
    assert_eq!(rig.last_request().header("x-forwarded-proto"), Some("http"));
    rig.wait_log(4);
}

#[test]
fn a_replaced_certificate_is_served_to_new_connections_only() {
    let (old, new) = (authority(), authority());
    let rig = with_tls(&old);
    rig.wait_watching();
    let mut before = connect(&rig, &old).unwrap();
    assert_eq!(ask(&mut before), 200);
    assert!(connect(&rig, &new).is_err());
    replace(&rig, &new);
    let mut client = None;
    eventually(|| {
        client = connect(&rig, &new).ok();
        client.is_some()
    });
    assert_eq!(ask(&mut client.unwrap()), 200);
    // Both workers have it.
    for _ in 0..10 {
        assert!(connect(&rig, &old).is_err());
    }
    assert_eq!(ask(&mut before), 200, "the old connection lives on");
}

#[test]
fn a_bad_replacement_keeps_the_old_certificate() {
    let (old, new) = (authority(), authority());
    let rig = with_tls(&old);
    rig.wait_watching();
    rig.directory.write("tls.crt", "no certificate at all");
    // There is no sign of a reload that changes nothing: look for a while.
    for _ in 0..50 {
        assert_eq!(ask(&mut connect(&rig, &old).unwrap()), 200);
    }
    let (certificate, _) = new.server_pem(&["localhost"]).unwrap();
    rig.directory.write("tls.crt", &certificate);
    for _ in 0..50 {
        assert_eq!(
            ask(&mut connect(&rig, &old).unwrap()),
            200,
            "without its key"
        );
    }
    replace(&rig, &new);
    assert!(soon(|| connect(&rig, &new).is_ok()));
}

#[test]
fn a_client_without_tls_on_the_tls_port_harms_nobody() {
    let authority = authority();
    let rig = with_tls(&authority);
    let mut plain = Client::connect(rig.app().tls_addr().unwrap());
    plain.send("GET /health HTTP/1.1\r\nhost: x\r\n\r\n");
    plain.rest();
    let mut client = connect(&rig, &authority).unwrap();
    assert_eq!(ask(&mut client), 200);
    drop((plain, client));
    rig.wait_metric("holysheep_http_connections", 0.0);
    rig.wait_log(1);
}

#[test]
fn sessions_of_clients_are_resumed() {
    let authority = authority();
    let rig = with_tls(&authority);
    let config = authority.client_config(&["http/1.1"]).unwrap();
    let address = rig.app().tls_addr().unwrap();
    let mut kinds = Vec::new();
    for _ in 0..3 {
        let tcp = std::net::TcpStream::connect(address).unwrap();
        let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
        let session = rustls::ClientConnection::new(Arc::clone(&config), name).unwrap();
        let mut stream = rustls::StreamOwned::new(session, tcp);
        let ask = b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        std::io::Write::write_all(&mut stream, ask).unwrap();
        let mut answer = Vec::new();
        std::io::Read::read_to_end(&mut stream, &mut answer).unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200"));
        kinds.push(stream.conn.handshake_kind().unwrap());
    }
    use rustls::HandshakeKind::{Full, Resumed};
    assert_eq!(kinds, [Full, Resumed, Resumed]);
}
