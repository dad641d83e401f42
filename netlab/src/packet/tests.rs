//! Tests of `packet.rs`.

use super::*;

/// A SYN-ACK with `data`, ports 80 and 4660.
fn tcp(data: &[u8]) -> Vec<u8> {
    let mut segment = vec![0, 80, 0x12, 0x34, 0, 0, 0, 7, 0, 0, 0, 9, 0x50, 0x12];
    segment.extend([0; 6]);
    segment.extend(data);
    segment
}

#[test]
fn ipv4_segments_are_read_up_to_their_length() {
    let mut packet = vec![0x45, 0, 0, 43, 0, 0, 0x40, 0, 64, 6, 0, 0];
    packet.extend([192, 0, 2, 1, 192, 0, 2, 2]);
    packet.extend(tcp(b"abc"));
    packet.extend([0; 3]);
    let segment = Segment::parse(&packet).unwrap();
    assert_eq!(segment.source, "192.0.2.1:80".parse().unwrap());
    assert_eq!(segment.destination, "192.0.2.2:4660".parse().unwrap());
    assert_eq!(
        (segment.sequence, segment.acknowledgment, segment.data),
        (7, 9, 3)
    );
    assert_eq!(segment.end(), 10);
    assert!(segment.flags.syn() && segment.flags.ack() && !segment.flags.fin());
    packet[6] = 0x20;
    assert_eq!(Segment::parse(&packet), None, "a fragment");
}

#[test]
fn ipv6_segments_are_read() {
    let mut packet = vec![0x60, 0, 0, 0, 0, 20, 6, 64];
    packet.extend(Ipv6Addr::LOCALHOST.octets());
    packet.extend("2001:db8::2".parse::<Ipv6Addr>().unwrap().octets());
    packet.extend(tcp(b""));
    let segment = Segment::parse(&packet).unwrap();
    assert_eq!(segment.destination, "[2001:db8::2]:4660".parse().unwrap());
    assert_eq!(segment.data, 0);
}

#[test]
fn what_is_cut_off_is_no_segment() {
    let mut packet = vec![0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0];
    packet.extend([0; 8]);
    packet.extend(tcp(b""));
    assert!(Segment::parse(&packet).is_some());
    for length in 0..packet.len() {
        assert_eq!(Segment::parse(&packet[..length]), None, "{length}");
    }
}
