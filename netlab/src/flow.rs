//! One TCP connection as it passed.

use std::time::Duration;

use crate::{Direction, Record, Segment};

/// The packets of one connection, each direction in the order in which packets came.
#[derive(Clone, Debug)]
pub struct Flow {
    records: Vec<(Record, Segment)>,
}

impl Flow {
    pub(crate) fn new(all: &[Record], client_port: u16) -> Self {
        let of_port = all.iter().filter_map(|record| {
            let segment = record.segment?;
            let client = match record.direction {
                Direction::ToServer => segment.source,
                Direction::ToClient => segment.destination,
            };
            (client.port() == client_port).then_some((*record, segment))
        });
        let mut records: Vec<_> = of_port.collect();
        records.sort_by_key(|(record, _)| record.came);
        // A SYN with another number than the one before begins a new connection on the same port.
        let mut begin = 0;
        let mut initial = None;
        for (index, (record, segment)) in records.iter().enumerate() {
            let opens = segment.flags.syn() && record.direction == Direction::ToServer;
            if opens && initial != Some(segment.sequence) {
                (begin, initial) = (index, Some(segment.sequence));
            }
        }
        records.drain(..begin);
        Self { records }
    }

    /// All its packets of one direction.
    pub fn packets(&self, direction: Direction) -> impl Iterator<Item = (&Record, &Segment)> {
        let all = self
            .records
            .iter()
            .map(|(record, segment)| (record, segment));
        all.filter(move |(record, _)| record.direction == direction)
    }

    /// From the first SYN's coming from the client to the first SYN-ACK's leaving for it: what the client's kernel
    /// measures as the handshake, but for the time it and the device need on their way from and to the path.
    #[must_use]
    pub fn syn_round_trip(&self) -> Option<Duration> {
        let syn = |direction| self.packets(direction).filter(|(_, one)| one.flags.syn());
        let (came, _) = syn(Direction::ToServer).next()?;
        let answer = syn(Direction::ToClient).find_map(|(record, _)| record.left())?;
        Some(answer.saturating_sub(came.came))
    }

    /// The first data segment that came not before `after` and was not dropped.
    #[must_use]
    pub fn data(&self, direction: Direction, after: Duration) -> Option<&Record> {
        let mut data = self.packets(direction).filter(|(_, one)| one.data > 0);
        let found = data.find(|(record, _)| record.came >= after && record.left().is_some());
        found.map(|(record, _)| record)
    }

    /// Sequence numbers of the data segments that were dropped, lost and overflowed alike.
    #[must_use]
    pub fn dropped(&self, direction: Direction) -> Vec<u32> {
        let dropped = self
            .packets(direction)
            .filter(|(record, _)| record.left().is_none());
        let data = dropped.filter(|(_, segment)| segment.data > 0);
        data.map(|(_, segment)| segment.sequence).collect()
    }

    /// Data segments that had been sent before, needed or not, and SYNs after the first: what `TCP_INFO` calls
    /// `tcpi_total_retrans` at the sender.
    #[must_use]
    pub fn retransmissions(&self, direction: Direction) -> u64 {
        let mut next: Option<u32> = None;
        let mut syns = 0_u64;
        let mut again = 0;
        for (_, segment) in self.packets(direction) {
            if segment.flags.syn() {
                syns += 1;
            }
            if segment.data == 0 {
                continue;
            }
            // Sequence numbers wrap; what is behind by less than half of all is old.
            match next {
                Some(next) if segment.sequence.wrapping_sub(next) > u32::MAX / 2 => again += 1,
                _ => next = Some(segment.end()),
            }
        }
        again + syns.saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
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
}
