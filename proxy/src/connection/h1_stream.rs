//! A client's HTTP/1.1 connection as one request's [`Downstream`].

use std::borrow::Cow;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::AsyncWrite;

use super::half_close::{HalfClose, Progress, Verdict};
use super::peer::Peer;
use super::timer::Timer;
use super::{transport::Transport, write_buffer::WriteBuffer};
use crate::downstream::Downstream;
use crate::error::ProxyError;
use crate::forward;
use crate::http1::{BodyDecoder, FieldName, Framing, HeadView, Piece, ReadBuffer, encode};
use crate::upstream::RequestBody;

/// Largest read buffer for a request body.
const BODY_BUFFER: usize = 64 * 1024;
/// Response bytes buffered for a client that reads slowly.
const HIGH_WATER: usize = 64 * 1024;
/// Output memory an idle connection keeps.
const IDLE_OUTPUT: usize = 16 * 1024;
/// Memory for each direction between events of a stream.
const RESTING: usize = 512;

/// A client connection, reused for one request after another.
#[derive(Debug)]
pub struct H1Stream {
    pub(super) io: Transport,
    pub(super) input: ReadBuffer,
    pub(super) output: WriteBuffer<Vec<u8>>,
    pub(super) timer: Timer,
    /// Who is at the other end.
    pub peer: Peer,
    half: HalfClose,
    body: BodyDecoder,
    handed_out: usize,
    body_read: u64,
    body_limit: u64,
    expects_continue: bool,
    http10: bool,
    /// The request was `HEAD`: its response ends with its head.
    head_only: bool,
    response: Response,
    /// No further request may follow on this connection.
    pub(super) close: bool,
    /// The response broke off where only a reset can say so.
    reset: bool,
}

/// What a request's head says about the rest of the exchange.
#[derive(Debug)]
pub struct Begin {
    /// How long the request body is.
    pub body: Framing,
    /// How long it may be.
    pub limit: u64,
    /// The client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
    /// The request is HTTP/1.0.
    pub http10: bool,
    /// The request is `HEAD`.
    pub head_only: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Response {
    None,
    Body(Framing),
    Done,
}

impl H1Stream {
    /// A connection of which `input` has been read already.
    pub fn new(io: Transport, peer: Peer, input: ReadBuffer) -> Self {
        Self {
            io,
            input,
            output: WriteBuffer::default(),
            timer: Timer::default(),
            peer,
            half: HalfClose::default(),
            body: BodyDecoder::new(Framing::None),
            handed_out: 0,
            body_read: 0,
            body_limit: 0,
            expects_continue: false,
            http10: false,
            head_only: false,
            response: Response::None,
            close: false,
            reset: false,
        }
    }

    /// Prepares for a request of which only the head has been read.
    pub fn begin(&mut self, request: &Begin) {
        self.body = BodyDecoder::new(request.body);
        self.handed_out = 0;
        self.body_read = 0;
        self.body_limit = request.limit;
        // RFC 9110 section 10.1.1: not to an HTTP/1.0 client, not without a body.
        let waits = request.expects_continue && !request.http10;
        self.expects_continue = waits && request.body != Framing::None;
        self.http10 = request.http10;
        self.head_only = request.head_only;
        self.response = Response::None;
        self.half.next_request();
    }

    /// Gives memory back that only a large message needed.
    pub fn shrink(&mut self) {
        self.input.shrink();
        if self.output.pending() == 0 && self.output.bytes.capacity() > IDLE_OUTPUT {
            self.output.bytes = Vec::new();
        }
    }

    /// Whether the connection can carry another request: the last one's body has been read, and the peer has not closed.
    pub fn is_reusable(&mut self) -> bool {
        self.settle();
        !self.close
            // After its FIN a client may still wait for what it pipelined.
            && (!self.half.is_closed() || !self.input.is_empty())
            && self.response == Response::Done
            && matches!(self.body.next(&mut self.input), Ok(Piece::End))
    }

    fn settle(&mut self) {
        let count = std::mem::take(&mut self.handed_out);
        if count > 0 {
            self.body.consume(&mut self.input, count);
        }
    }

