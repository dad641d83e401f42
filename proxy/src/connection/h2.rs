//! Serves one h2 client connection with hyper.
//!
//! hyper wants a response it can pull from; the pipeline pushes into a
//! [`Downstream`](crate::downstream::Downstream). The two meet in a small
//! exchange cell on one thread ([`response`]): the pipeline runs as a task of
//! its own, hyper polls the other end.

mod prefixed;
mod request;
mod response;
mod stream;

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};

use self::prefixed::Prefixed;
use self::request::RequestHead;
use self::response::{Cell, ResponseBody};
use self::stream::H2Stream;
use super::LocalExecutor;
use super::peer::Peer;
use super::transport::Transport;
use crate::account::RequestRecord;
use crate::http1::{Framing, head::Version};
use crate::pipeline::{self, Inbound};
use crate::route;
use crate::worker::Worker;

/// Streams a client may open at once; nginx' and Envoy's order of size.
const MAX_STREAMS: u32 = 256;

/// Serves streams until either side ends the connection. `received` has been
/// read already.
pub async fn serve(worker: Rc<Worker>, io: Transport, received: Vec<u8>, peer: Peer, https: bool) {
    let io = TokioIo::new(Prefixed {
        prefix: Bytes::from(received),
        io,
    });
    let mut draining = worker.drain.wait();
    let decoded_at_most = request::decoded_at_most(worker.config.limits.headers);
    let service = service_fn(move |request| respond(Rc::clone(&worker), request, peer, https));
    let connection = hyper::server::conn::http2::Builder::new(LocalExecutor)
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(decoded_at_most)
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
) -> Result<Response<ResponseBody>, Infallible> {
    let cell = Rc::new(RefCell::new(Cell::default()));
    let end = ResponseBody(Rc::clone(&cell));
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
    let body = match incoming.size_hint().exact() {
        Some(0) => Framing::None,
        Some(length) => Framing::Length(length),
        None => Framing::Chunked,
    };
    let head_only = parts.method == http::Method::HEAD;
    let limits = worker.config.limits;
    let mut record = RequestRecord::new(&worker, peer, Version::Http2);
    let mut stream = H2Stream::new(cell, incoming, limits.body, head_only);
    let head = match RequestHead::new(&parts, limits.headers) {
        Ok(head) => head,
        Err(error) => {
            let dialect = route::dialect_of_unknown(request::target(&parts).as_bytes());
            pipeline::refuse(&worker, &mut stream, record, error, dialect).await;
            return;
        }
    };
    let inbound = Inbound {
        head: head.view(),
        body,
        peer,
        https,
    };
    let plan = pipeline::plan(&worker, &inbound, &mut record);
    pipeline::run(&worker, plan, &mut stream, record).await;
}
