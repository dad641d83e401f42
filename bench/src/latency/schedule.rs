//! When requests are sent, and what each asks for: the same for every contender.
//!
//! Arrivals are those of many independent users (a Poisson process). They do not wait for answers, so a contender that
//! is slow meets as many requests as one that is fast, and each is counted from when it should have been sent.

use std::time::Duration;

use fastrand::Rng;

use super::thinking;

/// Requests of a contender before others have their turn.
const SLICE: usize = 250;
/// An AI gateway gets so many times fewer of them, in a round and in a slice, and at most so many in a second: it takes
/// milliseconds of a CPU for each, and with more than it can carry only its queue would be measured.
const FEWER: usize = 10;
const GATEWAY_RATE: f64 = 25.0;
/// Those before them that are sent and not counted: caches are somebody else's still, and CPUs may sleep deeply.
const SETTLE: usize = 16;

/// What is sent to every contender.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// Requests of a contender in a round, and how many of them in a second.
    pub(super) requests: usize,
    pub(super) rate: f64,
    pub(super) seed: u64,
    /// Whether upstream thinks.
    pub(super) thinks: bool,
    /// Whether this is for an AI gateway.
    pub(super) gateway: bool,
}

/// One request.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shot {
    /// From the beginning of its slice to when it is to be sent.
    pub(super) at: Duration,
    /// For how long upstream shall think.
    pub(super) think: Option<Duration>,
    /// Which of its round it is, from 0; `None` if it does not count.
    pub(super) number: Option<usize>,
}

impl Plan {
    /// The same for an AI gateway, in as many slices.
    pub(super) fn for_gateway(&self) -> Self {
        Self {
            requests: self.requests.div_ceil(FEWER),
            rate: self.rate.min(GATEWAY_RATE),
            gateway: true,
            ..*self
        }
    }

    /// The slices of a round.
    pub(super) fn round(&self, round: usize) -> Vec<Vec<Shot>> {
        let mut random = Rng::with_seed(self.seed.wrapping_add(round as u64));
        let usual = self.thinks.then(|| thinking::quantile(0.5));
        let times: Vec<Option<Duration>> = match self.thinks {
            true => thinking::times(self.requests, &mut random)
                .into_iter()
                .map(Some)
                .collect(),
            false => vec![None; self.requests],
        };
        let numbered: Vec<_> = times.into_iter().enumerate().collect();
        let slice = |shots: &[(usize, Option<Duration>)]| {
            let settle = std::iter::repeat_n((None, usual), SETTLE);
            let counted = shots.iter().map(|(number, think)| (Some(*number), *think));
            let mut at = Duration::ZERO;
            let mut shot = |(number, think)| {
                at += self.gap(&mut random);
                Shot { at, think, number }
            };
            settle.chain(counted).map(&mut shot).collect()
        };
        let length = if self.gateway { SLICE / FEWER } else { SLICE };
        numbered.chunks(length).map(slice).collect()
    }

    /// The time between two arrivals: exponentially distributed.
    fn gap(&self, random: &mut Rng) -> Duration {
        // From 0 to less than 1, so what the logarithm is taken of is never 0.
        Duration::from_secs_f64(-(1.0 - random.f64()).ln() / self.rate)
    }
}

/// So many requests at once, for which upstream does not think: as fast as it goes.
pub(super) fn burst(count: usize, think: Option<Duration>) -> Vec<Shot> {
    let shot = Shot {
        at: Duration::ZERO,
        think,
        number: None,
    };
    vec![shot; count]
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan {
        requests: 600,
        rate: 200.0,
        seed: 7,
        thinks: true,
        gateway: false,
    };

    #[test]
    fn every_request_of_a_round_is_in_one_slice() {
        let slices = PLAN.round(0);
        assert_eq!(slices.len(), 3);
        let numbers = slices.iter().flatten().filter_map(|shot| shot.number);
        assert_eq!(numbers.collect::<Vec<_>>(), (0..600).collect::<Vec<_>>());
        let settle = slices.iter().flatten().filter(|shot| shot.number.is_none());
        assert_eq!(settle.count(), 3 * SETTLE);
        assert!(slices.iter().flatten().all(|shot| shot.think.is_some()));
    }

    #[test]
    fn arrivals_come_at_the_rate_and_as_if_by_chance() {
        let slices = PLAN.round(0);
        let sent: f64 = slices.iter().map(|slice| slice.len() as f64).sum();
        let took: f64 = slices
            .iter()
            .filter_map(|slice| slice.last())
            .map(|shot| shot.at.as_secs_f64())
            .sum();
        assert!((170.0..230.0).contains(&(sent / took)), "{}", sent / took);
        let at: Vec<f64> = slices[0].iter().map(|shot| shot.at.as_secs_f64()).collect();
        let gaps: Vec<f64> = at.windows(2).map(|two| two[1] - two[0]).collect();
        // Of a Poisson process, 63 % of the gaps are shorter than the mean.
        let short = gaps.iter().filter(|gap| **gap < 1.0 / 200.0).count() as f64;
        assert!(
            (0.55..0.72).contains(&(short / gaps.len() as f64)),
            "{short}"
        );
    }

    #[test]
    fn gateways_get_fewer_requests_in_as_many_slices() {
        for requests in [1, 250, 251, 500, 600, 2_000] {
            let plan = Plan { requests, ..PLAN };
            let fewer = plan.for_gateway();
            assert_eq!(fewer.round(0).len(), plan.round(0).len(), "{requests}");
            assert_eq!(fewer.rate, GATEWAY_RATE);
        }
        let slow = Plan { rate: 5.0, ..PLAN };
        assert_eq!(slow.for_gateway().rate, 5.0);
    }

    #[test]
    fn contenders_get_the_same_and_rounds_do_not() {
        assert_eq!(PLAN.round(3), PLAN.round(3));
        assert_ne!(PLAN.round(3), PLAN.round(4));
    }
}
