//! An exchange over either HTTP version, for the pipeline.

use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use super::choice::Local;
use super::exchange::{Exchange, Receipt, RequestBody};
use super::h2::H2Exchange;
use super::message::Message;
use super::pool::Leased;
use crate::error::ProxyError;
use crate::http1::{FieldName, Framing, HeadView};
use crate::kernel::{Sockets, Timeline};
use crate::worker::{Spare, Worker};

/// One request and its response.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "the large variant is the usual one"
)]
pub enum AnyExchange {
    /// On a connection of its own.
    H1(Exchange),
    /// As one stream of a connection.
    H2(Box<H2Exchange>),
}

impl AnyExchange {
    /// Starts an exchange on an HTTP/1.1 connection.
    pub fn h1(connection: Leased, message: Message) -> Self {
        Self::H1(Exchange::new(connection, message))
    }

    /// The endpoint, as the worker knows it.
    #[inline]
    pub fn endpoint(&self) -> &Rc<Local> {
        match self {
            Self::H1(exchange) => exchange.lease().endpoint(),
            Self::H2(exchange) => exchange.endpoint(),
        }
    }

    /// See [`Exchange::reclaim`].
    pub fn reclaim(&mut self, sockets: &Sockets) -> Option<Message> {
        match self {
            Self::H1(exchange) => exchange.reclaim(sockets),
            Self::H2(exchange) => exchange.reclaim(),
        }
    }

    /// See [`Exchange::receipt`]; h2 sees to it itself, with pings.
    pub fn receipt(&self, sockets: &Sockets) -> Receipt {
        match self {
            Self::H1(exchange) => exchange.receipt(sockets),
            Self::H2(_) => Receipt::Possible,
        }
    }

    /// See [`Exchange::copy`]; in h2 there is none.
    pub fn copy(&self) -> Option<Message> {
        match self {
            Self::H1(exchange) => exchange.copy(),
            Self::H2(_) => None,
        }
    }

    /// See [`Exchange::abort`]; in h2 dropping resets the stream.
    pub fn abort(&self) {
        if let Self::H1(exchange) = self {
            exchange.abort();
        }
    }

    /// See [`Exchange::has_ended_in_silence`] and [`Exchange::was_left_unread`]: the second may follow upon the first.
    pub fn may_turn_out_unread(&self) -> bool {
        match self {
            Self::H1(exchange) => exchange.has_ended_in_silence() && !exchange.was_left_unread(),
            Self::H2(_) => false,
        }
    }

    /// See [`Exchange::take_back`].
    pub fn take_back(&mut self) -> Option<Message> {
        match self {
            Self::H1(exchange) => exchange.take_back(),
            Self::H2(exchange) => exchange.take_back(),
        }
    }

    /// See [`Exchange::may_switch`]; in h2 nothing switches.
    pub const fn may_switch(&mut self) {
        if let Self::H1(exchange) = self {
            exchange.may_switch();
        }
    }

    /// See [`Exchange::switch`].
    pub const fn switch(&mut self) {
        if let Self::H1(exchange) = self {
            exchange.switch();
        }
    }

    /// See [`Exchange::poll_head`].
    pub fn poll_head<B: RequestBody>(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut B,
    ) -> Poll<Result<(), ProxyError>> {
        match self {
            Self::H1(exchange) => exchange.poll_head(cx, body),
            Self::H2(exchange) => exchange.poll_head(cx, body),
        }
    }

    /// See [`Exchange::poll_request`].
    ///
    /// # Errors
    /// If the client's body breaks off.
    pub fn poll_request<B: RequestBody>(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut B,
    ) -> Result<(), ProxyError> {
        match self {
            Self::H1(exchange) => exchange.poll_request(cx, body),
            Self::H2(exchange) => exchange.poll_request(cx, body),
        }
    }

    /// See [`Exchange::poll_data`].
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<&[u8], ProxyError>> {
        match self {
            Self::H1(exchange) => exchange.poll_data(cx),
            Self::H2(exchange) => exchange.poll_data(cx),
        }
    }

    /// See [`Exchange::consume`].
    pub fn consume(&mut self, count: usize) {
        match self {
            Self::H1(exchange) => exchange.consume(count),
            Self::H2(exchange) => exchange.consume(count),
        }
    }

