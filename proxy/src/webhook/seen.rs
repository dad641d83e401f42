//! Which deliveries have been forwarded of late, so that none is forwarded twice.
//!
//! Only what was signed gets here, so nobody else can fill it. A cache that drops entries by how often they are asked for
//! would not do: here the oldest has to go first.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::signature::Identity;

/// Deliveries remembered at most, about 2 MB of them.
const MOST: usize = 16 * 1024;

/// What is known of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It is being forwarded.
    UnderWay,
    /// It has been forwarded; its sender's time.
    Delivered(u64),
}

/// What to do with a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Forward it, and say what came of it: [`Seen::end`].
    New,
    /// The same is being forwarded, or has been.
    Repeated,
    /// It has been forwarded, and its sender has signed it once more since: the answer was lost on its way.
    Delivered,
}

/// The memory. Times are the caller's.
#[derive(Debug)]
pub(super) struct Seen {
    keep: Duration,
    most: usize,
    states: HashMap<Identity, State>,
    /// Those that have been forwarded, the oldest first.
    order: VecDeque<(Instant, Identity)>,
}

impl Seen {
    /// Remembers for twice the tolerance: what is signed for the end of it in our future is good until then.
    pub(super) fn new(tolerance: Duration) -> Self {
        Self {
            keep: tolerance * 2,
            most: MOST,
            states: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// Whether a delivery is to be forwarded.
    pub(super) fn begin(&mut self, delivery: Identity, timestamp: u64, now: Instant) -> Verdict {
        self.forget(now);
        match self.states.get(&delivery) {
            None => {
                self.states.insert(delivery, State::UnderWay);
                Verdict::New
            }
            Some(State::Delivered(before)) if *before != timestamp => Verdict::Delivered,
            Some(_) => Verdict::Repeated,
        }
    }

    /// What came of one that was new. What failed is new again the next time.
    pub(super) fn end(
        &mut self,
        delivery: Identity,
        timestamp: u64,
        delivered: bool,
        now: Instant,
    ) {
        if !delivered {
            self.states.remove(&delivery);
            return;
        }
        self.states.insert(delivery, State::Delivered(timestamp));
        self.order.push_back((now, delivery));
        if self.order.len() > self.most
            && let Some((_, oldest)) = self.order.pop_front()
        {
            self.states.remove(&oldest);
        }
    }

    fn forget(&mut self, now: Instant) {
        let keep = self.keep;
        let is_over = |(at, _): &mut (Instant, Identity)| now.duration_since(*at) > keep;
        while let Some((_, delivery)) = self.order.pop_front_if(is_over) {
            self.states.remove(&delivery);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERANCE: Duration = Duration::from_secs(300);

    fn id(number: u64) -> Identity {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&number.to_be_bytes());
        id
    }

    #[test]
    fn what_was_delivered_is_not_forwarded_again() {
        let (mut seen, now) = (Seen::new(TOLERANCE), Instant::now());
        assert_eq!(seen.begin(id(1), 7, now), Verdict::New);
        assert_eq!(seen.begin(id(1), 7, now), Verdict::Repeated, "under way");
        assert_eq!(seen.begin(id(1), 8, now), Verdict::Repeated, "under way");
        assert_eq!(seen.begin(id(2), 7, now), Verdict::New);
        seen.end(id(1), 7, true, now);
        assert_eq!(seen.begin(id(1), 7, now), Verdict::Repeated);
        assert_eq!(seen.begin(id(1), 8, now), Verdict::Delivered);
        let late = now + 2 * TOLERANCE;
        assert_eq!(seen.begin(id(1), 7, late), Verdict::Repeated);
        let later = late + Duration::from_secs(1);
        assert_eq!(seen.begin(id(1), 7, later), Verdict::New);
        assert!(seen.order.is_empty());
    }

    #[test]
    fn what_failed_may_come_again() {
        let (mut seen, now) = (Seen::new(TOLERANCE), Instant::now());
        assert_eq!(seen.begin(id(1), 7, now), Verdict::New);
        seen.end(id(1), 7, false, now);
        assert_eq!(seen.begin(id(1), 7, now), Verdict::New);
    }

    #[test]
    fn the_oldest_goes_when_there_are_too_many() {
        let (mut seen, now) = (Seen::new(TOLERANCE), Instant::now());
        seen.most = 3;
        for number in 0..5 {
            assert_eq!(seen.begin(id(number), 7, now), Verdict::New);
            seen.end(id(number), 7, true, now);
        }
        assert_eq!((seen.states.len(), seen.order.len()), (3, 3));
        assert_eq!(seen.begin(id(4), 7, now), Verdict::Repeated);
        assert_eq!(seen.begin(id(2), 7, now), Verdict::Repeated);
        assert_eq!(seen.begin(id(1), 7, now), Verdict::New);
    }
}
