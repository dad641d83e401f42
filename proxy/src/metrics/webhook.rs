//! Deliveries to the payment webhook.

use super::cell::Counter;

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Forwarded, and taken.
    Accepted,
    /// Not signed, or not with a secret that is known.
    BadSignature,
    /// Signed too long ago, or for a time to come.
    Stale,
    /// Taken before, and not forwarded again.
    Repeated,
    /// Its body was too large.
    TooLarge,
    /// The receiver did not take it; its sender tries again.
    ForwardFailed,
    /// Too many were under way.
    Overloaded,
    /// Its body did not come whole.
    Incomplete,
}

impl Outcome {
    /// In the order of their counters.
    pub const ALL: [Self; 8] = [
        Self::Accepted,
        Self::BadSignature,
        Self::Stale,
        Self::Repeated,
        Self::TooLarge,
        Self::ForwardFailed,
        Self::Overloaded,
        Self::Incomplete,
    ];

    /// As a label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::BadSignature => "bad_signature",
            Self::Stale => "stale",
            Self::Repeated => "repeated",
            Self::TooLarge => "too_large",
            Self::ForwardFailed => "forward_failed",
            Self::Overloaded => "overloaded",
            Self::Incomplete => "incomplete",
        }
    }
}

/// One worker's deliveries.
#[derive(Debug, Default)]
pub struct WebhookMetrics([Counter; Outcome::ALL.len()]);

impl WebhookMetrics {
    /// Counts one.
    pub fn count(&self, outcome: Outcome) {
        if let Some(counter) = self.0.get(outcome as usize) {
            counter.inc();
        }
    }

    /// How many there were.
    pub fn get(&self, outcome: Outcome) -> u64 {
        self.0.get(outcome as usize).map_or(0, Counter::get)
    }
}
