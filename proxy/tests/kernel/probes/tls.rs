//! Probes to the TLS data port: those of clients that ask for no name, as the kubelet does.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use holysheep_emulator::tls::Authority;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::{HANDED_OVER, HEALTHY, PROBE, Rig};
use crate::lab::Lab;
use crate::proxy::Directory;
use crate::{Outcome, steering};

/// A TLS connection from the node.
fn encrypted(
    rig: &Rig,
    config: &Arc<ClientConfig>,
    name: ServerName<'static>,
) -> StreamOwned<ClientConnection, TcpStream> {
    let pod = SocketAddr::new(
        rig.pair.pod().ipv4().into(),
        rig.proxy.tls_addr().unwrap().port(),
    );
    let stream = steering::connect(rig.pair.node(), rig.node(), pod).unwrap();
    StreamOwned::new(
        ClientConnection::new(Arc::clone(config), name).unwrap(),
        stream,
    )
}

pub(crate) fn steered(_: &Lab) -> Outcome {
    let directory = Directory::new();
    let authority = Authority::new().unwrap();
    let name = "proxy.test";
    let pems = authority.server_pem(&[name, "10.78.0.2"]).unwrap();
    for (file, pem) in ["cert.pem", "key.pem"].iter().zip([&pems.0, &pems.1]) {
        std::fs::write(directory.path().join(file), pem).unwrap();
    }
    let path = directory.path().display();
    let tls =
        format!("tls: {{listen: '[::]:0', certificate: {path}/cert.pem, key: {path}/key.pem}}");
    let rig = Rig::start(&format!("{tls}\nprobes: {{sources: [SOURCES]}}"))?;
    let by_address = || ServerName::try_from("10.78.0.2").unwrap();
    let by_name = || ServerName::try_from(name).unwrap();
    let http1 = authority.client_config(&["http/1.1"]).unwrap();
    let health = |name: ServerName<'static>| {
        let mut stream = encrypted(&rig, &http1, name);
        stream.write_all(PROBE).unwrap();
        let mut text = String::new();
        // The end of the connection is the end of the answer.
        let _ = stream.read_to_string(&mut text);
        assert!(text.ends_with("\r\n\r\nhealthy\n"), "{text}");
    };
    // The kubelet asks an address.
    health(by_address());
    rig.wait_metric(HEALTHY, 1.0);
    // Whoever asks a name is no probe, so that handshakes of users stay with the workers.
    health(by_name());
    rig.wait_metric(HANDED_OVER, 1.0);
    assert_eq!(rig.proxy.log(1)[0]["status"], 200);
    // What asks for something else behind the handshake is handed over with it.
    let mut stream = encrypted(&rig, &http1, by_address());
    stream
        .write_all(b"GET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
    rig.wait_metric(HANDED_OVER, 2.0);
    let h2 = authority.client_config(&["h2"]).unwrap();
    let mut stream = encrypted(&rig, &h2, by_address());
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .unwrap();
    let mut frame = [0; 9];
    stream.read_exact(&mut frame).unwrap();
    assert_eq!(frame[3], 4, "{frame:?}");
    rig.wait_metric(HANDED_OVER, 3.0);
    Ok(())
}
