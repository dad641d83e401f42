//! Which requests get a line in the access log, where only a share of those that go well do.

use std::cell::Cell;
use std::time::Duration;

use super::Worker;
use crate::account::{End, RequestRecord};
use crate::config::Sampling;

/// What has added up since the last line: at 1 there is another one. So the share is kept exactly, and no client can choose
/// what is written, as it could if its request id decided.
#[derive(Debug, Default)]
pub(super) struct Sample(Cell<f64>);

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Written,
    /// Written for others, too.
    Sampled(f64),
    LeftOut,
}

impl Sample {
    fn fate(&self, sampling: &Sampling, is_routine: bool) -> Fate {
        if sampling.share >= 1.0 || !is_routine {
            return Fate::Written;
        }
        let sum = self.0.get() + sampling.share;
        self.0.set(sum - sum.floor());
        match sum >= 1.0 {
            true => Fate::Sampled(sampling.share),
            false => Fate::LeftOut,
        }
    }
}

impl Worker {
    /// Writes a request's access-log line into the batch, if it gets one.
    pub fn log_access(&self, record: &RequestRecord, total: Duration) {
        if !self.log.is_on() {
            return;
        }
        let sampling = self.live().sampling;
        let is_routine = (200..300).contains(&record.status)
            && record.error.is_none()
            && record.end == End::Complete
            && total < sampling.slow;
        let share = match self.sample.fate(&sampling, is_routine) {
            Fate::Written => None,
            Fate::Sampled(share) => Some(share),
            Fate::LeftOut => {
                self.metrics.log_left_out.inc();
                return;
            }
        };
        if self.batch.borrow_mut().add(record, total, share) {
            self.flush_log();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(share: f64, requests: usize) -> usize {
        let sampling = Sampling {
            share,
            slow: Duration::MAX,
        };
        let sample = Sample::default();
        let fates = (0..requests).map(|_| sample.fate(&sampling, true));
        fates.filter(|fate| *fate != Fate::LeftOut).count()
    }

    #[test]
    fn the_share_is_kept() {
        for (share, expected) in [(0.0, 0), (0.25, 250), (0.5, 500), (0.75, 750), (1.0, 1000)] {
            assert_eq!(lines(share, 1000), expected, "{share}");
        }
    }

    #[test]
    fn what_is_not_routine_is_written_for_itself() {
        let sampling = Sampling {
            share: 0.0,
            slow: Duration::MAX,
        };
        assert_eq!(Sample::default().fate(&sampling, false), Fate::Written);
    }
}
