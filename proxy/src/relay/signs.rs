//! Signs of life in a stream of which nothing has come for a while, so that whoever stands between here and the client
//! does not take the connection for dead.

use crate::route::Dialect;

/// Of OpenAI's: a comment, which clients skip (HTML standard, section 9.2.6).
const COMMENT: &[u8] = b": keep-alive\n\n";
/// Of Anthropic's: an event that its streams have themselves, and its clients skip.
const PING: &[u8] = b"event: ping\ndata: {\"type\": \"ping\"}\n\n";

/// What a stream gets.
pub(super) const fn sign(dialect: Dialect) -> &'static [u8] {
    match dialect {
        Dialect::OpenAi => COMMENT,
        Dialect::Anthropic => PING,
    }
}

/// Where in a stream its client is.
#[derive(Debug, Default)]
pub(super) struct Position {
    has_begun: bool,
    /// The last bytes that were passed on.
    last: [u8; 4],
}

impl Position {
    /// These bytes have been passed on.
    pub(super) fn passed(&mut self, data: &[u8]) {
        self.has_begun |= !data.is_empty();
        let last = data.get(data.len().saturating_sub(4)..).unwrap_or(data);
        self.last.rotate_left(last.len());
        if let Some(room) = self.last.get_mut(4 - last.len()..) {
            room.copy_from_slice(last);
        }
    }

    /// Whether what is added stands between two events. After a CR an LF may follow that belongs to it.
    pub(super) fn is_between(&self) -> bool {
        !self.has_begun || matches!(self.last, [.., b'\n', b'\n'] | [b'\r', b'\n', b'\r', b'\n'])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_events_at_every_cut() {
        for (text, expected) in [
            ("", true),
            ("data: x", false),
            ("data: x\n", false),
            ("data: x\n\n", true),
            ("data: x\r\n", false),
            ("data: x\r\n\r\n", true),
            ("\n", false),
            ("data: x\n\ndata", false),
        ] {
            for step in 1..=text.len().max(1) {
                let mut position = Position::default();
                text.as_bytes()
                    .chunks(step)
                    .for_each(|piece| position.passed(piece));
                assert_eq!(position.is_between(), expected, "{text:?} by {step}");
            }
        }
    }
}
