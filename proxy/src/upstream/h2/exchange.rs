//! One request and its response as an h2 stream.

use std::error::Error;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;

use super::pipe::{Pipe, PipeBody};
use super::session::Stream;
use crate::error::ProxyError;
use crate::http1::{Framing, Head, HeadView, head::Version};
use crate::upstream::exchange::RequestBody;
use crate::upstream::{Local, Message};

type Refusal = TrySendError<http::Request<PipeBody>>;
pub(super) type Response = Pin<Box<dyn Future<Output = Result<http::Response<Incoming>, Refusal>>>>;

/// A request that has been given to hyper.
#[derive(Debug)]
pub(super) struct Sent {
    /// Its head, for another attempt.
    pub(super) message: Message,
    /// Its body.
    pub(super) pipe: Rc<Pipe>,
}

/// A request under way as an h2 stream; dropping it resets the stream.
pub struct H2Exchange {
    /// The request's head, for another attempt.
    message: Message,
    response: Option<Response>,
    pipe: Rc<Pipe>,
    stream: Stream,
    /// Upstream has certainly not looked at it.
    is_unread: bool,
    head: Head,
    head_bytes: Vec<u8>,
    framing: Framing,
    incoming: Option<Incoming>,
    current: Bytes,
}

impl std::fmt::Debug for H2Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("H2Exchange").finish_non_exhaustive()
    }
}

impl H2Exchange {
    /// A request that has been given to hyper.
    pub(super) fn new(sent: Sent, response: Response, stream: Stream) -> Self {
        let Sent { message, pipe } = sent;
        Self {
            message,
            response: Some(response),
            pipe,
            stream,
            is_unread: false,
            head: Head::default(),
            head_bytes: Vec::new(),
            framing: Framing::None,
            incoming: None,
            current: Bytes::new(),
        }
    }

    /// The endpoint, as the worker knows it.
    pub fn endpoint(&self) -> &Rc<Local> {
        self.stream.session().endpoint()
    }

    /// Takes the request back if upstream has certainly not looked at it.
    pub fn reclaim(&mut self) -> Option<Message> {
        if self.is_unread {
            self.take_back()
        } else {
            None
        }
    }

    /// Takes the request back, whatever upstream has had of it, if all of it is still here.
    pub fn take_back(&mut self) -> Option<Message> {
        let is_complete = self.pipe.has_ended();
        let body = self.pipe.rewind()?;
        let mut message = std::mem::take(&mut self.message);
        let pulled = message.pulled;
        if !body.is_empty() {
            message.append(&body);
        }
        if is_complete && message.framing == Framing::Chunked {
            message.append(&[]);
        }
        message.is_complete = is_complete;
        message.pulled = pulled;
        Some(message)
    }

    /// The request is not sent again.
    pub fn start_body(&mut self) {
        self.pipe.forget();
    }

    /// Sends the request and waits for the head of the response.
    pub fn poll_head<B: RequestBody>(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut B,
    ) -> Poll<Result<(), ProxyError>> {
        self.poll_request(cx, body)?;
        let Some(response) = &mut self.response else {
            return Poll::Ready(Err(ProxyError::UpstreamClosed));
        };
        let result = ready!(response.as_mut().poll(cx));
        self.response = None;
        let (parts, incoming) = match result {
            Ok(response) => response.into_parts(),
            Err(refusal) => {
                self.failed(&refusal);
                return Poll::Ready(Err(ProxyError::UpstreamClosed));
            }
        };
        self.head.begin(Version::Http2, parts.status.as_u16());
        for (name, value) in &parts.headers {
            self.head.push_field(
                &mut self.head_bytes,
                name.as_str().as_bytes(),
                value.as_bytes(),
            );
        }
        self.framing = match incoming.size_hint().exact() {
            Some(length) => Framing::Length(length),
            None => Framing::Chunked,
        };
        self.incoming = Some(incoming);
        Poll::Ready(Ok(()))
    }

