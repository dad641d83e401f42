//! When the events of one stream arrived, and how long each was on its way.

use anyhow::{Result, ensure};

use crate::load::Watch;
use crate::upstream::{DONE, Stamp, now_ns};

/// One event that was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Arrival {
    stamp: Stamp,
    /// When its last byte had been read.
    arrived: u64,
    /// Whether the event before it came in the same read.
    together: bool,
}

/// Notes the events of a stream while they come.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    /// When something was read last.
    read: u64,
    /// Whether an event has ended in it.
    has_event: bool,
    /// The beginning of an event whose end has not come.
    begun: Vec<u8>,
    events: Vec<Arrival>,
    done: bool,
    /// The first event that upstream did not write.
    foreign: Option<String>,
}

/// What an event is that upstream did not write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Foreign {
    /// An error.
    Error,
    /// A gateway's own, such as one that says that the text is at its end.
    Allowed,
}

/// What one stream comes to, in microseconds.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Streamed {
    /// How long the request was on its way to upstream, and the first event back; what upstream thought is left out.
    pub(super) first_us: f64,
    /// How long each event after the first was on its way.
    pub(super) later_us: Vec<f64>,
    /// How many of them came in the same read as the event before.
    pub(super) together: usize,
}

impl Watch for Arrivals {
    fn has_read(&mut self) {
        self.has_read_at(now_ns());
    }

    fn body(&mut self, bytes: &[u8]) {
        self.begun.extend_from_slice(bytes);
        while let Some(end) = self.begun.windows(2).position(|pair| pair == b"\n\n") {
            let rest = self.begun.split_off(end + 2);
            let event = std::mem::replace(&mut self.begun, rest);
            self.event(&event[..end]);
        }
    }
}

impl Arrivals {
    fn has_read_at(&mut self, now: u64) {
        self.read = now;
        self.has_event = false;
    }

    fn event(&mut self, event: &[u8]) {
        if let Some(stamp) = Stamp::of(event) {
            self.events.push(Arrival {
                stamp,
                arrived: self.read,
                together: self.has_event,
            });
            self.has_event = true;
        } else if event == DONE {
            self.done = true;
        } else {
            let text = || String::from_utf8_lossy(event).into_owned();
            self.foreign.get_or_insert_with(text);
        }
    }

    /// What the stream comes to whose request was sent at `sent`.
    ///
    /// # Errors
    /// When it was not the one that was asked for, or had more in it.
    pub(super) fn finish(self, sent: u64, events: u32, foreign: Foreign) -> Result<Streamed> {
        if let Some(foreign) = self.foreign.filter(|_| foreign == Foreign::Error) {
            anyhow::bail!("an event that upstream did not write: {foreign}");
        }
        ensure!(
            self.done && self.events.len() == events as usize,
            "a stream of {} events instead of {events}, {} its end",
            self.events.len(),
            if self.done { "with" } else { "without" }
        );
        let mut streamed = Streamed::default();
        for (index, arrival) in self.events.iter().enumerate() {
            let stamp = arrival.stamp;
            let way = microseconds(stamp.written, arrival.arrived);
            if index == 0 {
                streamed.first_us = microseconds(sent, stamp.asked) + way;
            } else {
                streamed.later_us.push(way);
                streamed.together += usize::from(arrival.together);
            }
        }
        Ok(streamed)
    }
}

fn microseconds(from: u64, to: u64) -> f64 {
    to.saturating_sub(from) as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three events, written 20 µs apart.
    fn wire() -> Vec<u8> {
        let event = |index: u64| {
            let stamp = Stamp {
                asked: 5_000,
                written: 10_000 + 20_000 * index,
            };
            stamp.event()
        };
        let events: String = (0..3).map(event).collect();
        format!("{events}data: [DONE]\n\n").into_bytes()
    }

    #[test]
    fn events_are_found_at_any_cut() {
        let wire = wire();
        let second = Stamp {
            asked: 5_000,
            written: 10_000,
        };
        let length = second.event().len();
        for cut in 1..wire.len() {
            let mut arrivals = Arrivals::default();
            for (piece, now) in [(&wire[..cut], 100_000), (&wire[cut..], 200_000)] {
                arrivals.has_read_at(now);
                arrivals.body(piece);
            }
            let before = (cut / length).min(3);
            let late = arrivals.events.iter().filter(|one| one.arrived == 200_000);
            assert_eq!(late.count(), 3 - before, "cut at {cut}");
            let streamed = arrivals.finish(1_000, 3, Foreign::Error).unwrap();
            // Each but the first one of a read has one before it.
            let reads = usize::from(before > 0) + usize::from(before < 3);
            assert_eq!(streamed.together, 3 - reads, "cut at {cut}");
        }
    }

    #[test]
    fn times_on_the_way_leave_out_what_upstream_thought() {
        let (wire, mut arrivals) = (wire(), Arrivals::default());
        let length = (wire.len() - DONE.len() - 2) / 3;
        for (index, piece) in wire.chunks(length).enumerate() {
            arrivals.has_read_at(11_000 + 20_000 * index as u64 + 500 * index as u64);
            arrivals.body(piece);
        }
        let streamed = arrivals.finish(3_000, 3, Foreign::Error).unwrap();
        let expected = Streamed {
            first_us: 2.0 + 1.0,
            later_us: vec![1.5, 2.0],
            together: 0,
        };
        assert_eq!(streamed, expected);
    }

    #[test]
    fn other_streams_are_errors() {
        let feed_to = |wire: &[u8], foreign| {
            let mut arrivals = Arrivals::default();
            arrivals.has_read_at(1);
            arrivals.body(wire);
            arrivals.finish(0, 3, foreign)
        };
        let feed = |wire: &[u8]| feed_to(wire, Foreign::Error);
        let wire = wire();
        assert!(feed(&wire).is_ok());
        assert!(feed(&wire[..wire.len() - 2]).is_err());
        assert!(feed(&wire[wire.len() / 2..]).is_err());
        let error = feed(b"data: {\"error\":1}\n\n").unwrap_err().to_string();
        assert!(error.contains("{\"error\":1}"), "{error}");
        let more = [b"data: {\"choices\":[]}\n\n".as_slice(), &wire].concat();
        assert!(feed(&more).is_err());
        assert!(feed_to(&more, Foreign::Allowed).is_ok());
        assert!(feed_to(&wire[..wire.len() - 2], Foreign::Allowed).is_err());
    }
}
