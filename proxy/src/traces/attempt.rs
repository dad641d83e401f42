//! One attempt at a request: what becomes a client's span.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::Instant;

use crate::kernel::Timeline;
use crate::metrics::Outcome;

/// What is noted of an attempt.
#[derive(Debug)]
pub struct Attempt {
    pub(super) span: u64,
    pub(super) upstream: usize,
    pub(super) started: Instant,
    pub(super) endpoint: Option<SocketAddr>,
    pub(super) sent: Option<Instant>,
    pub(super) head: Option<(Instant, u16)>,
    pub(super) kernel: Timeline,
    pub(super) end: Option<(Instant, Came)>,
}

/// What an attempt came to that was not the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// This error of ours.
    Failed(&'static str),
    /// This status.
    Refused(u16),
    /// The other of two requests has been answered before.
    Outrun,
}

impl Came {
    /// Whether somebody is to blame: nobody is if an answer was not needed any longer.
    pub(super) fn is_error(self) -> bool {
        !matches!(self, Self::Outrun | Self::Failed("client_closed"))
    }

    /// As `error.type`.
    pub(super) fn error_type(self) -> Cow<'static, str> {
        match self {
            Self::Failed(code) => Cow::Borrowed(code),
            Self::Refused(status) => Cow::Owned(status.to_string()),
            Self::Outrun => Cow::Borrowed("hedge_lost"),
        }
    }
}

impl From<Outcome> for Came {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Status(status) => Self::Refused(status),
            Outcome::Failed(code) => Self::Failed(code),
            Outcome::ErrorWithin => Self::Failed("error_within"),
        }
    }
}

impl Attempt {
    pub(super) fn new(span: u64, upstream: usize) -> Self {
        Self {
            span,
            upstream,
            started: Instant::now(),
            endpoint: None,
            sent: None,
            head: None,
            kernel: Timeline::default(),
            end: None,
        }
    }

    pub(super) fn ends(&mut self, came: Came) {
        self.end = Some((Instant::now(), came));
    }

    /// What happened, and when, in order: by our clock, and by the kernel's where it looked. What the kernel says is told
    /// as it is, or not at all if it cannot be of this attempt.
    pub(super) fn events(&self, end: Instant) -> Vec<(&'static str, Instant)> {
        let read = self.head.map(|(at, _)| at);
        let kernel = self.kernel;
        let arrived = read.zip(kernel.wakeup_lag);
        let arrived = arrived.and_then(|(read, lag)| read.checked_sub(lag));
        let left = arrived.zip(kernel.first_byte);
        let left = left.and_then(|(arrived, took)| arrived.checked_sub(took));
        let mut events: Vec<_> = [
            ("request.sent", self.sent),
            ("kernel.request_first_byte_sent", left),
            ("kernel.response_first_byte_received", arrived),
            ("response.head_read", read),
        ]
        .into_iter()
        .filter_map(|(name, at)| Some((name, at?)))
        .filter(|(_, at)| (self.started..=end).contains(at))
        .collect();
        events.sort_by_key(|(_, at)| *at);
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_the_kernel_saw_stands_where_it_was() {
        let mut attempt = Attempt::new(1, 0);
        let after = |ms| attempt.started + Duration::from_millis(ms);
        let (sent, read, end) = (after(2), after(40), after(50));
        attempt.sent = Some(sent);
        attempt.head = Some((read, 200));
        attempt.kernel.wakeup_lag = Some(Duration::from_millis(1));
        attempt.kernel.first_byte = Some(Duration::from_millis(36));
        let events = attempt.events(end);
        let since = |at: Instant| at.duration_since(attempt.started).as_millis();
        let times: Vec<_> = events
            .iter()
            .map(|(name, at)| (*name, since(*at)))
            .collect();
        let expected = [
            ("request.sent", 2),
            ("kernel.request_first_byte_sent", 3),
            ("kernel.response_first_byte_received", 39),
            ("response.head_read", 40),
        ];
        assert_eq!(times, expected);
        // Of an earlier request on the same connection, perhaps.
        attempt.kernel.first_byte = Some(Duration::from_secs(5));
        assert_eq!(attempt.events(end).len(), 3);
    }
}