    /// Looks at why there is no response.
    fn failed(&mut self, refusal: &Refusal) {
        let verdict = Verdict::of(refusal, self.pipe.is_untouched());
        tracing::debug!(error = %refusal.error(), ?verdict, "h2 request to upstream failed");
        if verdict == Verdict::ConnectionOver {
            self.stream.session().retire();
        }
        self.is_unread = verdict != Verdict::Unknown;
    }

    /// Pulls the request body as far as flow control allows.
    ///
    /// # Errors
    /// If the client's body breaks off.
    pub fn poll_request<B: RequestBody>(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut B,
    ) -> Result<(), ProxyError> {
        if !self.is_sent() {
            // Room in the pipe, and its running dry, are both worth a look.
            self.pipe.wake_when_taken(cx);
        }
        while !self.pipe.has_ended() && !self.pipe.is_full() {
            let Poll::Ready(data) = body.poll_data(cx) else {
                return Ok(());
            };
            let data = data?;
            self.message.pulled += data.len() as u64;
            self.pipe.put(data);
        }
        Ok(())
    }

    /// The next bytes of the response body, or an empty slice at its end.
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<&[u8], ProxyError>> {
        while self.current.is_empty() {
            let Some(incoming) = &mut self.incoming else {
                return Poll::Ready(Ok(&[]));
            };
            match ready!(Pin::new(incoming).poll_frame(cx)) {
                None => self.incoming = None,
                Some(Ok(frame)) => {
                    // Trailer fields are dropped, as on the HTTP/1.1 side.
                    self.current = frame.into_data().unwrap_or_default();
                }
                Some(Err(error)) => {
                    tracing::debug!(%error, "h2 response from upstream broke off");
                    return Poll::Ready(Err(ProxyError::UpstreamClosed));
                }
            }
        }
        Poll::Ready(Ok(&self.current))
    }

    /// Takes `count` bytes off the front.
    pub fn consume(&mut self, count: usize) {
        // `Bytes` panics beyond its end, a caller's mistake must not.
        drop(self.current.split_to(count.min(self.current.len())));
    }

    /// The head of the response.
    pub fn head(&self) -> HeadView<'_> {
        self.head.view(&self.head_bytes)
    }

    /// How long the response body is.
    pub const fn response_framing(&self) -> Framing {
        self.framing
    }

    /// Bytes of the request body pulled so far.
    pub const fn pulled(&self) -> u64 {
        self.message.pulled
    }

    /// Whether the whole request has been given to hyper.
    pub fn is_sent(&self) -> bool {
        self.pipe.is_drained()
    }

    /// Whether flow control holds the request up.
    pub fn is_blocked(&self) -> bool {
        self.pipe.is_full()
    }
}

/// What a request that got no response says about itself and its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Upstream has not looked at it; the connection takes no more.
    ConnectionOver,
    /// Upstream has not looked at it; the connection is as good as before.
    StreamRefused,
    /// Upstream may have begun to work on it.
    Unknown,
}

impl Verdict {
    /// RFC 9113 section 8.7: what is known not to have been processed.
    fn of(refusal: &Refusal, untouched: bool) -> Self {
        // It never became a stream, or one that waited for upstream to allow
        // another: hyper drops such a one as it drops its dispatcher.
        let is_dropped = refusal.error().is_user() && untouched;
        if refusal.message().is_some() || is_dropped {
            return Self::ConnectionOver;
        }
        let cause = refusal.error().source();
        let Some(error) = cause.and_then(|cause| cause.downcast_ref::<h2::Error>()) else {
            return Self::Unknown;
        };
        match error.reason() {
            // Only streams above the last that upstream processed end so.
            _ if error.is_remote() && error.is_go_away() => Self::ConnectionOver,
            Some(h2::Reason::REFUSED_STREAM) if error.is_remote() => Self::StreamRefused,
            _ => Self::Unknown,
        }
    }
}
