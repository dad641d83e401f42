//! Finds the `model` of a request while its JSON body streams by.
//!
//! A scanner, not a parser: it follows nesting and strings just well enough to
//! know the top-level keys, skips string contents with `memchr`, keeps at most
//! one model name, and stops looking once it has it.

use memchr::memchr2;

/// Longest model name kept.
const MAX_NAME: usize = 128;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first byte that counts.
    Start,
    /// Between values. `key` says that a string here would be a top-level key.
    Between { key: bool },
    /// In a string that does not matter; `escaped` after a backslash.
    Skip { escaped: bool },
    /// In a top-level key.
    Key,
    /// In the model's name.
    Name,
    /// Nothing more to find.
    Done,
}

/// Looks for the model in one body.
#[derive(Debug)]
pub struct ModelScanner {
    state: State,
    depth: u32,
    text: Vec<u8>,
    key_is_model: bool,
}

impl Default for ModelScanner {
    fn default() -> Self {
        Self {
            state: State::Start,
            depth: 0,
            text: Vec::new(),
            key_is_model: false,
        }
    }
}

impl ModelScanner {
    /// Looks at the next bytes of the body; returns the model when it has been found.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Option<Box<str>> {
        while let Some((byte, rest)) = bytes.split_first() {
            bytes = match self.state {
                State::Done => return None,
                State::Start => {
                    self.start(*byte);
                    rest
                }
                State::Between { key } => {
                    self.between(*byte, key);
                    rest
                }
                State::Skip { escaped: true } => {
                    self.state = State::Skip { escaped: false };
                    rest
                }
                State::Skip { escaped: false } => self.skip(bytes),
                State::Key => {
                    self.key(*byte);
                    rest
                }
                State::Name => {
                    if let Some(name) = self.name(*byte) {
                        return Some(name);
                    }
                    rest
                }
            };
        }
        None
    }

    fn start(&mut self, byte: u8) {
        if byte == b'{' {
            self.depth = 1;
            self.state = State::Between { key: true };
        } else if !byte.is_ascii_whitespace() {
            // Not a JSON object: a form upload, or nothing we know.
            self.state = State::Done;
        }
    }

    fn between(&mut self, byte: u8, key: bool) {
        match byte {
            b'"' if self.depth == 1 && key => {
                self.text.clear();
                self.state = State::Key;
            }
            b'"' if self.depth == 1 && self.key_is_model => {
                self.text.clear();
                self.state = State::Name;
            }
            b'"' => self.state = State::Skip { escaped: false },
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth -= 1;
                if self.depth == 0 {
                    self.state = State::Done;
                }
            }
            b',' if self.depth == 1 => {
                self.key_is_model = false;
                self.state = State::Between { key: true };
            }
            _ => {}
        }
    }

    fn skip<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let Some(at) = memchr2(b'"', b'\\', bytes) else {
            return &[];
        };
        self.state = match bytes.get(at) {
            Some(b'"') => State::Between { key: false },
            _ => State::Skip { escaped: true },
        };
        bytes.get(at + 1..).unwrap_or_default()
    }

    fn key(&mut self, byte: u8) {
        match byte {
            b'"' => {
                self.key_is_model = self.text == b"model";
                self.state = State::Between { key: false };
            }
            b'\\' => self.state = State::Skip { escaped: true },
            _ if self.text.len() < MAX_NAME => self.text.push(byte),
            _ => self.state = State::Skip { escaped: false },
        }
    }

    fn name(&mut self, byte: u8) -> Option<Box<str>> {
        if byte == b'"' {
            self.state = State::Done;
            return std::str::from_utf8(&self.text).ok().map(Into::into);
        }
        if byte == b'\\' || self.text.len() == MAX_NAME {
            self.state = State::Done;
        } else {
            self.text.push(byte);
        }
        None
    }
}

#[cfg(test)]
mod tests;
