//! Keys, strings and numbers that come in pieces, or have escapes.

use memchr::memchr2;

use super::{Scanner, Schema, State, Visitor, split};

impl<S: Schema> Scanner<S> {
    /// Goes on in a key.
    pub(super) fn key<'a>(
        &mut self,
        bytes: &'a [u8],
        visitor: &mut impl Visitor<S::Place>,
    ) -> &'a [u8] {
        let end = memchr2(b'"', b'\\', bytes);
        let (piece, rest) = split(bytes, end);
        if !self.keep(piece) || end.is_some_and(|end| bytes.get(end) == Some(&b'\\')) {
            // No name that anyone wants; it is passed over as a string would be, from where it is.
            self.wants_key = false;
            self.state = State::String {
                wanted: false,
                escaped: false,
            };
            return bytes.get(piece.len()..).unwrap_or_default();
        }
        if end.is_some() {
            self.wants_key = false;
            self.state = State::Between;
            let text = self.text;
            self.name(text.get(..self.length).unwrap_or_default(), visitor);
        }
        rest
    }

    /// Goes on in a string; `wanted` while its text is kept.
    pub(super) fn string<'a>(
        &mut self,
        bytes: &'a [u8],
        wanted: bool,
        visitor: &mut impl Visitor<S::Place>,
    ) -> &'a [u8] {
        let place = self.place.filter(|_| wanted);
        if let Some(place) = place.filter(|_| self.length == 0 && bytes.first() != Some(&b'"')) {
            visitor.is_filled(place);
        }
        let end = memchr2(b'"', b'\\', bytes);
        let (piece, rest) = split(bytes, end);
        let wanted = place.is_some() && self.keep(piece);
        self.state = State::String {
            wanted,
            escaped: false,
        };
        match end.and_then(|end| bytes.get(end)) {
            Some(b'"') => {
                if let Some(place) = place.filter(|_| wanted) {
                    visitor.text(place, self.text());
                }
                self.after_value();
            }
            Some(_) => {
                self.state = State::String {
                    wanted: false,
                    escaped: true,
                };
            }
            None => {}
        }
        rest
    }

    /// Adds to the text; false if it becomes too long.
    fn keep(&mut self, piece: &[u8]) -> bool {
        let end = self.length + piece.len();
        let Some(room) = self.text.get_mut(self.length..end) else {
            return false;
        };
        room.copy_from_slice(piece);
        self.length = end;
        true
    }

    fn text(&self) -> &[u8] {
        self.text.get(..self.length).unwrap_or_default()
    }

    /// Goes on in a number; whether `byte` belongs to it.
    pub(super) fn number(
        &mut self,
        byte: u8,
        whole: bool,
        visitor: &mut impl Visitor<S::Place>,
    ) -> bool {
        match byte {
            b'0'..=b'9' if whole => {
                let digit = u64::from(byte - b'0');
                self.number = self.number.saturating_mul(10).saturating_add(digit);
                true
            }
            b'.' if whole => {
                self.tell_number(visitor);
                self.state = State::Number { whole: false };
                true
            }
            b'e' | b'E' if whole => {
                self.state = State::Number { whole: false };
                true
            }
            b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-' => true,
            _ => {
                if whole {
                    self.tell_number(visitor);
                }
                self.after_value();
                false
            }
        }
    }

    fn tell_number(&mut self, visitor: &mut impl Visitor<S::Place>) {
        if let Some(place) = self.place {
            visitor.number(place, self.number);
        }
    }
}
