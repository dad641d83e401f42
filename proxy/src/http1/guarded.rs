//! Bytes with a secret among them: an encoded request head and its key.
//!
//! The secret is overwritten before its memory is given back, also when the
//! buffer has to move to grow.

use std::ops::Range;

use zeroize::Zeroize;

/// A byte buffer that knows where its secret is.
#[derive(Default)]
pub struct Guarded {
    bytes: Vec<u8>,
    secret: Range<usize>,
}

impl std::fmt::Debug for Guarded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The bytes hold the secret.
        f.debug_struct("Guarded")
            .field("len", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

impl Guarded {
    /// An empty buffer with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(capacity),
            secret: 0..0,
        }
    }

    /// Appends bytes that may be seen.
    #[inline]
    pub fn extend(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len()).extend_from_slice(bytes);
    }

    /// Appends the secret. There is one at most.
    pub fn extend_secret(&mut self, secret: &[u8]) {
        self.wipe();
        let start = self.bytes.len();
        self.extend(secret);
        self.secret = start..start + secret.len();
    }

    /// The buffer with room for `additional` more bytes, for writers that
    /// append to a vector. They must not append more than that.
    pub fn reserve(&mut self, additional: usize) -> &mut Vec<u8> {
        let needed = self.bytes.len() + additional;
        if needed > self.bytes.capacity() {
            let mut larger = Vec::with_capacity(needed.max(self.bytes.capacity() * 2));
            larger.extend_from_slice(&self.bytes);
            let secret = self.secret.clone();
            self.wipe();
            self.bytes = larger;
            self.secret = secret;
        }
        &mut self.bytes
    }

    /// All bytes.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The same once more, its secret as well guarded.
    pub fn copy(&self) -> Self {
        Self {
            bytes: self.bytes.clone(),
            secret: self.secret.clone(),
        }
    }

    /// Number of bytes.
    #[inline]
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes that fit without moving.
    pub const fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Puts bytes in the place of as many others, outside the secret. What does not fit is left as it is.
    pub fn overwrite(&mut self, at: usize, with: &[u8]) {
        let range = at..at + with.len();
        let is_apart = range.end <= self.secret.start || range.start >= self.secret.end;
        if let Some(place) = self.bytes.get_mut(range).filter(|_| is_apart) {
            place.copy_from_slice(with);
        }
    }

    /// Overwrites the secret and forgets all bytes.
    pub fn clear(&mut self) {
        self.wipe();
        self.bytes.clear();
    }

    /// Forgets the first `count` bytes; the secret is overwritten if it is among them.
    pub fn trim(&mut self, count: usize) {
        let count = count.min(self.bytes.len());
        if self.secret.start < count {
            self.wipe();
        } else {
            self.secret = self.secret.start - count..self.secret.end - count;
        }
        // What moves down may leave a second copy of the secret behind.
        let mut rest = Self::with_capacity(self.bytes.len() - count);
        rest.bytes
            .extend_from_slice(self.bytes.get(count..).unwrap_or_default());
        rest.secret = std::mem::take(&mut self.secret);
        *self = rest;
    }

    /// Forgets all but the first `count` bytes.
    pub fn truncate(&mut self, count: usize) {
        if self.secret.end > count {
            self.wipe();
        }
        self.bytes.truncate(count);
    }

    fn wipe(&mut self) {
        let secret = std::mem::take(&mut self.secret);
        if let Some(secret) = self.bytes.get_mut(secret) {
            secret.zeroize();
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.wipe();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_survives_growth_and_not_the_end() {
        let mut buffer = Guarded::with_capacity(4);
        buffer.extend(b"a: ");
        buffer.extend_secret(b"key");
        buffer.extend(&[b'x'; 100]);
        assert!(buffer.bytes().starts_with(b"a: keyxx"));
        assert!(!format!("{buffer:?}").contains("key"));
        buffer.wipe();
        assert!(buffer.bytes().starts_with(b"a: \0\0\0xx"));
    }
}
