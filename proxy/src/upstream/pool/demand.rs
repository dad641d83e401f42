//! How many connections were needed at a time, lately, for [`super::Pool`]: so many are kept, and those that grow too old are
//! replaced before anybody asks.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// A number that grows at once and falls slowly.
#[derive(Debug)]
pub(super) struct Demand {
    connections: Cell<usize>,
    falls: Cell<Instant>,
    period: Duration,
}

impl Demand {
    /// None yet. Stays for two periods, and then falls by a quarter in each.
    pub(super) fn new(period: Duration, now: Instant) -> Self {
        Self {
            connections: Cell::default(),
            falls: Cell::new(now + period),
            period,
        }
    }

    /// Connections.
    pub(super) fn get(&self) -> usize {
        self.connections.get()
    }

    /// Takes note of the most that were in use at a time since this was last called.
    pub(super) fn observe(&self, busiest: usize, now: Instant) {
        let connections = self.connections.get();
        if busiest > 0 && busiest >= connections {
            self.connections.set(busiest);
            // Those that idle from now on are too old after one period, and replaced for one more.
            self.falls.set(now + self.period * 2);
        } else if now >= self.falls.get() {
            let fallen = connections - connections.div_ceil(4);
            self.connections.set(fallen.max(busiest));
            self.falls.set(now + self.period);
        }
    }

    /// The peer has closed so many, and would close others as well: they are not opened again for nobody.
    pub(super) fn closed(&self, count: usize) {
        let connections = self.connections.get();
        self.connections.set(connections.saturating_sub(count));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_at_once_and_falls_slowly() {
        let period = Duration::from_secs(50);
        let begun = Instant::now();
        let demand = Demand::new(period, begun);
        let at = |seconds| begun + Duration::from_secs(seconds);
        let course = [
            (1, 8),
            (2, 3),
            (100, 0),
            (101, 1),
            (102, 0),
            (150, 0),
            (151, 7),
            (152, 5),
            (251, 2),
        ];
        let course = course.map(|(seconds, busiest)| {
            demand.observe(busiest, at(seconds));
            demand.get()
        });
        assert_eq!(course, [8, 8, 8, 6, 6, 6, 7, 7, 5]);
        demand.closed(2);
        assert_eq!(demand.get(), 3);
        for seconds in (300..=500).step_by(50) {
            demand.observe(0, at(seconds + 2));
        }
        assert_eq!(demand.get(), 0, "to nothing in the end");
    }
}
