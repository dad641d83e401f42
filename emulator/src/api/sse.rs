//! Server-sent events: framing, pace and send times.
//!
//! An endpoint implements [`Events`] as a list of steps; `body.rs` polls the [`EventStream`].

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::exchange::unix_ns;

/// JSON member with the send time of an event, nanoseconds since the Unix epoch. Clients of both APIs
/// ignore members they do not know.
const SENT_MEMBER: &str = "emulator_sent_unix_ns";

/// The end of OpenAI's older streams; not JSON, hence without a send time.
pub(super) const DONE: &[u8] = b"data: [DONE]\n\n";

#[derive(Clone, Copy)]
pub(crate) struct Pace {
    /// Between two tokens; zero for none.
    pub(crate) interval: Duration,
    /// Whether events carry their send time.
    pub(crate) stamped: bool,
}

/// The events of one answer, numbered from 0.
pub(crate) trait Events: Send {
    /// How many events there are.
    fn count(&self) -> u64;

    /// Whether event `n` carries a token other than the first, and so waits for its turn.
    fn is_paced(&self, n: u64) -> bool;

    /// The event that carries the first token; each of the next ones carries another.
    fn first_token(&self) -> u64;

    /// Writes event `n`.
    fn write(&self, n: u64, event: &mut Event);
}

/// One event being written.
pub(crate) struct Event {
    bytes: Vec<u8>,
    stamped: bool,
}

pub(crate) struct EventStream {
    events: Box<dyn Events>,
    next: u64,
    count: u64,
    pace: Pace,
    /// When the next token is due; absolute, so that lateness does not add up.
    due: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl EventStream {
    pub(crate) fn new(events: impl Events + 'static, pace: Pace) -> Self {
        Self {
            next: 0,
            count: events.count(),
            events: Box::new(events),
            pace,
            due: None,
            timer: None,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.next == self.count
    }

    /// How many tokens have been made; more than there are once other events follow.
    pub(crate) fn tokens(&self) -> u64 {
        self.next.saturating_sub(self.events.first_token())
    }

    /// The next event when its time has come; each is a chunk of its own on the wire.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.is_empty() {
            return Poll::Ready(None);
        }
        if !self.pace.interval.is_zero() {
            ready!(self.poll_turn(cx));
        }
        let mut event = Event {
            bytes: Vec::with_capacity(256),
            stamped: self.pace.stamped,
        };
        self.events.write(self.next, &mut event);
        self.next += 1;
        Poll::Ready(Some(event.bytes.into()))
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(timer) = &mut self.timer {
            ready!(timer.as_mut().poll(cx));
            self.timer = None;
            return Poll::Ready(());
        }
        let previous = *self.due.get_or_insert_with(Instant::now);
        if !self.events.is_paced(self.next) {
            return Poll::Ready(());
        }
        let due = previous + self.pace.interval;
        self.due = Some(due);
        let mut timer = Box::pin(sleep_until(due));
        if timer.as_mut().poll(cx).is_pending() {
            self.timer = Some(timer);
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

impl Event {
    /// `data: {…}`, as OpenAI's completions are streamed.
    pub(crate) fn data(&mut self, value: &impl Serialize) {
        self.bytes.extend_from_slice(b"data: ");
        // Writing to memory cannot fail, nor can serializing types without maps.
        let _written = serde_json::to_writer(&mut self.bytes, value);
        if self.stamped && self.bytes.last() == Some(&b'}') {
            self.bytes.pop();
            self.bytes.extend_from_slice(b",\"");
            self.bytes.extend_from_slice(SENT_MEMBER.as_bytes());
            self.bytes.extend_from_slice(b"\":");
            let mut digits = itoa::Buffer::new();
            self.bytes
                .extend_from_slice(digits.format(unix_ns()).as_bytes());
            self.bytes.push(b'}');
        }
        self.bytes.extend_from_slice(b"\n\n");
    }

    /// `event: name` before the data, as OpenAI's responses and Anthropic's messages are streamed.
    pub(crate) fn named(&mut self, name: &str, value: &impl Serialize) {
        self.bytes.extend_from_slice(b"event: ");
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(b'\n');
        self.data(value);
    }

    /// Bytes as they are.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests;
