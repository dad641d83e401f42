//! The response's head: waiting for it, and what it says of the rest.

use std::borrow::Cow;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use super::{Exchange, RequestBody};
use crate::error::ProxyError;
use crate::http1::{BodyDecoder, Framing, framing, head::Version};
use crate::kernel::FirstByte;
use crate::upstream::connect::Connection;

/// Longest response head.
const HEAD_LIMIT: usize = 64 * 1024;

impl Exchange {
    /// Sends the request and waits for the head of the response.
    pub fn poll_head<B: RequestBody>(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut B,
    ) -> Poll<Result<(), ProxyError>> {
        self.poll_request(cx, body)?;
        loop {
            let Connection { input, head, .. } = &mut self.connection;
            let waiting = input.filled();
            let prefix = waiting.get(..waiting.len().min(5)).unwrap_or_default();
            if !b"HTTP/".starts_with(prefix) {
                return invalid("it does not begin with HTTP/");
            }
            let seen = std::mem::replace(&mut self.seen, waiting.len());
            let parsed = head
                .parse_response(waiting, seen)
                .map_err(|error| ProxyError::UpstreamInvalidResponse(error.to_string().into()))?;
            if let Some(end) = parsed {
                if self.take_head(end)? {
                    return Poll::Ready(Ok(()));
                }
                self.take_interim(cx, end, body);
                continue;
            }
            if self.connection.input.is_full(HEAD_LIMIT) {
                return invalid("its head is too long");
            }
            if ready!(self.poll_read_head(cx))? == 0 {
                return Poll::Ready(Err(ProxyError::UpstreamClosed));
            }
        }
    }

    /// Looks at the head that ends at `end`; false if it was an interim response.
    fn take_head(&mut self, end: usize) -> Result<bool, ProxyError> {
        let view = self.head();
        match view.status() {
            0..100 => Err(ProxyError::UpstreamInvalidResponse(Cow::Borrowed(
                "its status is below 100",
            ))),
            101 if self.may_switch => {
                self.response = Framing::UntilClose;
                self.body = BodyDecoder::new(Framing::UntilClose);
                self.head_len = end;
                Ok(true)
            }
            101 => Err(ProxyError::UpstreamInvalidResponse(Cow::Borrowed(
                "it switches protocols unasked",
            ))),
            100..=199 => Ok(false),
            _ => {
                let framing = framing::of_response(&view, false)
                    .map_err(|error| ProxyError::UpstreamInvalidResponse(Cow::Borrowed(error.0)))?;
                // RFC 9112 section 6.1: a coding in HTTP/1.0 is not to be trusted twice.
                let dubious = view.version() == Version::Http10 && framing == Framing::Chunked;
                let closes = framing == Framing::UntilClose;
                self.keep_alive = framing::keeps_alive(&view) && !dubious && !closes;
                self.response = framing;
                self.body = BodyDecoder::new(framing);
                self.head_len = end;
                Ok(true)
            }
        }
    }

    /// Drops the interim response that ends at `end`, after its reader has had it. `100
    /// Continue` is for the proxy, which asks for bodies itself.
    #[cold]
    fn take_interim<B: RequestBody>(&mut self, cx: &mut Context<'_>, end: usize, body: &mut B) {
        let view = self.head();
        if view.status() != 100 {
            body.interim(cx, &view);
        }
        self.connection.input.consume(end);
        self.seen = 0;
    }

    /// [`Exchange::poll_read`] for the head, with one look at the clock for the kernel's figures and for ours.
    fn poll_read_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, ProxyError>> {
        let before = self.connection.io.received();
        let result = ready!(self.poll_read(cx, HEAD_LIMIT));
        let read = Instant::now();
        self.head_read = Some(read);
        self.lease.endpoint().hears(read);
        let io = &mut self.connection.io;
        if self.first.is_none() && io.cookie() != 0 {
            let offset = io.first_record().unwrap_or(before);
            let sent = self.begun.zip(self.left);
            self.first = Some(FirstByte { offset, read, sent });
        }
        Poll::Ready(result)
    }
}

const fn invalid(reason: &'static str) -> Poll<Result<(), ProxyError>> {
    Poll::Ready(Err(ProxyError::UpstreamInvalidResponse(Cow::Borrowed(
        reason,
    ))))
}
