//! Requests of each client by name. A client's counters live as long as its name is in the table of clients, and longer
//! ([`crate::clients::Clients`]); each worker has a line of memory of its own in them.

use super::cell::Counter;

/// How requests end, as labels: the class of the status, and clients that left before there was one.
const OUTCOMES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "left"];

/// One worker's share. Alone on its line of memory: the workers of one client would wait for each other.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct ClientCounters([Counter; OUTCOMES.len()]);

impl ClientCounters {
    /// Counts a request that ended with this status.
    pub fn count(&self, status: u16) {
        let outcome = match status {
            499 => OUTCOMES.len() - 1,
            100..=599 => usize::from(status / 100) - 1,
            _ => return,
        };
        if let Some(counter) = self.0.get(outcome) {
            counter.inc();
        }
    }
}

/// What one client has asked.
#[derive(Debug, Default)]
pub struct ClientCounts(Box<[ClientCounters]>);

impl ClientCounts {
    /// For so many workers.
    pub fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| ClientCounters::default()).collect())
    }

    /// A worker's share.
    pub fn of(&self, worker: usize) -> Option<&ClientCounters> {
        self.0.get(worker)
    }

    /// All requests.
    pub fn sum(&self) -> u64 {
        self.requests().map(|(_, count)| count).sum()
    }

    /// Requests by how they ended, over all workers.
    pub fn requests(&self) -> impl Iterator<Item = (&'static str, u64)> {
        OUTCOMES.into_iter().enumerate().map(|(index, outcome)| {
            let counters = self.0.iter().filter_map(|worker| worker.0.get(index));
            (outcome, counters.map(Counter::get).sum())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_the_class_of_their_status() {
        let counts = ClientCounts::new(2);
        for (worker, status) in [(0, 200), (1, 201), (0, 101), (1, 429), (0, 499), (1, 599)] {
            counts.of(worker).unwrap().count(status);
        }
        let counted: Vec<_> = counts.requests().map(|(_, count)| count).collect();
        assert_eq!(counted, [1, 2, 0, 1, 1, 1]);
    }

    #[test]
    fn a_status_of_no_class_is_none_of_these() {
        let counts = ClientCounts::new(1);
        for status in [0, 99, 600, 999] {
            counts.of(0).unwrap().count(status);
        }
        assert_eq!(counts.sum(), 0);
    }
}
