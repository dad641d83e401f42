//! Splits a stream of server-sent events into the data of its events, at any cut.
//!
//! By the grammar of the HTML standard (section 9.2.6): lines end with LF, CR or CRLF, `data` lines of one event belong
//! together, an empty line ends it. Nothing is kept of an event, so none can be too long.

use memchr::memchr2;

/// What ends a stream of OpenAI's.
const DONE: &[u8] = b"[DONE]";
const DATA: &[u8] = b"data:";

/// A part of a stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// The next bytes of the present event's data.
    Data(&'a [u8]),
    /// The present event's data is `[DONE]`.
    Done,
    /// The present event is complete.
    EventEnd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// So many bytes of `data:` have been seen, and nothing else of the line.
    Name(usize),
    /// In the value of a `data` line; so many bytes of `[DONE]` have been seen, or something else (`None`).
    Data(Option<usize>),
    /// In a line that does not matter.
    Other,
}

/// A stream on its way.
#[derive(Debug)]
pub struct Events {
    state: State,
    /// The last byte was a CR; an LF belongs to it.
    after_cr: bool,
    /// The present event has lines.
    has_lines: bool,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            state: State::Name(0),
            after_cr: false,
            has_lines: false,
        }
    }
}

impl Events {
    /// Whether the next byte is the first of an event.
    pub const fn is_between(&self) -> bool {
        matches!(self.state, State::Name(0)) && !self.has_lines
    }

    /// Tells `take` of what the next bytes hold.
    pub fn feed(&mut self, mut bytes: &[u8], mut take: impl FnMut(Line<'_>)) {
        while let Some((byte, rest)) = bytes.split_first() {
            if std::mem::take(&mut self.after_cr) && *byte == b'\n' {
                bytes = rest;
                continue;
            }
            bytes = match (self.state, byte) {
                // Nearly every line, in full.
                (State::Name(0), b'd') if bytes.starts_with(DATA) => {
                    self.state = State::Data(Some(0));
                    bytes.get(DATA.len()..).unwrap_or_default()
                }
                (_, b'\n' | b'\r') => {
                    self.after_cr = *byte == b'\r';
                    self.end_line(&mut take);
                    rest
                }
                (State::Name(seen), byte) if DATA.get(seen) == Some(byte) => {
                    self.state = match seen + 1 == DATA.len() {
                        true => State::Data(Some(0)),
                        false => State::Name(seen + 1),
                    };
                    rest
                }
                (State::Name(_), _) => {
                    self.state = State::Other;
                    rest
                }
                (State::Data(done), _) => {
                    let (piece, rest) = line(bytes);
                    self.state = State::Data(done.and_then(|seen| follows(seen, piece)));
                    take(Line::Data(piece));
                    rest
                }
                (State::Other, _) => line(bytes).1,
            };
        }
    }

    fn end_line(&mut self, take: &mut impl FnMut(Line<'_>)) {
        match std::mem::replace(&mut self.state, State::Name(0)) {
            State::Name(0) => {
                if std::mem::take(&mut self.has_lines) {
                    take(Line::EventEnd);
                }
                return;
            }
            State::Data(Some(seen)) if seen == DONE.len() => take(Line::Done),
            // A line's end is white space in what is told of as one text.
            State::Data(_) => take(Line::Data(b"\n")),
            State::Name(_) | State::Other => {}
        }
        self.has_lines = true;
    }
}

/// What stands before the line's end, and what from there.
fn line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr2(b'\n', b'\r', bytes).unwrap_or(bytes.len());
    bytes.split_at_checked(end).unwrap_or((bytes, &[]))
}

/// How much of `[DONE]` has been seen after `piece`, if nothing else; one space before it does not count.
fn follows(seen: usize, piece: &[u8]) -> Option<usize> {
    let piece = match (seen, piece) {
        (0, [b' ', rest @ ..]) => rest,
        (_, piece) => piece,
    };
    let awaited = DONE.get(seen..)?;
    awaited.starts_with(piece).then_some(seen + piece.len())
}

#[cfg(test)]
mod tests;