    /// Drops what has come of the request body; whether that was all of it, and not more than a body may have.
    fn discard_body(&mut self) -> bool {
        self.settle();
        // Nothing is waited for: whoever reads next registers its own task.
        let mut cx = Context::from_waker(Waker::noop());
        let mut room = BODY_BUFFER;
        loop {
            match self.body.next(&mut self.input) {
                Ok(Piece::End) => return true,
                Ok(Piece::Data(len)) if self.body_read + len as u64 <= self.body_limit => {
                    self.body.consume(&mut self.input, len);
                    self.body_read += len as u64;
                }
                Ok(Piece::NeedMore) => {
                    let Self { io, input, .. } = self;
                    match input.poll_fill(&mut cx, io, BODY_BUFFER) {
                        Poll::Ready(Ok(count)) if (1..=room).contains(&count) => room -= count,
                        _ => return false,
                    }
                }
                Ok(Piece::Data(_)) | Err(_) => return false,
            }
        }
    }

    fn response_progress(&self) -> Progress {
        Progress {
            begun: self.response != Response::None,
            flushed: self.output.is_flushed(),
            taken: self.io.written(),
        }
    }

    /// The client has sent FIN while its request is worked on. An interim response, which every HTTP/1.1 client has to accept
    /// (RFC 9110 section 15.2), finds out whether it still listens: a closed socket answers with a reset. An HTTP/1.0 client
    /// knows none and is taken to be gone.
    fn poll_half_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.half.poll(cx, self.response_progress()) {
            Poll::Ready(Verdict::Gone) => return Poll::Ready(()),
            Poll::Ready(Verdict::Ask) if self.http10 => return Poll::Ready(()),
            Poll::Ready(Verdict::Ask) => self
                .output
                .bytes
                .extend_from_slice(b"HTTP/1.1 102 Processing\r\n\r\n"),
            Poll::Pending => {}
        }
        if let Poll::Ready(Err(_)) = self.output.poll_flush(cx, &mut self.io) {
            return Poll::Ready(());
        }
        self.half.poll_reset(cx, self.io.tcp())
    }

    /// Whether the connection was made to end with a reset: it has to be dropped
    /// as it is, without FIN and without TLS' closing alert.
    pub(super) fn is_reset(&self) -> bool {
        self.reset
            && SockRef::from(self.io.tcp())
                .set_linger(Some(Duration::ZERO))
                .is_ok()
    }

    /// Sends FIN, as the last step of a close.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.io).poll_shutdown(cx).map(|_| ())
    }
}

