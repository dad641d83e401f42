//! TLS: session tickets arrive after the request has left and are no response.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use holysheep_emulator::{Authority, CertificateKind};
use holysheep_proxy::kernel::{Sent, now_ns};
use rustls::{ClientConnection, ServerConnection};

use crate::Outcome;
use crate::first_byte::{self, Exchange, Served};
use crate::lab::{self, Lab};

/// How late the answer is; longer than the tickets take, which have to be encrypted and decrypted before.
fn answer_delay() -> Duration {
    Duration::from_millis(if lab::is_emulated() { 250 } else { 25 })
}

pub(crate) fn first_byte(lab: &Lab) -> Outcome {
    let authority = Authority::new().unwrap();
    let kernel = lab.kernel();
    let flows = kernel.flows().unwrap();
    let (listener, address) = lab::listen("127.0.0.1:0", "127.0.0.1");
    let served = serve(&authority, listener);
    let (mut stream, cookie) = lab::connect(&flows, address, 0);
    let name = "localhost".try_into().unwrap();
    let mut tls = ClientConnection::new(authority.client_config(&[]).unwrap(), name).unwrap();
    let mut raw = 0;
    while tls.is_handshaking() {
        flush(&mut tls, &mut stream);
        if tls.is_handshaking() {
            raw += tls.read_tls(&mut stream).unwrap() as u64;
            tls.process_new_packets().unwrap();
        }
    }
    // The last flight of the handshake and the request leave together, so the tickets come after both.
    flows.begin(cookie);
    let before_ns = now_ns();
    tls.writer().write_all(b"r").unwrap();
    flush(&mut tls, &mut stream);
    let after_ns = now_ns();
    let request_at = raw;
    let (offset, read_ns) = first_plaintext(&mut tls, &mut stream, raw);
    let client = Exchange {
        sent: Sent {
            before_ns,
            after_ns,
        },
        read_ns,
    };
    let server = served.recv().unwrap();
    let tickets = flows
        .timeline(cookie, Some(client.sent), request_at, read_ns)
        .first_byte;
    println!(
        "  {} bytes of tickets came after {tickets:?}",
        offset - request_at
    );
    assert!(offset > request_at, "this server sends tickets");
    match tickets {
        Some(after) => assert!(after < answer_delay()),
        // Writing took too long to say when the request left, as it always does on an emulated processor.
        None => assert!(lab::between(before_ns, after_ns) / 2 > Duration::from_micros(50)),
    }
    first_byte::check(
        "behind the tickets",
        flows.timeline(cookie, Some(client.sent), offset, read_ns),
        &client,
        &server,
    );
    Ok(())
}

/// Takes in record after record until one has plaintext in it. Returns where that one began, and when it was read.
fn first_plaintext(tls: &mut ClientConnection, stream: &mut TcpStream, mut raw: u64) -> (u64, u64) {
    loop {
        let mut header = [0; 5];
        stream.read_exact(&mut header).unwrap();
        let read_ns = now_ns();
        let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
        let mut record = header.to_vec();
        record.resize(5 + length, 0);
        stream.read_exact(&mut record[5..]).unwrap();
        let mut rest = record.as_slice();
        while !rest.is_empty() {
            tls.read_tls(&mut rest).unwrap();
            let state = tls.process_new_packets().unwrap();
            if state.plaintext_bytes_to_read() > 0 {
                return (raw, read_ns);
            }
        }
        raw += record.len() as u64;
    }
}

fn flush(tls: &mut ClientConnection, stream: &mut TcpStream) {
    while tls.wants_write() {
        tls.write_tls(stream).unwrap();
    }
}

/// A server that takes its time.
fn serve(authority: &Authority, listener: TcpListener) -> Receiver<Served> {
    let config = authority
        .server_config(&["localhost"], CertificateKind::Valid)
        .unwrap();
    let (send, receive) = channel();
    std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        stream.set_nodelay(true).unwrap();
        let mut tls = ServerConnection::new(config).unwrap();
        let mut tls = rustls::Stream::new(&mut tls, &mut stream);
        tls.read_exact(&mut [0]).unwrap();
        let read_ns = now_ns();
        lab::pass(answer_delay());
        let answer_ns = now_ns();
        tls.write_all(b"a").unwrap();
        send.send(Served { read_ns, answer_ns }).unwrap();
    });
    receive
}
