//! One request and its response on an upstream connection.
//!
//! Everything is polled from the task that serves the client: no second task,
//! no channel. The request body is pulled from the client as upstream's socket
//! takes it, the response body is handed out as a slice of the read buffer, so
//! back-pressure holds in both directions without a queue.

mod head;
mod reclaim;

use std::borrow::Cow;
use std::io::{self, ErrorKind};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use super::connect::Connection;
use super::message::{Message, frame};
use super::pool::{Lease, Leased};
use crate::error::ProxyError;
use crate::http1::{BodyDecoder, Framing, HeadView, Piece};
use crate::kernel::{ConnectionEnd, FirstByte, Sockets};
use crate::worker::Spare;

/// Request bytes buffered for a socket that does not take them.
const OUTPUT_HIGH_WATER: usize = 64 * 1024;
/// Largest read buffer for a response body.
const INPUT_LIMIT: usize = 64 * 1024;
/// Read buffer between events of a stream.
const RESTING: usize = 2 * 1024;

/// What is known of a request that has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// Upstream's system has acknowledged a part of it, or may have.
    Possible,
    /// It has acknowledged nothing, but may have had no time for that: it was there after the request had been sent, and
    /// has been silent since.
    Doubtful,
    /// It has acknowledged nothing.
    None,
}

/// Where a request body comes from.
pub trait RequestBody {
    /// The next bytes of the body, or an empty slice at its end. They are
    /// handed out once: the next call gives what follows them.
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<&[u8], ProxyError>>;

    /// Passes an interim response on, if there is somebody who knows of them.
    fn interim(&mut self, _cx: &mut Context<'_>, _head: &HeadView<'_>) {}
}

/// A body of which nothing is to come: there was none, or it is all there, or whoever sent it is gone.
#[derive(Debug)]
pub struct NoBody;

impl RequestBody for NoBody {
    fn poll_data(&mut self, _: &mut Context<'_>) -> Poll<Result<&[u8], ProxyError>> {
        Poll::Ready(Ok(&[]))
    }
}

/// A request under way on an HTTP/1.1 connection.
#[derive(Debug)]
pub struct Exchange {
    connection: Connection,
    lease: Lease,
    written_before: u64,
    /// The request, but for its bytes.
    request: Message,
    /// How the connection ended, if it did.
    ended: Option<ConnectionEnd>,
    /// Upstream may switch protocols.
    may_switch: bool,
    write_failed: bool,
    head_len: usize,
    /// Bytes of the response head there were when it was last incomplete.
    seen: usize,
    keep_alive: bool,
    response: Framing,
    body: BodyDecoder,
    first: Option<FirstByte>,
    /// When it was about to be written.
    started: Option<Instant>,
    /// The same, if its connection is followed.
    begun: Option<Instant>,
    /// When its first byte had been.
    left: Option<Instant>,
    /// When a part of the head was last read.
    head_read: Option<Instant>,
}

impl Exchange {
    /// Starts an exchange.
    pub fn new((mut connection, lease): Leased, message: Message) -> Self {
        let (bytes, request) = message.split();
        connection.output.start(bytes, request.keep);
        Self {
            written_before: connection.io.written(),
            connection,
            lease,
            request,
            ended: None,
            may_switch: false,
            write_failed: false,
            head_len: 0,
            seen: 0,
            keep_alive: false,
            response: Framing::None,
            body: BodyDecoder::new(Framing::None),
            first: None,
            started: None,
            begun: None,
            left: None,
            head_read: None,
        }
    }

    /// The request asks upstream to switch protocols.
    pub const fn may_switch(&mut self) {
        self.may_switch = true;
    }

    /// Upstream has switched: from here on, bytes of any kind go both ways.
    pub const fn switch(&mut self) {
        self.request.framing = Framing::UntilClose;
        self.request.is_complete = false;
    }

    /// Says that the request is about to be written, for the kernel's figures.
    pub fn begin(&mut self, sockets: &Sockets, now: Instant) {
        let cookie = self.cookie();
        sockets.begin(cookie);
        self.started = Some(now);
        self.begun = (cookie != 0).then_some(now);
        self.left = None;
    }

    /// The connection's name in the kernel; 0 if no program follows it.
    pub fn cookie(&self) -> u64 {
        self.connection.io.cookie()
    }

    /// Where the response began, if its connection is followed and it has.
    pub const fn first_byte(&self) -> Option<FirstByte> {
        self.first
    }

    /// When the last part of the head was read; `None` before that.
    pub const fn head_read(&self) -> Option<Instant> {
        self.head_read
    }

    /// The connection.
    pub const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The endpoint, as the worker knows it.
    pub const fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Whether upstream's socket is what holds the request up.
    pub fn is_blocked(&self) -> bool {
        !self.connection.output.is_flushed()
    }

    /// Whether the whole request has left.
    pub fn is_sent(&self) -> bool {
        self.request.is_complete && self.connection.output.is_flushed()
    }

    /// Bytes of the request body pulled so far; a change means that the
    /// request makes progress.
    pub const fn pulled(&self) -> u64 {
        self.request.pulled
    }

