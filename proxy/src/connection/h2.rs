//! Serves one h2 client connection with hyper.
//!
//! hyper wants a response it can pull from; the pipeline pushes into a
//! [`Downstream`]. The two meet in a small exchange cell on one thread: the
//! pipeline runs as a task of its own, hyper polls the other end.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};

use super::LocalExecutor;
use super::peer::Peer;
use super::timer::Timer;
use super::transport::Transport;
use crate::account::RequestRecord;
use crate::downstream::Downstream;
use crate::error::ProxyError;
use crate::http1::{FieldName, Framing, Head, HeadView, head::Version};
use crate::pipeline::{self, Inbound};
use crate::upstream::RequestBody;
use crate::worker::Worker;

/// Streams a client may open at once; nginx' and Envoy's order of size.
const MAX_STREAMS: u32 = 256;
/// Response bytes waiting for h2's flow control.
const HIGH_WATER: usize = 64 * 1024;

/// Serves streams until either side ends the connection. `received` has been
/// read already.
pub async fn serve(worker: Rc<Worker>, io: Transport, received: Vec<u8>, peer: Peer, https: bool) {
    let io = TokioIo::new(Prefixed {
        prefix: Bytes::from(received),
        io,
    });
    let mut draining = worker.drain.wait();
    let limits = worker.config.limits;
    let header_limit = u32::try_from(limits.headers).unwrap_or(u32::MAX);
    let service = service_fn(move |request| respond(Rc::clone(&worker), request, peer, https));
    let connection = hyper::server::conn::http2::Builder::new(LocalExecutor)
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(header_limit)
        .keep_alive_interval(std::time::Duration::from_secs(30))
        .serve_connection(io, service);
    let mut connection = std::pin::pin!(connection);
    let mut told = false;
    let result = poll_fn(|cx| {
        if !told && draining.as_mut().poll(cx).is_ready() {
            told = true;
            // GOAWAY; streams under way may finish.
            connection.as_mut().graceful_shutdown();
        }
        connection.as_mut().poll(cx)
    })
    .await;
    if let Err(error) = result {
        tracing::debug!(%peer, %error, "an h2 client connection ended");
    }
}

