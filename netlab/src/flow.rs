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
mod tests;
