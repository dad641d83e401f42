//! Bytes that wait for the peer's socket, and those that are kept in case they have to be sent again.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;

use super::transport::Transport;
use crate::http1::Guarded;

/// Bytes on their way out, kept until the peer's socket took them.
///
/// `B` is what holds them: a plain vector towards clients, [`Guarded`] towards
/// upstream.
#[derive(Debug, Default)]
pub struct WriteBuffer<B> {
    /// What is to be written; append to it freely.
    pub bytes: B,
    done: usize,
    unflushed: bool,
    /// Bytes that are kept although they were written.
    keep: usize,
    /// Bytes have been dropped since [`WriteBuffer::start`].
    trimmed: bool,
}

/// Written bytes are dropped from the front beyond this many, so that a slow
/// reader does not make the buffer as long as the message.
const TRIM: usize = 64 * 1024;

/// Storage of a [`WriteBuffer`].
pub trait Buffer {
    /// All bytes.
    fn bytes(&self) -> &[u8];
    /// Forgets them.
    fn clear(&mut self);
    /// Forgets the first `count`.
    fn trim(&mut self, count: usize);
}

impl Buffer for Vec<u8> {
    #[inline]
    fn bytes(&self) -> &[u8] {
        self
    }

    #[inline]
    fn clear(&mut self) {
        self.clear();
    }

    fn trim(&mut self, count: usize) {
        self.drain(..count.min(self.len()));
    }
}

impl Buffer for Guarded {
    #[inline]
    fn bytes(&self) -> &[u8] {
        self.bytes()
    }

    #[inline]
    fn clear(&mut self) {
        self.clear();
    }

    fn trim(&mut self, count: usize) {
        self.trim(count);
    }
}

impl<B: Buffer> WriteBuffer<B> {
    /// Bytes not yet handed to the transport.
    #[inline]
    pub fn pending(&self) -> usize {
        self.bytes.bytes().len() - self.done
    }

    /// Whether all that was appended has left. TLS may have taken every byte and
    /// still hold records that the socket had no room for.
    pub fn is_flushed(&self) -> bool {
        !self.unflushed && self.pending() == 0
    }

    /// Begins a message of which up to `keep` bytes are kept when they have been written.
    pub fn start(&mut self, bytes: B, keep: usize) {
        *self = Self {
            bytes,
            done: 0,
            unflushed: false,
            keep,
            trimmed: false,
        };
    }

    /// Keeps nothing any more.
    pub fn release(&mut self) {
        self.keep = 0;
        if self.is_flushed() {
            self.forget();
        }
    }

    /// Everything since [`WriteBuffer::start`], if it is still here.
    pub const fn whole(&self) -> Option<&B> {
        if self.trimmed {
            None
        } else {
            Some(&self.bytes)
        }
    }

    /// Takes everything since [`WriteBuffer::start`], if it is still here.
    pub fn take_whole(&mut self) -> Option<B>
    where
        B: Default,
    {
        (!self.trimmed).then(|| {
            self.trimmed = true;
            self.done = 0;
            std::mem::take(&mut self.bytes)
        })
    }

    fn forget(&mut self) {
        self.bytes.clear();
        self.done = 0;
        self.trimmed = true;
    }

    /// Writes all that is pending and flushes TLS records.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>, io: &mut Transport) -> Poll<io::Result<()>> {
        let flushed = self.poll_write_out(cx, io);
        if flushed.is_pending() && self.done >= TRIM && self.bytes.bytes().len() > self.keep {
            self.keep = 0;
            self.bytes.trim(self.done);
            self.done = 0;
            self.trimmed = true;
        }
        flushed
    }

    fn poll_write_out(&mut self, cx: &mut Context<'_>, io: &mut Transport) -> Poll<io::Result<()>> {
        let bytes = self.bytes.bytes();
        while let Some(rest) = bytes.get(self.done..).filter(|rest| !rest.is_empty()) {
            match Pin::new(&mut *io).poll_write(cx, rest) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => {
                    self.done += count;
                    self.unflushed = true;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        if self.unflushed {
            match Pin::new(io).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.unflushed = false,
                other => return other,
            }
        }
        if self.keep == 0 || self.bytes.bytes().len() > self.keep {
            self.keep = 0;
            self.forget();
        }
        Poll::Ready(Ok(()))
    }
}
