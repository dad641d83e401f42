//! Follows a JSON document while its bytes stream by, and tells of the few values that a [`Schema`] names.
//!
//! A scanner, not a parser: it knows nesting, strings and keys well enough to say where a value stands, passes over
//! everything else at the speed of memory, and keeps no more than one key, name or number. What is no JSON is no error:
//! it has no values. Made for the bodies of requests and responses (`request.rs`, `response.rs`), which pass whatever is
//! found in them.

use memchr::memchr2;

/// Longest key or text that is kept; longer ones are passed over.
const MAX_TEXT: usize = 128;
/// How deep values may stand; the deepest that any schema names is `choices[].delta.content`.
const MAX_DEPTH: usize = 6;

/// Which values are wanted. A place is where in the document a value stands.
pub trait Schema {
    /// A place whose values, or whose members' values, are wanted.
    type Place: Copy + std::fmt::Debug;

    /// The place of the document itself.
    const ROOT: Self::Place;

    /// The place of the value of `key` in an object at `of`; `None` passes over it.
    fn member(of: Self::Place, key: &[u8]) -> Option<Self::Place>;

    /// The place of the elements of an array at `of`.
    fn element(of: Self::Place) -> Option<Self::Place> {
        let _ = of;
        None
    }
}

/// Is told of the values.
pub trait Visitor<P> {
    /// A string of at most 128 bytes without escapes, as it stands between its quotes.
    fn text(&mut self, at: P, text: &[u8]) {
        let _ = (at, text);
    }
    /// A string has begun that is not empty.
    fn is_filled(&mut self, at: P) {
        let _ = at;
    }
    /// A whole number without sign; a fraction is left out.
    fn number(&mut self, at: P, number: u64) {
        let _ = (at, number);
    }
    /// `true` or `false`.
    fn truth(&mut self, at: P, truth: bool) {
        let _ = (at, truth);
    }
    /// An object or an array has begun.
    fn opens(&mut self, at: P) {
        let _ = at;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between tokens.
    Between,
    /// In a key.
    Key,
    /// In a string; `wanted` while its text is kept.
    String { wanted: bool, escaped: bool },
    /// In a number.
    Number { whole: bool },
    /// Below a container that is passed over.
    Passed,
    /// In a string there.
    PassedString { escaped: bool },
    /// Behind the document, or in what is none.
    Done,
}

#[derive(Clone, Copy, Debug)]
struct Level<P> {
    place: P,
    is_object: bool,
}

/// One document on its way.
#[derive(Debug)]
pub struct Scanner<S: Schema> {
    state: State,
    /// The containers around the current place.
    levels: [Option<Level<S::Place>>; MAX_DEPTH],
    depth: usize,
    /// Containers below the one that is passed over.
    passed: u32,
    /// Where the next value stands.
    place: Option<S::Place>,
    /// A string here is a key.
    wants_key: bool,
    number: u64,
    text: [u8; MAX_TEXT],
    length: usize,
}

impl<S: Schema> Default for Scanner<S> {
    fn default() -> Self {
        Self {
            state: State::Between,
            levels: [None; MAX_DEPTH],
            depth: 0,
            passed: 0,
            place: Some(S::ROOT),
            wants_key: false,
            number: 0,
            text: [0; MAX_TEXT],
            length: 0,
        }
    }
}

impl<S: Schema> Scanner<S> {
    /// Begins anew, for another document.
    pub fn reset(&mut self) {
        self.state = State::Between;
        self.depth = 0;
        self.place = Some(S::ROOT);
        self.wants_key = false;
    }

    /// Whether the document has ended, or is none.
    pub const fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Looks at the next bytes of the document.
    pub fn feed(&mut self, mut bytes: &[u8], visitor: &mut impl Visitor<S::Place>) {
        while let Some((byte, rest)) = bytes.split_first() {
            bytes = match self.state {
                State::Between => {
                    self.between(*byte, visitor);
                    rest
                }
                State::Key => self.key(bytes),
                State::String { escaped: true, .. } => {
                    self.state = State::String {
                        wanted: false,
                        escaped: false,
                    };
                    rest
                }
                State::String { wanted, .. } => self.string(bytes, wanted, visitor),
                State::Number { whole } => match self.number(*byte, whole, visitor) {
                    true => rest,
                    // It ended before this byte.
                    false => bytes,
                },
                State::Passed => self.passed(bytes),
                State::PassedString { escaped: true } => {
                    self.state = State::PassedString { escaped: false };
                    rest
                }
                State::PassedString { .. } => self.passed_string(bytes),
                State::Done => return,
            };
        }
    }

