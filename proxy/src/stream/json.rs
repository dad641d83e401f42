//! Follows a JSON document while its bytes stream by, and tells of the few values that a [`Schema`] names.
//!
//! A scanner, not a parser: it knows nesting, strings and keys well enough to say where a value stands, passes over
//! everything else at the speed of memory, and keeps no more than one key, name or number. What is no JSON is no error:
//! it has no values. Made for the bodies of requests and responses (`request.rs`, `response.rs`), which pass whatever is
//! found in them.

mod passed;
mod pieces;

use memchr::memchr2;

/// Longest key or text that is kept; longer ones are passed over.
const MAX_TEXT: usize = 128;
/// How deep values may stand; the deepest that any schema names is `choices[].delta.content`.
const MAX_DEPTH: usize = 6;

/// Which values are wanted. A place is where in the document a value stands.
pub trait Schema {
    /// A place whose values, or whose members' values, are wanted.
    type Place: Copy + std::fmt::Debug;

    /// The place of a document itself, as a rule.
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
    /// A member of this name is there, whatever its value.
    fn named(&mut self, at: P) {
        let _ = at;
    }
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
    /// Before the document.
    Before,
    /// Between its tokens.
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
#[derive(Clone, Debug)]
pub struct Scanner<S: Schema> {
    state: State,
    /// The containers around the current place.
    levels: [Option<Level<S::Place>>; MAX_DEPTH],
    depth: usize,
    /// The innermost of them.
    top: Option<Level<S::Place>>,
    /// Where documents stand.
    root: S::Place,
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
        Self::new(S::ROOT)
    }
}

impl<S: Schema> Scanner<S> {
    /// For documents that stand at `root`.
    pub const fn new(root: S::Place) -> Self {
        Self {
            state: State::Before,
            levels: [None; MAX_DEPTH],
            depth: 0,
            top: None,
            root,
            passed: 0,
            place: Some(root),
            wants_key: false,
            number: 0,
            text: [0; MAX_TEXT],
            length: 0,
        }
    }

    /// Begins anew, for another document.
    pub fn reset(&mut self) {
        self.state = State::Before;
        self.depth = 0;
        self.top = None;
        self.place = Some(self.root);
        self.wants_key = false;
    }

