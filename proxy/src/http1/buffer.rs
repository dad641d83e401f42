//! The buffer a connection reads into.
//!
//! One contiguous block with a read and a write position. It is allocated
//! when the first byte is awaited, grows for large bodies, and shrinks again
//! between two messages, so that ten thousand idle connections cost little.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

/// Bytes received and not yet consumed.
#[derive(Debug)]
pub struct ReadBuffer {
    data: Vec<u8>,
    start: usize,
    end: usize,
    initial: usize,
    /// The last read filled all the room there was: more is probably waiting.
    hungry: bool,
    /// Bytes that the last read brought.
    last: usize,
    /// Less than the first allocation is enough for now.
    resting: bool,
}

impl ReadBuffer {
    /// An empty buffer that will allocate `initial` bytes on first use.
    pub const fn new(initial: usize) -> Self {
        Self {
            data: Vec::new(),
            start: 0,
            end: 0,
            initial,
            hungry: false,
            last: 0,
            resting: false,
        }
    }

    /// The bytes received and not yet consumed.
    #[inline]
    pub fn filled(&self) -> &[u8] {
        self.data.get(self.start..self.end).unwrap_or_default()
    }

    /// Whether nothing is waiting.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Forgets the first `count` bytes.
    #[inline]
    pub fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Gives memory beyond `size` bytes back, if nothing is waiting and little came last: in a stream there may be seconds
    /// between two small events. It grows again with what comes; [`ReadBuffer::shrink`] ends that.
    #[inline]
    pub fn rest(&mut self, size: usize) {
        if self.data.len() > size && self.is_empty() && 2 * self.last <= size {
            self.resting = true;
            self.data.truncate(size);
            self.data.shrink_to_fit();
        }
    }

    /// Gives memory beyond the first allocation back, if nothing is waiting.
    pub fn shrink(&mut self) {
        self.resting = false;
        if self.is_empty() && self.data.len() > self.initial {
            self.data.truncate(self.initial);
            self.data.shrink_to_fit();
        }
    }

    /// Takes what is waiting out of the buffer.
    pub fn take(&mut self) -> Vec<u8> {
        let bytes = self.filled().to_vec();
        self.start = 0;
        self.end = 0;
        bytes
    }

    /// Reads once from `io`, growing up to `limit` bytes in all.
    ///
    /// Returns how many bytes came; 0 is the end of the stream. A full buffer
    /// is an error of kind `OutOfMemory`, which callers check for beforehand
    /// with [`ReadBuffer::is_full`].
    pub fn poll_fill<R: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut R,
        limit: usize,
    ) -> Poll<io::Result<usize>> {
        self.make_room(limit);
        let spare = self.data.get_mut(self.end..).unwrap_or_default();
        if spare.is_empty() {
            return Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()));
        }
        let room = spare.len();
        let mut target = ReadBuf::new(spare);
        match Pin::new(io).poll_read(cx, &mut target) {
            Poll::Ready(Ok(())) => {
                let count = target.filled().len();
                self.end += count;
                self.last = count;
                self.hungry = count == room;
                Poll::Ready(Ok(count))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Whether `limit` bytes are waiting, so that no more may be read.
    pub const fn is_full(&self, limit: usize) -> bool {
        self.end - self.start >= limit
    }

    fn make_room(&mut self, limit: usize) {
        if self.data.len() < self.initial && !self.resting {
            self.data.resize(self.initial.min(limit), 0);
        }
        if std::mem::take(&mut self.hungry) && self.is_empty() && self.data.len() < limit {
            // A large body is coming: fewer, larger reads from here on.
            self.data.resize((self.data.len() * 2).min(limit), 0);
        }
        if self.end < self.data.len() {
            return;
        }
        if self.start > 0 {
            self.data.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        } else if self.data.len() < limit {
            let doubled = (self.data.len() * 2).clamp(1, limit);
            self.data.resize(doubled, 0);
        }
    }
}

#[cfg(test)]
mod tests;