    fn between(&mut self, byte: u8, visitor: &mut impl Visitor<S::Place>) {
        match byte {
            b'"' if self.wants_key => {
                self.length = 0;
                self.state = State::Key;
            }
            b'"' => {
                self.length = 0;
                let wanted = self.place.is_some();
                self.state = State::String {
                    wanted,
                    escaped: false,
                };
            }
            b'{' | b'[' => self.open(byte == b'{', visitor),
            b'}' | b']' => self.close(),
            b',' => self.next(),
            b'0'..=b'9' => {
                self.number = u64::from(byte - b'0');
                self.state = State::Number { whole: true };
            }
            b'-' => self.state = State::Number { whole: false },
            b't' | b'f' => {
                // The rest of the word says nothing more.
                if let Some(place) = self.place.take() {
                    visitor.truth(place, byte == b't');
                }
            }
            _ if self.depth == 0 && !byte.is_ascii_whitespace() => self.state = State::Done,
            _ => {}
        }
        if self.depth == 0 && self.state != State::Between && self.state != State::Passed {
            // A document that is no container has nothing that anyone wants.
            self.state = State::Done;
        }
    }

    fn open(&mut self, is_object: bool, visitor: &mut impl Visitor<S::Place>) {
        let place = self.place.take().inspect(|place| visitor.opens(*place));
        let inner = place.filter(|place| is_object || S::element(*place).is_some());
        match inner.zip(self.levels.get_mut(self.depth)) {
            Some((place, level)) => {
                *level = Some(Level { place, is_object });
                self.depth += 1;
                self.next();
            }
            None => {
                self.passed = 1;
                self.state = State::Passed;
            }
        }
    }

    fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.after_value();
    }

    /// What comes after a comma, or after the beginning of a container.
    fn next(&mut self) {
        let Some(level) = self.level() else { return };
        self.wants_key = level.is_object;
        self.place = S::element(level.place).filter(|_| !level.is_object);
    }

    fn after_value(&mut self) {
        self.place = None;
        self.wants_key = false;
        self.state = match self.depth {
            0 => State::Done,
            _ => State::Between,
        };
    }

    fn level(&self) -> Option<Level<S::Place>> {
        let above = self.depth.checked_sub(1)?;
        self.levels.get(above).copied().flatten()
    }

    fn key<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
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
            let level = self.level();
            self.place = level.and_then(|level| S::member(level.place, self.text()));
        }
        rest
    }

    fn string<'a>(
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

    /// Whether `byte` belongs to the number.
    fn number(&mut self, byte: u8, whole: bool, visitor: &mut impl Visitor<S::Place>) -> bool {
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

    fn passed<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let at = structural(bytes);
        match at.and_then(|at| bytes.get(at)) {
            Some(b'"') => self.state = State::PassedString { escaped: false },
            Some(b'{' | b'[') => self.passed = self.passed.saturating_add(1),
            Some(_) => {
                self.passed -= 1;
                if self.passed == 0 {
                    self.after_value();
                }
            }
            None => {}
        }
        split(bytes, at).1
    }

    fn passed_string<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let end = memchr2(b'"', b'\\', bytes);
        match end.and_then(|end| bytes.get(end)) {
            Some(b'"') => self.state = State::Passed,
            Some(_) => self.state = State::PassedString { escaped: true },
            None => {}
        }
        split(bytes, end).1
    }
}

/// What stands before `at`, and what behind it.
fn split(bytes: &[u8], at: Option<usize>) -> (&[u8], &[u8]) {
    match at.and_then(|at| bytes.split_at_checked(at)) {
        Some((before, from)) => (before, from.get(1..).unwrap_or_default()),
        None => (bytes, &[]),
    }
}

/// The first bracket, brace or quote. Numbers of embeddings are passed over here, so whole blocks are looked at first,
/// which the compiler makes vector instructions of.
fn structural(bytes: &[u8]) -> Option<usize> {
    // Brackets and braces differ in the one bit that is set here.
    let is_one = |byte: &u8| matches!(byte | 0x20, b'{' | b'}') || *byte == b'"';
    let (blocks, _) = bytes.as_chunks::<32>();
    let has_one = |block: &[u8; 32]| block.iter().fold(false, |any, byte| any | is_one(byte));
    let empty = blocks.iter().take_while(|block| !has_one(block)).count() * 32;
    let rest = bytes.get(empty..).unwrap_or_default();
    Some(empty + rest.iter().position(is_one)?)
}

#[cfg(test)]
mod tests;