impl RequestBody for H1Stream {
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<&[u8], ProxyError>> {
        self.settle();
        loop {
            match self.body.next(&mut self.input) {
                Ok(Piece::End) => return Poll::Ready(Ok(&[])),
                Ok(Piece::Data(len)) => {
                    let limit = self.body_limit;
                    if self.body_read + len as u64 > limit {
                        return Poll::Ready(Err(ProxyError::RequestTooLarge { limit }));
                    }
                    self.body_read += len as u64;
                    self.handed_out = len;
                    let data = self.input.filled().get(..len);
                    return Poll::Ready(Ok(data.unwrap_or_default()));
                }
                Ok(Piece::NeedMore) => {}
                Err(error) => {
                    // Where it ends will never be known.
                    self.close = true;
                    let reason = Cow::Borrowed(error.0);
                    return Poll::Ready(Err(ProxyError::InvalidRequest(reason)));
                }
            }
            if std::mem::take(&mut self.expects_continue) {
                self.output
                    .bytes
                    .extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
                if let Poll::Ready(Err(error)) = self.output.poll_flush(cx, &mut self.io) {
                    tracing::debug!(%error, "100 Continue could not be written");
                    return Poll::Ready(Err(ProxyError::ClientClosed));
                }
            }
            let Self { io, input, .. } = self;
            match input.poll_fill(cx, io, BODY_BUFFER) {
                Poll::Ready(Ok(count)) if count > 0 => {}
                Poll::Ready(_) => return Poll::Ready(Err(ProxyError::ClientClosed)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn interim(&mut self, cx: &mut Context<'_>, head: &HeadView<'_>) {
        // HTTP/1.0 knows none (RFC 9110 section 15.2). One nobody reads is not worth memory.
        if self.http10 || self.response != Response::None || !self.has_room() {
            return;
        }
        encode::status_line(&mut self.output.bytes, head.status());
        forward::response_fields(head, self, false);
        self.output.bytes.extend_from_slice(b"\r\n");
        // That the client is gone shows when the response is written.
        let _ = self.output.poll_flush(cx, &mut self.io);
    }
}

impl Downstream for H1Stream {
    fn body_read(&self) -> u64 {
        self.body_read
    }

    fn start_head(&mut self, status: u16) {
        // Whoever waits to be asked for the body has the answer instead, and nothing may be written into it.
        self.expects_continue = false;
        encode::status_line(&mut self.output.bytes, status);
    }

    fn field(&mut self, name: &[u8], value: &[u8]) {
        encode::field(&mut self.output.bytes, name, value);
    }

    fn lines(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.output.bytes);
    }

    fn fields<'a>(
        &mut self,
        head: &HeadView<'a>,
        keep: impl FnMut(FieldName, &'a [u8], &'a [u8]) -> bool,
    ) {
        let out = &mut self.output.bytes;
        head.copy_fields(keep, |lines| out.extend_from_slice(lines));
    }

    fn end_head(&mut self, framing: Framing) {
        let framing = match framing {
            Framing::Chunked | Framing::UntilClose if self.http10 => Framing::UntilClose,
            Framing::UntilClose => Framing::Chunked,
            known => known,
        };
        self.close |= framing == Framing::UntilClose;
        let out = &mut self.output.bytes;
        encode::framing(out, framing);
        if self.close {
            out.extend_from_slice(b"connection: close\r\n");
        } else if self.http10 {
            out.extend_from_slice(b"connection: keep-alive\r\n");
        }
        out.extend_from_slice(b"\r\n");
        self.response = Response::Body(framing);
    }

    fn switch(&mut self) {
        self.output.bytes.extend_from_slice(b"\r\n");
        self.response = Response::Body(Framing::UntilClose);
        self.body = BodyDecoder::new(Framing::UntilClose);
        self.body_limit = u64::MAX;
        self.close = true;
    }

    fn refuse_body(&mut self) {
        self.close = self.close || !self.discard_body();
    }

    fn close_after(&mut self) {
        self.close = true;
    }

    fn has_room(&self) -> bool {
        self.output.pending() < HIGH_WATER
    }

    fn push(&mut self, data: &[u8]) {
        match self.response {
            _ if self.head_only => {}
            Response::Body(Framing::Chunked) => encode::chunk(&mut self.output.bytes, data),
            _ => self.output.bytes.extend_from_slice(data),
        }
    }

    fn end(&mut self) {
        if self.response == Response::Body(Framing::Chunked) && !self.head_only {
            encode::last_chunk(&mut self.output.bytes);
        }
        self.response = Response::Done;
    }

    fn truncate(&mut self) {
        // Without its last chunk, or short of its length, the body is incomplete for every client (RFC 9112 section 8). One
        // that ends with the connection would look whole after a FIN.
        self.close = true;
        self.reset = self.response == Response::Body(Framing::UntilClose);
    }

    #[inline]
    fn rest(&mut self) {
        self.input.rest(RESTING);
        if self.output.pending() == 0 && self.output.bytes.capacity() > 2 * RESTING {
            self.output.bytes.shrink_to(RESTING);
        }
    }

    fn progress(&self) -> u64 {
        self.io.written()
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ProxyError>> {
        let result = ready!(self.output.poll_flush(cx, &mut self.io));
        Poll::Ready(result.map_err(|_| ProxyError::ClientClosed))
    }

    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.half.is_closed() {
            return self.poll_half_closed(cx);
        }
        self.settle();
        // Reads ahead: the rest of the body, or pipelined requests.
        while !self.input.is_full(BODY_BUFFER) {
            let Self { io, input, .. } = self;
            match ready!(input.poll_fill(cx, io, BODY_BUFFER)) {
                Ok(0) => {
                    self.half.closed(self.response_progress());
                    if !self.body.is_done() {
                        // What is missing will never come.
                        cx.waker().wake_by_ref();
                    }
                    return self.poll_half_closed(cx);
                }
                // Whoever waits for the body has to look again.
                Ok(_) if !self.body.is_done() => cx.waker().wake_by_ref(),
                Ok(_) => {}
                Err(_) => return Poll::Ready(()),
            }
        }
        self.half.poll_reset(cx, self.io.tcp())
    }

    fn timer(&mut self) -> &mut Timer {
        &mut self.timer
    }
}

#[cfg(test)]
mod tests;