async fn respond(
    worker: Rc<Worker>,
    request: Request<Incoming>,
    peer: Peer,
    https: bool,
) -> Result<Response<CellBody>, Infallible> {
    let cell = Rc::new(RefCell::new(Cell::default()));
    let end = CellBody(Rc::clone(&cell));
    tokio::task::spawn_local(process(worker, request, Rc::clone(&cell), peer, https));
    let head = poll_fn(|cx| {
        let mut cell = cell.borrow_mut();
        match cell.head.take() {
            Some(head) => Poll::Ready(head),
            None => {
                cell.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    })
    .await;
    Ok(head.map(|()| end))
}

/// Runs the pipeline for one stream.
async fn process(
    worker: Rc<Worker>,
    request: Request<Incoming>,
    cell: Rc<RefCell<Cell>>,
    peer: Peer,
    https: bool,
) {
    let (parts, incoming) = request.into_parts();
    let mut bytes = Vec::with_capacity(1024);
    let mut head = Head::default();
    head.begin(Version::Http2, 0);
    let target = parts
        .uri
        .path_and_query()
        .map_or("*", |target| target.as_str());
    head.set_request_line(
        &mut bytes,
        parts.method.as_str().as_bytes(),
        target.as_bytes(),
    );
    for (name, value) in &parts.headers {
        head.push_field(&mut bytes, name.as_str().as_bytes(), value.as_bytes());
    }
    let body = match incoming.size_hint().exact() {
        Some(0) => Framing::None,
        Some(length) => Framing::Length(length),
        None => Framing::Chunked,
    };
    let mut record = RequestRecord::new(&worker, peer, Version::Http2);
    let inbound = Inbound {
        head: head.view(&bytes),
        body,
        peer,
        https,
    };
    let plan = pipeline::plan(&worker, &inbound, &mut record);
    let mut stream = H2Stream {
        cell,
        incoming: Some(incoming),
        current: Bytes::new(),
        read: 0,
        limit: worker.config.limits.body,
        head_only: parts.method == http::Method::HEAD,
        response: Response::new(()),
        timer: Timer::default(),
    };
    pipeline::run(&worker, plan, &mut stream, record).await;
}

/// Where the pipeline's response waits for hyper.
#[derive(Debug, Default)]
struct Cell {
    head: Option<Response<()>>,
    declared: Option<u64>,
    data: BytesMut,
    ended: bool,
    broken: bool,
    /// hyper has dropped its end: the client reset the stream or is gone.
    abandoned: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Cell {
    fn wake_reader(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// The response body as hyper sees it.
#[derive(Debug)]
struct CellBody(Rc<RefCell<Cell>>);

/// A response that broke off; hyper resets the stream.
#[derive(Debug, thiserror::Error)]
#[error("the response broke off")]
struct Broken;

impl Body for CellBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let mut cell = self.0.borrow_mut();
        if !cell.data.is_empty() {
            let data = cell.data.split().freeze();
            if let Some(writer) = cell.writer.take() {
                writer.wake();
            }
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if cell.broken {
            return Poll::Ready(Some(Err(Broken)));
        }
        if cell.ended {
            return Poll::Ready(None);
        }
        cell.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        let cell = self.0.borrow();
        cell.ended && !cell.broken && cell.data.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.0
            .borrow()
            .declared
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for CellBody {
    fn drop(&mut self) {
        let mut cell = self.0.borrow_mut();
        cell.abandoned = true;
        if let Some(writer) = cell.writer.take() {
            writer.wake();
        }
    }
}

/// One stream as the pipeline's client.
#[derive(Debug)]
struct H2Stream {
    cell: Rc<RefCell<Cell>>,
    incoming: Option<Incoming>,
    current: Bytes,
    read: u64,
    limit: u64,
    /// The request was `HEAD`: its response ends with its head.
    head_only: bool,
    response: Response<()>,
    timer: Timer,
}

impl Drop for H2Stream {
    fn drop(&mut self) {
        // Whatever was not said to be complete is not.
        let mut cell = self.cell.borrow_mut();
        cell.broken |= !cell.ended;
        cell.wake_reader();
    }
}

impl RequestBody for H2Stream {
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<&[u8], ProxyError>> {
        self.current.clear();
        while let Some(incoming) = &mut self.incoming {
            match ready!(Pin::new(incoming).poll_frame(cx)) {
                None => self.incoming = None,
                Some(Err(_)) => return Poll::Ready(Err(ProxyError::ClientClosed)),
                Some(Ok(frame)) => {
                    self.current = frame.into_data().unwrap_or_default();
                    self.read += self.current.len() as u64;
                    if self.read > self.limit {
                        let limit = self.limit;
                        return Poll::Ready(Err(ProxyError::RequestTooLarge { limit }));
                    }
                    if !self.current.is_empty() {
                        break;
                    }
                }
            }
        }
        Poll::Ready(Ok(&self.current))
    }
}

impl Downstream for H2Stream {
    fn body_read(&self) -> u64 {
        self.read
    }

    fn start_head(&mut self, status: u16) {
        let status = http::StatusCode::from_u16(status);
        *self.response.status_mut() = status.unwrap_or(http::StatusCode::BAD_GATEWAY);
    }

    fn field(&mut self, name: &[u8], value: &[u8]) {
        let parsed = (
            http::HeaderName::from_bytes(name),
            http::HeaderValue::from_bytes(value),
        );
        // What HTTP/1.1 allows and h2 does not is left out.
        if let (Ok(name), Ok(value)) = parsed {
            self.response.headers_mut().append(name, value);
        }
    }

    fn fields<'a>(
        &mut self,
        head: &HeadView<'a>,
        mut keep: impl FnMut(FieldName, &'a [u8], &'a [u8]) -> bool,
    ) {
        for (name, text, value) in head.fields() {
            if keep(name, text, value) {
                self.field(text, value);
            }
        }
    }

    fn end_head(&mut self, framing: Framing) {
        let mut cell = self.cell.borrow_mut();
        if let Framing::Length(length) = framing {
            cell.declared = Some(length);
            let fields = self.response.headers_mut();
            fields.insert(http::header::CONTENT_LENGTH, length.into());
        }
        cell.head = Some(std::mem::take(&mut self.response));
        cell.wake_reader();
    }

    fn refuse_body(&mut self) {
        self.incoming = None;
    }

    fn close_after(&mut self) {
        // A stream ends by itself.
    }

    fn has_room(&self) -> bool {
        self.cell.borrow().data.len() < HIGH_WATER
    }

    fn push(&mut self, data: &[u8]) {
        if self.head_only {
            return;
        }
        let mut cell = self.cell.borrow_mut();
        cell.data.extend_from_slice(data);
        cell.wake_reader();
    }

    fn end(&mut self) {
        let mut cell = self.cell.borrow_mut();
        cell.ended = true;
        cell.wake_reader();
    }

    fn truncate(&mut self) {
        let mut cell = self.cell.borrow_mut();
        cell.broken = true;
        cell.wake_reader();
    }

    fn progress(&self) -> u64 {
        self.cell.borrow().data.len() as u64
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ProxyError>> {
        let mut cell = self.cell.borrow_mut();
        if cell.data.is_empty() || cell.broken {
            return Poll::Ready(Ok(()));
        }
        if cell.abandoned {
            return Poll::Ready(Err(ProxyError::ClientClosed));
        }
        cell.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut cell = self.cell.borrow_mut();
        if cell.abandoned {
            return Poll::Ready(());
        }
        cell.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    fn timer(&mut self) -> &mut Timer {
        &mut self.timer
    }
}

/// A transport with bytes in front that were read for detection.
#[derive(Debug)]
struct Prefixed {
    prefix: Bytes,
    io: Transport,
}

impl tokio::io::AsyncRead for Prefixed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if self.prefix.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let count = self.prefix.len().min(buf.remaining());
        buf.put_slice(&self.prefix.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl tokio::io::AsyncWrite for Prefixed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
