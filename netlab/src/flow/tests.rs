//! Tests of `flow.rs`.

use std::net::SocketAddr;

use super::*;
use crate::{Fate, packet};

const CLIENT: &str = "192.0.2.1:4000";
const SERVER: &str = "192.0.2.2:80";

fn record(direction: Direction, at: u64, sequence: u32, data: u32, lost: bool) -> Record {
    let (client, server): (SocketAddr, SocketAddr) =
        (CLIENT.parse().unwrap(), SERVER.parse().unwrap());
    let (source, destination) = match direction {
        Direction::ToServer => (client, server),
        Direction::ToClient => (server, client),
    };
    let came = Duration::from_millis(at);
    let left = Fate::Left {
        due: came,
        at: came + Duration::from_millis(5),
    };
    Record {
        direction,
        came,
        fate: if lost { Fate::Lost } else { left },
        length: 40,
        segment: Some(Segment {
            source,
            destination,
            sequence,
            acknowledgment: 0,
            flags: packet::syn(data == 0),
            data,
        }),
    }
}

#[test]
fn a_handshake_is_timed_from_end_to_end() {
    let records = [
        record(Direction::ToServer, 100, 7, 0, false),
        record(Direction::ToClient, 106, 9, 0, false),
    ];
    let flow = Flow::new(&records, 4000);
    assert_eq!(flow.syn_round_trip(), Some(Duration::from_millis(11)));
    assert_eq!(Flow::new(&records, 4001).syn_round_trip(), None);
}

#[test]
fn what_was_sent_before_is_a_retransmission_also_where_numbers_wrap() {
    let to_server = |at, sequence, lost| record(Direction::ToServer, at, sequence, 100, lost);
    let records = [
        to_server(1, u32::MAX - 149, true),
        to_server(2, u32::MAX - 49, false),
        to_server(3, 50, false),
        to_server(4, u32::MAX - 149, false),
        to_server(5, 150, false),
    ];
    let flow = Flow::new(&records, 4000);
    assert_eq!(flow.retransmissions(Direction::ToServer), 1);
    assert_eq!(flow.dropped(Direction::ToServer), [u32::MAX - 149]);
    let after = Duration::from_millis(3);
    let next = flow.data(Direction::ToServer, after).unwrap();
    assert_eq!(next.segment.unwrap().sequence, 50);
}

#[test]
fn a_port_that_is_used_again_is_its_latest_connection() {
    let records = [
        record(Direction::ToServer, 1, 7, 0, false),
        record(Direction::ToServer, 2, 8, 100, false),
        record(Direction::ToServer, 3, 1000, 0, false),
        record(Direction::ToServer, 4, 1000, 0, false),
    ];
    let flow = Flow::new(&records, 4000);
    assert_eq!(flow.packets(Direction::ToServer).count(), 2);
    assert_eq!(flow.retransmissions(Direction::ToServer), 1, "a second SYN");
}
