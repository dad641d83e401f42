//! How many requests may be sent again: a share of all, so that trouble upstream is not multiplied by those it troubles.

use std::cell::Cell;
use std::time::Duration;

/// Repeats that may follow each other whatever the share, and what there is at the start.
const RESERVE: f32 = 10.0;
/// Repeats a second for workers with few requests.
const A_SECOND: f32 = 1.0;
/// The most that can be saved up.
const MOST: f32 = 100.0;

/// One worker's account: each request pays in, each repeat takes one out.
#[derive(Debug)]
pub struct Budget(Cell<f32>);

impl Default for Budget {
    fn default() -> Self {
        Self(Cell::new(RESERVE))
    }
}

impl Budget {
    /// A request, of which `percent` in a hundred may be repeated.
    #[inline]
    #[expect(clippy::cast_precision_loss, reason = "0 to 100")]
    pub fn request(&self, percent: u32) {
        self.0
            .set((self.0.get() + percent as f32 / 100.0).min(MOST));
    }

    /// Whether a request may be repeated; takes it out if so.
    pub fn withdraw(&self) -> bool {
        let left = self.0.get() - 1.0;
        let may = left >= 0.0;
        if may {
            self.0.set(left);
        }
        may
    }

    /// Time has passed.
    pub fn tick(&self, time: Duration) {
        let left = self.0.get();
        if left < RESERVE {
            self.0.set(left + A_SECOND * time.as_secs_f32());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_are_a_share_of_the_requests() {
        let budget = Budget::default();
        let take_all = || std::iter::from_fn(|| budget.withdraw().then_some(())).count();
        assert_eq!(take_all(), 10);
        (0..100).for_each(|_| budget.request(20));
        assert!((19..=20).contains(&take_all()));
        budget.tick(Duration::from_millis(2100));
        assert_eq!(take_all(), 2);
        (0..10_000).for_each(|_| budget.request(20));
        assert_eq!(take_all(), 100);
    }
}
