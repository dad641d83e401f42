//! Passes over containers in which nothing is wanted, such as a conversation or the numbers of an embedding.

use memchr::memchr2;

use super::{Scanner, Schema, State, quoted, split};

impl<S: Schema> Scanner<S> {
    /// Goes on below a container that is passed over, to its end or to a string that is not here in full.
    pub(super) fn passed<'a>(&mut self, mut bytes: &'a [u8]) -> &'a [u8] {
        while let Some((byte, rest)) = structural(bytes) {
            bytes = rest;
            match byte {
                b'"' => match quoted(rest) {
                    Some((_, after)) => bytes = after,
                    None => {
                        self.state = State::PassedString { escaped: false };
                        return rest;
                    }
                },
                b'{' | b'[' => self.passed = self.passed.saturating_add(1),
                _ => {
                    self.passed -= 1;
                    if self.passed == 0 {
                        self.after_value();
                        return rest;
                    }
                }
            }
        }
        &[]
    }

    /// Goes on in a string there.
    pub(super) fn passed_string<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let end = memchr2(b'"', b'\\', bytes);
        match end.and_then(|end| bytes.get(end)) {
            Some(b'"') => self.state = State::Passed,
            Some(_) => self.state = State::PassedString { escaped: true },
            None => {}
        }
        split(bytes, end).1
    }
}

/// The first bracket, brace or quote, and what follows it. Numbers of embeddings are passed over here, so whole blocks are looked at first,
/// which the compiler makes vector instructions of.
fn structural(bytes: &[u8]) -> Option<(u8, &[u8])> {
    // Brackets and braces differ in the one bit that is set here.
    let is_one = |byte: &u8| matches!(byte | 0x20, b'{' | b'}') || *byte == b'"';
    // Most are near.
    let mut empty = bytes.len().min(NEAR);
    let at = match bytes.get(..empty)?.iter().position(is_one) {
        Some(near) => near,
        None => {
            let (blocks, _) = bytes.get(empty..)?.as_chunks::<32>();
            let has_one = |block: &[u8; 32]| block.iter().fold(false, |any, b| any | is_one(b));
            empty += blocks.iter().take_while(|block| !has_one(block)).count() * 32;
            empty + bytes.get(empty..)?.iter().position(is_one)?
        }
    };
    Some((*bytes.get(at)?, bytes.get(at + 1..)?))
}

/// Bytes that are looked at one by one.
const NEAR: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_braces_and_quotes_are_found_at_every_place() {
        for at in 0..100 {
            for byte in *b"{}[]\"" {
                let mut bytes = vec![b'3'; 100];
                bytes[at] = byte;
                assert_eq!(structural(&bytes), Some((byte, &bytes[at + 1..])));
            }
        }
        let others: Vec<u8> = (0..=255).filter(|byte| !b"{}[]\"".contains(byte)).collect();
        assert_eq!(structural(&others), None);
    }
}
