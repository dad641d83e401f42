//! When what is sent: the schedule of a run, made before it begins.
//!
//! A round has one request to each target. Their order is drawn anew for each round, so that none always follows another, and each is due
//! at a random moment of its part of the round: at even intervals one might always hit the same moment of something that comes
//! back, such as the kernel's pauses of a pod at its CPU limit every 100 ms.

use std::time::Duration;

/// Something to be done at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    /// Since the beginning.
    pub(super) at: Duration,
    /// Index of the target.
    pub(super) target: usize,
    pub(super) kind: Kind,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A request of this round.
    Request(usize),
    /// A connection that is opened and closed again.
    Handshake,
}

/// What a plan is made for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub(super) targets: usize,
    /// Requests to each target.
    pub(super) rounds: usize,
    /// Requests a second to each target.
    pub(super) rate: f64,
    /// Connections to each target, spread over the rounds.
    pub(super) handshakes: usize,
}

impl Extent {
    /// How long one round is.
    pub(super) fn round(&self) -> Duration {
        Duration::try_from_secs_f64(self.rate.recip()).unwrap_or(Duration::MAX)
    }

    /// How long all rounds are.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub(super) fn all(&self) -> Duration {
        let seconds = self.rounds as f64 / self.rate;
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }

    /// The slots in the order of their times.
    pub(super) fn plan(&self, random: &mut fastrand::Rng) -> Vec<Slot> {
        let mut slots = Vec::with_capacity((self.rounds + self.handshakes) * self.targets);
        let part = self.round() / u32::try_from(self.targets.max(1)).unwrap_or(u32::MAX);
        let mut order: Vec<_> = (0..self.targets).collect();
        let mut begin = Duration::ZERO;
        for round in 0..self.rounds {
            random.shuffle(&mut order);
            for target in &order {
                slots.push(Slot {
                    at: begin + part.mul_f64(random.f64()),
                    target: *target,
                    kind: Kind::Request(round),
                });
                begin += part;
            }
        }
        for target in 0..self.targets {
            for _ in 0..self.handshakes {
                slots.push(Slot {
                    at: self.all().mul_f64(random.f64()),
                    target,
                    kind: Kind::Handshake,
                });
            }
        }
        slots.sort_by_key(|slot| slot.at);
        slots
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_round_has_one_request_to_each_target_within_it() {
        let extent = Extent {
            targets: 3,
            rounds: 40,
            rate: 10.0,
            handshakes: 5,
        };
        let plan = extent.plan(&mut fastrand::Rng::with_seed(1));
        assert_eq!(plan.len(), 3 * 45);
        assert!(plan.is_sorted_by_key(|slot| slot.at));
        assert!(plan.last().unwrap().at < Duration::from_secs(4));
        let mut orders = std::collections::BTreeSet::new();
        for round in 0..40 {
            let of = plan.iter().filter(|slot| slot.kind == Kind::Request(round));
            let begin = extent.round() * u32::try_from(round).unwrap();
            let mut order = Vec::new();
            for slot in of {
                assert!(
                    slot.at >= begin && slot.at < begin + extent.round(),
                    "{slot:?}"
                );
                order.push(slot.target);
            }
            orders.insert(order.clone());
            order.sort_unstable();
            assert_eq!(order, [0, 1, 2]);
        }
        assert_eq!(orders.len(), 6, "no target always follows another");
        let handshakes = plan.iter().filter(|slot| slot.kind == Kind::Handshake);
        assert_eq!(handshakes.count(), 15);
    }
}
