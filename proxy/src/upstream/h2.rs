//! h2 towards upstream: one connection for each worker, hyper's engine.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{Mutex, Notify};

use super::connect::{ConnectError, Dialer};
use super::exchange::{ExchangeError, RequestBody};
use crate::connection::LocalExecutor;
use crate::error::ProxyError;
use crate::http1::{Framing, Head, HeadView, head::Version};

/// Request bytes waiting for h2's flow control.
const HIGH_WATER: usize = 64 * 1024;
/// A dead path shows after this long, even without traffic.
const PING_INTERVAL: Duration = Duration::from_secs(20);

type Sender = http2::SendRequest<PipeBody>;
type Response = Pin<Box<dyn Future<Output = hyper::Result<http::Response<Incoming>>>>>;

/// One worker's h2 connection, opened when needed and when it has ended.
#[derive(Debug)]
pub struct Multiplexed {
    dialer: Rc<Dialer>,
    /// Held while connecting, so that a burst opens one connection.
    sender: Mutex<Option<Sender>>,
    /// A request's dial has failed.
    failed: Notify,
}

impl Multiplexed {
    /// No connection yet.
    pub fn new(dialer: Rc<Dialer>) -> Self {
        Self {
            dialer,
            sender: Mutex::new(None),
            failed: Notify::new(),
        }
    }

    /// Opens the connection ahead of need, and again after each dial that
    /// failed, until the task is dropped.
    pub async fn keep_open(&self) {
        loop {
            if self.dialer.has_failed() {
                self.dialer.back_off().await;
            }
            match self.sender().await {
                Ok(_) => self.failed.notified().await,
                Err(error) => tracing::debug!(%error, "no h2 connection opened ahead of need"),
            }
        }
    }

    /// Starts a request.
    ///
    /// # Errors
    /// If there is no connection and none can be made.
    pub async fn start(
        &self,
        head: http::request::Parts,
        body: Framing,
    ) -> Result<H2Exchange, ConnectError> {
        let mut sender = self.sender().await.inspect_err(|_| {
            // Whether upstream is back is found out without a request.
            self.failed.notify_one();
        })?;
        let pipe = Rc::new(Pipe::default());
        let declared = match body {
            Framing::None => Some(0),
            Framing::Length(length) => Some(length),
            Framing::Chunked | Framing::UntilClose => None,
        };
        pipe.ended.set(body == Framing::None);
        let request_body = PipeBody {
            pipe: Rc::clone(&pipe),
            declared,
        };
        let request = http::Request::from_parts(head, request_body);
        Ok(H2Exchange {
            response: Some(Box::pin(sender.send_request(request))),
            pipe,
            head: Head::default(),
            head_bytes: Vec::new(),
            framing: Framing::None,
            incoming: None,
            current: Bytes::new(),
            pulled: 0,
        })
    }

    async fn sender(&self) -> Result<Sender, ConnectError> {
        let mut slot = self.sender.lock().await;
        if let Some(sender) = slot.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(sender.clone());
        }
        let io = TokioIo::new(self.dialer.dial().await?);
        let (sender, connection) = http2::Builder::new(LocalExecutor)
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .handshake(io)
            .await
            .map_err(|error| ConnectError::Tcp(format!("h2: {error}")))
            .inspect_err(|error| self.dialer.failed(error))?;
        tokio::task::spawn_local(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an h2 connection to upstream ended");
            }
        });
        Ok(slot.insert(sender).clone())
    }
}

/// Request bytes on their way from the pipeline to hyper, on one thread.
#[derive(Debug, Default)]
struct Pipe {
    queue: RefCell<VecDeque<Bytes>>,
    queued: Cell<usize>,
    ended: Cell<bool>,
    reader: RefCell<Option<Waker>>,
    writer: RefCell<Option<Waker>>,
}

/// hyper's end of the pipe.
#[derive(Debug)]
struct PipeBody {
    pipe: Rc<Pipe>,
    declared: Option<u64>,
}

impl Body for PipeBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let pipe = &self.pipe;
        if let Some(data) = pipe.queue.borrow_mut().pop_front() {
            pipe.queued.set(pipe.queued.get() - data.len());
            if let Some(writer) = pipe.writer.take() {
                writer.wake();
            }
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if pipe.ended.get() {
            return Poll::Ready(None);
        }
        *pipe.reader.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.pipe.ended.get() && self.pipe.queue.borrow().is_empty()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.declared.map_or_else(
            http_body::SizeHint::default,
            http_body::SizeHint::with_exact,
        )
    }
}

/// A request under way as an h2 stream; dropping it resets the stream.
pub struct H2Exchange {
    response: Option<Response>,
    pipe: Rc<Pipe>,
    head: Head,
    head_bytes: Vec<u8>,
    framing: Framing,
    incoming: Option<Incoming>,
    current: Bytes,
    pulled: u64,
}

impl std::fmt::Debug for H2Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("H2Exchange").finish_non_exhaustive()
    }
}

impl H2Exchange {
    /// Sends the request and waits for the head of the response.
    pub fn poll_head<B: RequestBody>(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut B,
    ) -> Poll<Result<(), ExchangeError>> {
        self.poll_request(cx, body)?;
        let Some(response) = &mut self.response else {
            return Poll::Ready(Err(ProxyError::UpstreamClosed.into()));
        };
        let response = ready!(response.as_mut().poll(cx)).map_err(|error| {
            tracing::debug!(%error, "h2 request to upstream failed");
            ProxyError::UpstreamClosed
        })?;
        self.response = None;
        let (parts, incoming) = response.into_parts();
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

    /// Pulls the request body as far as flow control allows.
    ///
    /// # Errors
    /// If the client's body breaks off.
    pub fn poll_request<B: RequestBody>(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut B,
    ) -> Result<(), ExchangeError> {
        let pipe = &self.pipe;
        if !self.is_sent() {
            // Room in the pipe, and its running dry, are both worth a look.
            *pipe.writer.borrow_mut() = Some(cx.waker().clone());
        }
        while !pipe.ended.get() {
            if pipe.queued.get() >= HIGH_WATER {
                return Ok(());
            }
            let Poll::Ready(data) = body.poll_data(cx) else {
                return Ok(());
            };
            let data = data?;
            self.pulled += data.len() as u64;
            if data.is_empty() {
                pipe.ended.set(true);
            } else {
                pipe.queued.set(pipe.queued.get() + data.len());
                pipe.queue
                    .borrow_mut()
                    .push_back(Bytes::copy_from_slice(data));
            }
            if let Some(reader) = pipe.reader.take() {
                reader.wake();
            }
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
        self.pulled
    }

    /// Whether the whole request has been given to hyper.
    pub fn is_sent(&self) -> bool {
        self.pipe.ended.get() && self.pipe.queued.get() == 0
    }

    /// Whether flow control holds the request up.
    pub fn is_blocked(&self) -> bool {
        self.pipe.queued.get() >= HIGH_WATER
    }
}
