//! Leaves the one event out of a stream that upstream was asked for by the proxy and not by the client: the one that says
//! what was used, and nothing else.
//!
//! An event is passed on as soon as it is known to be another, which its first choice tells; until then its bytes are
//! held, so that all others arrive as they were, and when.

use memchr::memchr2;

use crate::account::usage::Observation;
use crate::stream::response::Verdict;

/// Bytes of one event that are held at most; one that is longer is passed on.
const HELD: usize = 16 * 1024;

/// A stream on its way.
#[derive(Debug, Default)]
pub(super) struct Omission {
    /// Of the present event, what has come in earlier pieces.
    held: Vec<u8>,
    /// The present event is passed on.
    is_other: bool,
    /// The LF that may follow belongs to an event that was left out.
    ends_with_cr: bool,
}

impl Omission {
    /// Has `observed` look at the next bytes, and gives those to `push` that are to be passed on.
    pub(super) fn pass(
        &mut self,
        data: &[u8],
        observed: &mut Observation,
        mut push: impl FnMut(&[u8]),
    ) {
        let mut at = 0;
        if std::mem::take(&mut self.ends_with_cr) && data.first() == Some(&b'\n') {
            observed.feed(b"\n");
            at = 1;
        }
        // What is passed on next, and where the present event begins.
        let (mut from, mut event) = (at, at);
        while let Some(rest) = data.get(at..).filter(|rest| !rest.is_empty()) {
            let line = rest.get(..line_length(rest)).unwrap_or(rest);
            observed.feed(line);
            at += line.len();
            let verdict = observed.verdict();
            if verdict != Verdict::UsageOnly && (verdict == Verdict::Other || self.is_other) {
                push_held(&mut self.held, &mut push);
                self.is_other = true;
            }
            if !observed.is_between() {
                continue;
            }
            if !std::mem::take(&mut self.is_other) && verdict == Verdict::UsageOnly {
                push(data.get(from..event).unwrap_or_default());
                self.held.clear();
                self.ends_with_cr = at == data.len() && line.last() == Some(&b'\r');
                from = at;
            }
            event = at;
        }
        if self.is_other {
            event = data.len();
        }
        push(data.get(from..event).unwrap_or_default());
        self.held
            .extend_from_slice(data.get(event..).unwrap_or_default());
        if self.held.len() > HELD {
            self.is_other = true;
            push_held(&mut self.held, &mut push);
        }
    }

    /// Gives what is held when no more comes.
    pub(super) fn finish(&mut self, push: impl FnOnce(&[u8])) {
        push(&self.held);
        self.held.clear();
    }
}

fn push_held(held: &mut Vec<u8>, push: &mut impl FnMut(&[u8])) {
    if !held.is_empty() {
        push(held);
        held.clear();
    }
}

/// How long the first line is, with what ends it.
fn line_length(bytes: &[u8]) -> usize {
    match memchr2(b'\n', b'\r', bytes) {
        Some(end) if bytes.get(end..end + 2) == Some(b"\r\n") => end + 2,
        Some(end) => end + 1,
        None => bytes.len(),
    }
}

#[cfg(test)]
mod tests;