    /// Whether the document has ended, or is none.
    pub const fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Looks at the next bytes of the document; gives back those behind its end.
    pub fn feed<'a>(
        &mut self,
        mut bytes: &'a [u8],
        visitor: &mut impl Visitor<S::Place>,
    ) -> &'a [u8] {
        while let Some((byte, rest)) = bytes.split_first() {
            bytes = match self.state {
                State::Before => {
                    self.before(*byte, visitor);
                    rest
                }
                State::Between => self.tokens(bytes, visitor),
                State::Key => self.key(bytes, visitor),
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
                State::Done => break,
            };
        }
        bytes
    }

    fn before(&mut self, byte: u8, visitor: &mut impl Visitor<S::Place>) {
        match byte {
            b'{' | b'[' => self.open(byte == b'{', visitor),
            _ if byte.is_ascii_whitespace() => {}
            // A document that is no container has nothing that anyone wants.
            _ => self.state = State::Done,
        }
    }

    /// Goes from token to token, and over what nobody wants; ends in another state at one that is not here in full, or not
    /// that simple.
    fn tokens<'a>(
        &mut self,
        mut bytes: &'a [u8],
        visitor: &mut impl Visitor<S::Place>,
    ) -> &'a [u8] {
        while let Some((byte, rest)) = bytes.split_first() {
            let from = std::mem::replace(&mut bytes, rest);
            match byte {
                b'"' => match quoted(rest) {
                    Some((text, after)) => {
                        bytes = self.whole_string(text, after, visitor);
                        continue;
                    }
                    None => {
                        self.length = 0;
                        self.state = match self.wants_key {
                            true => State::Key,
                            false => State::String {
                                wanted: self.place.is_some(),
                                escaped: false,
                            },
                        };
                    }
                },
                b',' => self.next(),
                b'{' | b'[' => self.open(*byte == b'{', visitor),
                b'}' | b']' => self.close(),
                b'0'..=b'9' => {
                    if let Some(place) = self.place {
                        let Some((number, after)) = whole_number(from) else {
                            self.number = u64::from(byte - b'0');
                            self.state = State::Number { whole: true };
                            break;
                        };
                        visitor.number(place, number);
                        self.place = None;
                        bytes = after;
                    }
                    continue;
                }
                b'-' if self.place.is_some() => self.state = State::Number { whole: false },
                b't' | b'f' => {
                    // The rest of the word says nothing more.
                    if let Some(place) = self.place.take() {
                        visitor.truth(place, *byte == b't');
                    }
                }
                _ => {}
            }
            if self.state != State::Between {
                break;
            }
        }
        bytes
    }

    /// What follows it, and the colon if it is a key.
    #[inline]
    fn whole_string<'a>(
        &mut self,
        text: &[u8],
        after: &'a [u8],
        visitor: &mut impl Visitor<S::Place>,
    ) -> &'a [u8] {
        if std::mem::take(&mut self.wants_key) {
            self.name(text, visitor);
            return after.strip_prefix(b":").unwrap_or(after);
        }
        if let Some(place) = self.place.take() {
            if !text.is_empty() {
                visitor.is_filled(place);
            }
            if text.len() <= MAX_TEXT {
                visitor.text(place, text);
            }
        }
        after
    }

    #[inline]
    fn name(&mut self, key: &[u8], visitor: &mut impl Visitor<S::Place>) {
        self.place = self.top.and_then(|level| S::member(level.place, key));
        if let Some(place) = self.place {
            visitor.named(place);
        }
    }

    fn open(&mut self, is_object: bool, visitor: &mut impl Visitor<S::Place>) {
        let place = self.place.take().inspect(|place| visitor.opens(*place));
        let inner = place.filter(|place| is_object || S::element(*place).is_some());
        match inner.zip(self.levels.get_mut(self.depth)) {
            Some((place, level)) => {
                *level = self.top.replace(Level { place, is_object });
                self.depth += 1;
                self.state = State::Between;
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
        self.top = self.levels.get(self.depth).copied().flatten();
        self.after_value();
    }

    /// What comes after a comma, or after the beginning of a container.
    #[inline]
    fn next(&mut self) {
        let Some(level) = self.top else { return };
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
}

/// The text of a string that ends here and has no escapes, and what follows it.
#[inline]
fn quoted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = quote_or_escape(bytes)?;
    let (text, rest) = bytes.split_at_checked(end)?;
    Some((text, rest.strip_prefix(b"\"")?))
}

/// Where the first quote or backslash stands. Keys and most values end soon, sooner than a search with large vectors
/// begins, so the first bytes are looked at as two words.
#[inline]
fn quote_or_escape(bytes: &[u8]) -> Option<usize> {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // The lowest byte that is set is one that is zero in `word`; above it there may be others.
    let zeros = |word: u64| word.wrapping_sub(LOW) & !word & HIGH;
    let (words, _) = bytes.as_chunks::<8>();
    let words = words.get(..4).unwrap_or(words);
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let quotes = zeros(word ^ (LOW * u64::from(b'"')));
        let found = quotes | zeros(word ^ (LOW * u64::from(b'\\')));
        if found != 0 {
            return Some(index * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let near = words.len() * 8;
    Some(near + memchr2(b'"', b'\\', bytes.get(near..)?)?)
}

/// The whole number without sign that ends here, and what follows it; `None` for any other, and for one too long to be true.
#[inline]
fn whole_number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    const LONGEST: usize = 19;
    let digits = bytes
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let (digits, rest) = bytes.split_at_checked(digits)?;
    let ends = matches!(rest.first(), Some(b',' | b'}' | b']')) && digits.len() <= LONGEST;
    let value = |sum, digit: &u8| sum * 10 + u64::from(digit - b'0');
    ends.then(|| (digits.iter().fold(0, value), rest))
}

/// What stands before `at`, and what behind it.
fn split(bytes: &[u8], at: Option<usize>) -> (&[u8], &[u8]) {
    match at.and_then(|at| bytes.split_at_checked(at)) {
        Some((before, from)) => (before, from.get(1..).unwrap_or_default()),
        None => (bytes, &[]),
    }
}

#[cfg(test)]
mod tests;
