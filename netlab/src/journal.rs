//! What the path did, packet by packet: the truth that measurements are compared with.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use crate::{Flow, Segment};

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

impl fmt::Display for Direction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::ToServer => "to server",
            Self::ToClient => "to client",
        })
    }
}

/// One packet. Times are `CLOCK_MONOTONIC`, as [`crate::now`] gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Which way.
    pub direction: Direction,
    /// When it was taken from the sender's device.
    pub came: Duration,
    /// What became of it.
    pub fate: Fate,
    /// Bytes of the IP packet.
    pub length: usize,
    /// What was in it, if it was TCP.
    pub segment: Option<Segment>,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was given to the receiver's device.
    Left {
        /// When the link's settings said.
        due: Duration,
        /// When it was done.
        at: Duration,
    },
    /// The loss setting took it, or the path was cut.
    Lost,
    /// There was no room in the narrow link's queue.
    Overflowed,
}

impl Record {
    /// When it left, unless it was lost.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        match self.fate {
            Fate::Left { at, .. } => Some(at),
            Fate::Lost | Fate::Overflowed => None,
        }
    }

    /// Whether it was a TCP segment with data.
    #[must_use]
    pub fn has_data(&self) -> bool {
        self.segment.is_some_and(|segment| segment.data > 0)
    }

    fn is_dropped(&self) -> bool {
        self.left().is_none()
    }
}

/// Packets of one direction since the path was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Given to the receiver's device.
    pub left: u64,
    /// Taken by the loss setting, or while the path was cut.
    pub lost: u64,
    /// Without room in the queue.
    pub overflowed: u64,
    /// Of those that left, not taken by the receiver's device. Not 0 only if somebody takes the device down.
    pub refused: u64,
    /// Of all, not recorded since the journal was full.
    pub unrecorded: u64,
}

/// A copy of what has been recorded so far, in the order in which packets left or were dropped.
#[derive(Clone, Debug)]
pub struct Journal {
    records: Vec<Record>,
    counts: [Counts; 2],
}

impl Journal {
    /// All packets.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Numbers of one direction. They count what the journal had no room for, too.
    #[must_use]
    pub fn counts(&self, direction: Direction) -> Counts {
        self.counts[direction as usize]
    }

    /// The connection of a client's port; of the latest one, if the port was used again.
    #[must_use]
    pub fn flow(&self, client_port: u16) -> Flow {
        Flow::new(&self.records, client_port)
    }

    /// Data segments to this port that did not arrive, those that overflowed included.
    pub fn dropped_to(&self, port: u16) -> impl Iterator<Item = Segment> {
        let dropped = self.records.iter().filter(|record| record.is_dropped());
        let segments = dropped.filter_map(|record| record.segment);
        segments.filter(move |segment| segment.destination.port() == port && segment.data > 0)
    }

    /// How much later than the settings said packets left, sorted.
    #[must_use]
    pub fn lateness(&self, direction: Direction) -> Vec<Duration> {
        let all = self.records.iter().filter(|one| one.direction == direction);
        let mut lateness: Vec<_> = all
            .filter_map(|record| match record.fate {
                Fate::Left { due, at } => Some(at.saturating_sub(due)),
                Fate::Lost | Fate::Overflowed => None,
            })
            .collect();
        lateness.sort_unstable();
        lateness
    }
}

/// The counters of one direction; its relay thread is the only writer.
#[derive(Debug, Default)]
struct Tally {
    left: AtomicU64,
    lost: AtomicU64,
    overflowed: AtomicU64,
    refused: AtomicU64,
    unrecorded: AtomicU64,
}

impl Tally {
    fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            left: read(&self.left),
            lost: read(&self.lost),
            overflowed: read(&self.overflowed),
            refused: read(&self.refused),
            unrecorded: read(&self.unrecorded),
        }
    }
}

/// What a relay thread writes to. It never waits for whoever reads.
#[derive(Debug)]
pub(crate) struct Recorder {
    records: Sender<Record>,
    /// Records it may still send.
    room: u64,
    tally: Arc<Tally>,
}

impl Recorder {
    pub(crate) fn note(&mut self, record: Record) {
        let counter = match record.fate {
            Fate::Left { .. } => &self.tally.left,
            Fate::Lost => &self.tally.lost,
            Fate::Overflowed => &self.tally.overflowed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if self.room == 0 {
            self.tally.unrecorded.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.room -= 1;
        // Nobody reads any more when the path is being dropped.
        let _ = self.records.send(record);
    }

    pub(crate) fn refused(&self) {
        self.tally.refused.fetch_add(1, Ordering::Relaxed);
    }
}

/// What has been recorded, and the ends of what is being recorded.
#[derive(Debug)]
pub(crate) struct Book {
    incoming: Receiver<Record>,
    records: Vec<Record>,
    tallies: [Arc<Tally>; 2],
}

impl Book {
    /// A book and what to write into it, to server first; each direction may write `limit` records.
    pub(crate) fn new(limit: u64) -> (Self, [Recorder; 2]) {
        let (records, incoming) = channel();
        let recorder = || Recorder {
            records: records.clone(),
            room: limit,
            tally: Arc::default(),
        };
        let recorders = [recorder(), recorder()];
        let book = Self {
            incoming,
            records: Vec::new(),
            tallies: [&recorders[0], &recorders[1]].map(|one| Arc::clone(&one.tally)),
        };
        (book, recorders)
    }

    pub(crate) fn read(&mut self) -> Journal {
        self.records.extend(self.incoming.try_iter());
        Journal {
            records: self.records.clone(),
            counts: [self.tallies[0].counts(), self.tallies[1].counts()],
        }
    }
}