    /// The head of the response, until [`Exchange::start_body`].
    pub fn head(&self) -> HeadView<'_> {
        let Connection { head, input, .. } = &self.connection;
        head.view(input.filled())
    }

    /// How long the response body is, as its head says.
    pub const fn response_framing(&self) -> Framing {
        self.response
    }

    /// Drops the head; the body follows, and the request is not sent again.
    pub fn start_body(&mut self) {
        self.connection.output.release();
        self.connection.input.consume(self.head_len);
    }

    /// Gives the memory of the request back, once it has left.
    pub fn give_back(&mut self, spare: &Spare) {
        if self.is_sent() {
            spare.keep_buffer(std::mem::take(&mut self.connection.output.bytes));
        }
    }

    /// Gives memory back that small events far apart do not need.
    #[inline]
    pub fn rest(&mut self) {
        self.connection.input.rest(RESTING);
    }

    /// Goes on sending a request that upstream has begun to answer before its end.
    ///
    /// # Errors
    /// If the client's body breaks off.
    pub fn poll_request<B: RequestBody>(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut B,
    ) -> Result<(), ProxyError> {
        if !self.is_sent() && !self.write_failed {
            // What cannot be sent now is sent at the next poll.
            let _ = self.poll_send(cx, body)?;
        }
        Ok(())
    }

    /// The next bytes of the response body, or an empty slice at its end. They
    /// stay until [`Exchange::consume`].
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<&[u8], ProxyError>> {
        loop {
            let piece = self
                .body
                .next(&mut self.connection.input)
                .map_err(|error| ProxyError::UpstreamInvalidResponse(Cow::Borrowed(error.0)))?;
            match piece {
                Piece::End => return Poll::Ready(Ok(&[])),
                Piece::Data(len) => {
                    let data = self.connection.input.filled().get(..len);
                    return Poll::Ready(Ok(data.unwrap_or_default()));
                }
                Piece::NeedMore => {}
            }
            if ready!(self.poll_read(cx, INPUT_LIMIT))? == 0 {
                if self.body.ends_with_connection() {
                    self.body = BodyDecoder::new(Framing::None);
                    self.keep_alive = false;
                    return Poll::Ready(Ok(&[]));
                }
                return Poll::Ready(Err(ProxyError::UpstreamClosed));
            }
        }
    }

    /// Takes `count` bytes of response body off the front.
    pub fn consume(&mut self, count: usize) {
        self.body.consume(&mut self.connection.input, count);
    }

    /// Gives the connection back if both messages are complete and it may be used again.
    pub fn finish(mut self) -> Option<Leased> {
        self.connection.output.release();
        let reusable = self.keep_alive
            && self.is_sent()
            && !self.write_failed
            && self.body.is_done()
            && self.connection.input.is_empty();
        reusable.then_some((self.connection, self.lease))
    }

    /// Reads once; 0 is the end of the stream. A reset, or an end of TLS that
    /// its peer did not announce, is none: a body that ends with its connection
    /// would be taken for complete (RFC 9112 section 9.8).
    fn poll_read(&mut self, cx: &mut Context<'_>, limit: usize) -> Poll<Result<usize, ProxyError>> {
        let Connection { io, input, .. } = &mut self.connection;
        let result = ready!(input.poll_fill(cx, io, limit));
        match &result {
            Ok(0) => self.ended(ConnectionEnd::Closed),
            Ok(_) => {}
            Err(error) => self.ended(how(error)),
        }
        Poll::Ready(result.map_err(|error| {
            tracing::debug!(%error, "reading from upstream failed");
            ProxyError::UpstreamClosed
        }))
    }

    /// Pulls the request body and writes; ready when all of it has left.
    fn poll_send<B: RequestBody>(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut B,
    ) -> Poll<Result<(), ProxyError>> {
        loop {
            let mut starved = false;
            while !self.request.is_complete && self.connection.output.pending() < OUTPUT_HIGH_WATER
            {
                match body.poll_data(cx) {
                    Poll::Ready(data) => self.append(data?),
                    Poll::Pending => {
                        starved = true;
                        break;
                    }
                }
            }
            let Connection { io, output, .. } = &mut self.connection;
            let flushed = output.poll_flush(cx, io);
            if self.left.is_none() && self.begun.is_some() && io.written() > self.written_before {
                self.left = Some(Instant::now());
            }
            match ready!(flushed) {
                Ok(()) if self.request.is_complete => return Poll::Ready(Ok(())),
                Ok(()) if starved => return Poll::Pending,
                Ok(()) => {}
                // Upstream may have answered before it closed; the read tells.
                Err(error) => {
                    self.ended(how(&error));
                    self.write_failed = true;
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }

    /// Notes how the connection ended. A reset is told once; what follows it looks like an orderly end.
    fn ended(&mut self, how: ConnectionEnd) {
        if self.ended != Some(ConnectionEnd::Reset) {
            self.ended = Some(how);
        }
    }

    fn append(&mut self, data: &[u8]) {
        frame(
            &mut self.connection.output.bytes,
            self.request.framing,
            data,
        );
        self.request.is_complete = data.is_empty();
        self.request.pulled += data.len() as u64;
    }
}

/// How a connection ended with this error.
fn how(error: &io::Error) -> ConnectionEnd {
    match error.kind() {
        // After the peer has closed, a reset is told as a broken pipe; TLS tells an end without its own as unexpected.
        ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe => ConnectionEnd::Closed,
        ErrorKind::TimedOut | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
            ConnectionEnd::TimedOut
        }
        _ => ConnectionEnd::Reset,
    }
}
