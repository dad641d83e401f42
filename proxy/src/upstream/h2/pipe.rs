//! A request body on its way from the pipeline to hyper, on one thread.
//!
//! The beginning is kept until upstream answers: a stream that upstream has
//! refused can be sent again (RFC 9113 section 8.7).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};

use crate::http1::Framing;
use crate::upstream::Message;

/// Request bytes waiting for h2's flow control.
pub(super) const HIGH_WATER: usize = 64 * 1024;

/// Bytes of a body, shared with the copy that is kept.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    bytes: Arc<[u8]>,
    done: usize,
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.len() - self.done
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.get(self.done..).unwrap_or_default()
    }

    fn advance(&mut self, count: usize) {
        self.done = (self.done + count).min(self.bytes.len());
    }
}

/// The pieces of a body, in order.
#[derive(Debug)]
struct Pieces {
    queue: VecDeque<Piece>,
    /// Those at the front that hyper has and that are kept all the same.
    taken: usize,
    kept: usize,
    /// Whether the queue begins where the body does.
    whole: bool,
    /// Bytes that are kept at most.
    keep: usize,
}

impl Pieces {
    fn next(&mut self) -> Option<Piece> {
        let len = self.queue.get(self.taken)?.bytes.len();
        if self.whole && self.kept + len <= self.keep {
            let piece = self.queue.get(self.taken).cloned();
            self.taken += 1;
            self.kept += len;
            return piece;
        }
        self.forget();
        self.queue.pop_front()
    }

    fn forget(&mut self) {
        self.whole = false;
        self.queue.drain(..self.taken);
        self.taken = 0;
    }
}

/// Both ends of the pipe.
#[derive(Debug)]
pub(super) struct Pipe {
    pieces: RefCell<Pieces>,
    /// Bytes hyper has not taken.
    queued: Cell<usize>,
    ended: Cell<bool>,
    /// Whether hyper has asked for a byte of it.
    asked: Cell<bool>,
    declared: Option<u64>,
    reader: RefCell<Option<Waker>>,
    writer: RefCell<Option<Waker>>,
}

impl Pipe {
    /// For the body of a request, with what has come of it.
    pub(super) fn of_message(message: &Message) -> Self {
        let declared = match message.framing {
            Framing::None => Some(0),
            Framing::Length(length) => Some(length),
            Framing::Chunked | Framing::UntilClose => None,
        };
        let pipe = Self {
            pieces: RefCell::new(Pieces {
                queue: VecDeque::new(),
                taken: 0,
                kept: 0,
                whole: true,
                keep: message.keep,
            }),
            queued: Cell::new(0),
            ended: Cell::new(false),
            asked: Cell::new(false),
            declared,
            reader: RefCell::default(),
            writer: RefCell::default(),
        };
        let body = message.body();
        if !body.is_empty() {
            pipe.put(&body);
        }
        pipe.ended.set(message.is_complete);
        pipe
    }

    /// Whether all of the body has been put in.
    pub(super) const fn has_ended(&self) -> bool {
        self.ended.get()
    }

    /// Whether hyper has never asked for the body: it does as soon as the head
    /// is on its way.
    pub(super) const fn is_untouched(&self) -> bool {
        !self.asked.get()
    }

    /// Whether hyper has all of the body.
    pub(super) const fn is_drained(&self) -> bool {
        self.ended.get() && self.queued.get() == 0
    }

    /// Whether flow control holds the body up.
    pub(super) const fn is_full(&self) -> bool {
        self.queued.get() >= HIGH_WATER
    }

    /// Wakes the task when hyper has taken something.
    pub(super) fn wake_when_taken(&self, cx: &Context<'_>) {
        *self.writer.borrow_mut() = Some(cx.waker().clone());
    }

    /// Puts bytes in; none mean the end.
    pub(super) fn put(&self, data: &[u8]) {
        if data.is_empty() {
            self.ended.set(true);
        } else {
            self.queued.set(self.queued.get() + data.len());
            let bytes = Arc::from(data);
            let piece = Piece { bytes, done: 0 };
            self.pieces.borrow_mut().queue.push_back(piece);
        }
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    /// Keeps nothing any more: upstream has answered.
    pub(super) fn forget(&self) {
        self.pieces.borrow_mut().forget();
    }

    /// The body from its beginning, if all of it is still here. This pipe
    /// ends.
    pub(super) fn rewind(&self) -> Option<Vec<u8>> {
        let mut pieces = self.pieces.borrow_mut();
        if !pieces.whole {
            return None;
        }
        let queue = std::mem::take(&mut pieces.queue);
        let body = queue.iter().flat_map(|piece| piece.bytes.iter().copied());
        pieces.taken = 0;
        pieces.whole = false;
        self.queued.set(0);
        self.ended.set(true);
        Some(body.collect())
    }
}

/// hyper's end of the pipe.
#[derive(Debug)]
pub(super) struct PipeBody(pub(super) Rc<Pipe>);

impl Body for PipeBody {
    type Data = Piece;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, Infallible>>> {
        let pipe = &self.0;
        pipe.asked.set(true);
        if let Some(piece) = pipe.pieces.borrow_mut().next() {
            pipe.queued.set(pipe.queued.get() - piece.remaining());
            if let Some(writer) = pipe.writer.take() {
                writer.wake();
            }
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        if pipe.ended.get() {
            return Poll::Ready(None);
        }
        *pipe.reader.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_drained()
    }

    fn size_hint(&self) -> SizeHint {
        self.0
            .declared
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests;
