//! Tests of `sockets.rs`.

use std::net::{TcpListener, TcpStream};

use super::*;

#[test]
fn without_programs_tcp_info_knows_the_round_trip() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let sockets = Sockets::of(&Kernel::off(None));
    let sample = sockets.sample(&stream).unwrap();
    assert!(sample.rtt.is_some_and(|rtt| rtt < Duration::from_secs(1)));
    assert_eq!(sample.retransmits, 0);
    assert_eq!(
        sockets.follow(&stream, 0, [127, 0, 0, 1].into()).settle(),
        0
    );
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
