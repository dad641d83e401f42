//! One direction of the path: what it is told to do, and the decision for each packet.
//!
//! The decision is made when a packet comes, in the order of a real path: lost or not, then the narrow link
//! with its queue, then the distance. Nothing here knows of devices or threads.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fastrand::Rng;

use crate::Error;

/// What one direction does to packets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Link {
    /// How long a packet is under way, its time in the narrow link not counted.
    pub delay: Duration,
    /// What does not arrive.
    pub loss: Loss,
    /// A narrow link; without one, nothing waits for anything.
    pub rate: Option<Rate>,
}

/// Which packets are lost: only TCP segments with data, so that each loss is one retransmission.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Loss {
    /// None.
    #[default]
    None,
    /// Every n-th, retransmitted ones counted as well.
    Every(u64),
    /// This share (0 to 1), by a generator that starts from the seed.
    Random {
        /// 0.01 is one in a hundred.
        share: f64,
        /// The same seed loses the same segments, by number.
        seed: u64,
    },
}

/// A narrow link: a token bucket of one packet, and a queue before it that drops what does not fit at its tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Bits of IP packets per second.
    pub bits_per_second: u64,
    /// Bytes of IP packets that may wait or be under way into the link.
    pub queue_bytes: u64,
}

impl Link {
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self.loss {
            Loss::Every(0) => return Err(Error::Setting("every 0th segment: use Loss::None")),
            Loss::Random { share, .. } if !(0.0..=1.0).contains(&share) => {
                return Err(Error::Setting("a share of losses is between 0 and 1"));
            }
            _ => {}
        }
        match self.rate {
            Some(rate) if rate.bits_per_second == 0 => {
                Err(Error::Setting("a rate of 0 lets nothing through"))
            }
            _ => Ok(()),
        }
    }
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It leaves then, on the clock of [`crate::now`].
    LeaveAt(Duration),
    Lost,
    /// The queue is full.
    Overflow,
}

/// From where random losses start anew, told to a link at work; it is looked at when the next data segment comes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reseed(Arc<Mutex<Option<u64>>>);

impl Reseed {
    pub(crate) fn set(&self, seed: u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(seed);
    }

    fn take(&self) -> Option<u64> {
        let mut seed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seed.take()
    }
}

/// Whether nothing passes, told to a link at work.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cut(Arc<AtomicBool>);

impl Cut {
    pub(crate) fn set(&self, cut: bool) {
        self.0.store(cut, Ordering::Relaxed);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A link at work.
#[derive(Debug)]
pub(crate) struct Shaper {
    link: Link,
    /// Data segments so far.
    segments: u64,
    random: Rng,
    reseed: Reseed,
    cut: Cut,
    /// When the narrow link will have sent all that waits.
    free_at: Duration,
}

impl Shaper {
    pub(crate) fn new(link: Link) -> Self {
        let seed = match link.loss {
            Loss::Random { seed, .. } => seed,
            Loss::None | Loss::Every(_) => 0,
        };
        Self {
            link,
            segments: 0,
            random: Rng::with_seed(seed),
            reseed: Reseed::default(),
            cut: Cut::default(),
            free_at: Duration::ZERO,
        }
    }

    /// What makes its random losses start anew.
    pub(crate) fn reseed(&self) -> Reseed {
        self.reseed.clone()
    }

    /// What keeps everything from passing.
    pub(crate) fn cut(&self) -> Cut {
        self.cut.clone()
    }

    /// Decides on a packet of `length` bytes that has come at `now`.
    pub(crate) fn admit(&mut self, now: Duration, length: usize, has_data: bool) -> Verdict {
        if self.cut.is_set() || has_data && self.loses_next() {
            return Verdict::Lost;
        }
        let sent = match self.link.rate {
            None => now,
            Some(rate) => {
                let begins = self.free_at.max(now);
                let waiting = bytes_in(begins - now, rate.bits_per_second);
                // An empty queue takes any packet: else one larger than the queue could never pass.
                if waiting > 0 && waiting + length as u64 > rate.queue_bytes {
                    return Verdict::Overflow;
                }
                self.free_at = begins + time_for(length, rate.bits_per_second);
                self.free_at
            }
        };
        Verdict::LeaveAt(sent + self.link.delay)
    }

    fn loses_next(&mut self) -> bool {
        self.segments += 1;
        match self.link.loss {
            Loss::None => false,
            Loss::Every(nth) => self.segments.is_multiple_of(nth),
            Loss::Random { share, .. } => {
                if let Some(seed) = self.reseed.take() {
                    self.random.seed(seed);
                }
                self.random.f64() < share
            }
        }
    }
}

fn time_for(bytes: usize, bits_per_second: u64) -> Duration {
    let nanoseconds = bytes as u128 * 8 * 1_000_000_000 / u128::from(bits_per_second);
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

fn bytes_in(time: Duration, bits_per_second: u64) -> u64 {
    let bytes = time.as_nanos() * u128::from(bits_per_second) / 8_000_000_000;
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
