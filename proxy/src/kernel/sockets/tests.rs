//! Tests of `sockets.rs`.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use super::*;

#[test]
fn without_programs_tcp_info_knows_the_round_trip() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let stream = TcpStream::connect(address).unwrap();
    let sockets = Sockets::of(&Kernel::off(None));
    let sample = sockets.sample(&stream).unwrap();
    assert!(sample.rtt.is_some_and(|rtt| rtt < Duration::from_secs(1)));
    assert_eq!(sample.retransmits, 0);
    assert_eq!(sockets.follow(&stream, 0, address).settle(), 0);
    assert_eq!(sockets.view(address), None);
    assert_eq!(sockets.waited(&stream), None);
    let first = FirstByte {
        offset: 0,
        read: Instant::now(),
        sent: None,
    };
    assert_eq!(sockets.timeline(0, first), Timeline::default());
}

#[test]
fn nothing_is_made_up_for_what_is_no_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let sockets = Sockets::default();
    assert_eq!(
        sockets.sample(&listener).and_then(|sample| sample.rtt),
        None
    );
    let file = std::fs::File::open("/dev/null").unwrap();
    assert_eq!(sockets.sample(file), None);
}

/// A connection over loopback and its other end.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (stream, listener.accept().unwrap().0)
}

#[test]
fn what_a_peer_had_before_it_closed_is_acknowledged() {
    let sockets = Sockets::default();
    let (mut stream, peer) = pair();
    drop(peer);
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    // Meets a host without the connection, which cannot read it.
    stream.write_all(b"request").unwrap();
    assert!(sockets.unacknowledged(&stream, 0, 0, ConnectionEnd::Closed));
    let (mut stream, mut peer) = pair();
    stream.write_all(b"request").unwrap();
    peer.read_exact(&mut [0; 7]).unwrap();
    drop(peer);
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    let acked = |before, end| sockets.unacknowledged(&stream, 0, before, end);
    assert!(!acked(0, ConnectionEnd::Closed));
    assert!(!acked(6, ConnectionEnd::Closed) && acked(7, ConnectionEnd::Closed));
    assert!(!acked(0, ConnectionEnd::TimedOut) && acked(7, ConnectionEnd::TimedOut));
}

#[test]
fn without_programs_nothing_is_certain_of_a_reset() {
    let sockets = Sockets::default();
    let (mut stream, peer) = pair();
    let abrupt = socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO));
    abrupt.unwrap();
    drop(peer);
    let error = stream.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    let told = |end| sockets.unacknowledged(&stream, 0, 0, end);
    assert!(!told(ConnectionEnd::Reset) && told(ConnectionEnd::TimedOut));
    let file = std::fs::File::open("/dev/null").unwrap();
    assert!(!sockets.unacknowledged(file, 0, 0, ConnectionEnd::TimedOut));
    assert_eq!(sockets.view(([127, 0, 0, 1], 1).into()), None);
}