    /// The head of the response, until [`AnyExchange::start_body`].
    pub fn head(&self) -> HeadView<'_> {
        match self {
            Self::H1(exchange) => exchange.head(),
            Self::H2(exchange) => exchange.head(),
        }
    }

    /// How long the response body is.
    pub const fn response_framing(&self) -> Framing {
        match self {
            Self::H1(exchange) => exchange.response_framing(),
            Self::H2(exchange) => exchange.response_framing(),
        }
    }

    /// Whether the response is a stream of server-sent events; of the head.
    pub fn is_event_stream(&self) -> bool {
        self.has_type(b"text/event-stream")
    }

    /// Whether the response is a JSON document; of the head.
    pub fn is_json(&self) -> bool {
        self.has_type(b"application/json")
    }

    fn has_type(&self, media_type: &[u8]) -> bool {
        let value = self.head().field(FieldName::ContentType);
        let start = value.and_then(|value| value.get(..media_type.len()));
        start.is_some_and(|start| start.eq_ignore_ascii_case(media_type))
    }

    /// See [`Exchange::start_body`].
    pub fn start_body(&mut self) {
        match self {
            Self::H1(exchange) => exchange.start_body(),
            Self::H2(exchange) => exchange.start_body(),
        }
    }

    /// See [`Exchange::give_back`].
    pub fn give_back(&mut self, spare: &Spare) {
        if let Self::H1(exchange) = self {
            exchange.give_back(spare);
        }
    }

    /// See [`Exchange::rest`].
    #[inline]
    pub fn rest(&mut self) {
        if let Self::H1(exchange) = self {
            exchange.rest();
        }
    }

    /// See [`Exchange::pulled`].
    pub const fn pulled(&self) -> u64 {
        match self {
            Self::H1(exchange) => exchange.pulled(),
            Self::H2(exchange) => exchange.pulled(),
        }
    }

    /// See [`Exchange::is_sent`].
    pub fn is_sent(&self) -> bool {
        match self {
            Self::H1(exchange) => exchange.is_sent(),
            Self::H2(exchange) => exchange.is_sent(),
        }
    }

    /// See [`Exchange::is_blocked`].
    pub fn is_blocked(&self) -> bool {
        match self {
            Self::H1(exchange) => exchange.is_blocked(),
            Self::H2(exchange) => exchange.is_blocked(),
        }
    }

    /// Says that the request is about to be written, it being `now`.
    #[inline]
    pub fn begin(&mut self, sockets: &Sockets, now: Instant) {
        if let Self::H1(exchange) = self {
            exchange.begin(sockets, now);
        }
    }

    /// When the response's head had been read, if the exchange has looked at the clock.
    #[inline]
    pub const fn head_read(&self) -> Option<Instant> {
        match self {
            Self::H1(exchange) => exchange.head_read(),
            Self::H2(_) => None,
        }
    }

    /// What the kernel knows of the request; nothing over h2, where requests share a connection.
    #[inline]
    pub fn timeline(&self, sockets: &Sockets) -> Timeline {
        let Self::H1(exchange) = self else {
            return Timeline::default();
        };
        let seen = match (exchange.cookie(), exchange.first_byte()) {
            (0, _) => Timeline::default(),
            (cookie, Some(first)) => sockets.timeline(cookie, first),
            (cookie, None) => sockets.connection(cookie),
        };
        let sampled = exchange.connection().known();
        Timeline {
            connect: seen.connect.or(sampled.connect),
            rtt: seen.rtt.or(sampled.rtt),
            ..seen
        }
    }

    /// Ends a complete exchange; its connection goes back to the pool.
    pub fn finish(self, worker: &Worker, now: Instant) {
        if let Self::H1(exchange) = self {
            let (sent, upstream) = (exchange.pulled(), exchange.lease().endpoint().upstream());
            if let Some(mut leased) = exchange.finish() {
                let request = std::mem::take(&mut leased.0.output.bytes);
                worker.spare.keep_buffer(request);
                // Of one that is gone it is closed.
                if let Some(origin) = worker.origin(upstream) {
                    origin.pool.put_after(leased, now, sent);
                }
            }
        }
    }
}
