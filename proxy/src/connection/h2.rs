//! Serves one h2 client connection with hyper.
//!
//! hyper wants a response it can pull from; the pipeline pushes into a
//! [`Downstream`](crate::downstream::Downstream). The two meet in a small
//! exchange cell on one thread (`response`): the pipeline runs as a task of
//! its own, hyper polls the other end.

mod idle;
mod prefixed;
mod request;
mod response;
mod stream;

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use http::request::Parts;
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};

use self::idle::{Idle, IdleLimit, Streams};
use self::prefixed::Prefixed;
use self::request::RequestHead;
use self::response::{Broken, Cell, ResponseBody};
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
    let decoded_at_most = request::decoded_at_most(worker.live().limits.headers);
    let streams = Streams::new();
    let mut idle = IdleLimit::new(Rc::clone(&streams), worker.live().timeouts.client_idle);
    let service =
        service_fn(move |request| respond(Rc::clone(&worker), &streams, request, peer, https));
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
        if let Poll::Ready(end) = connection.as_mut().poll(cx) {
            return Poll::Ready(end);
        }
        while let Poll::Ready(idle) = idle.poll(cx) {
            match idle {
                Idle::Leave => connection.as_mut().graceful_shutdown(),
                Idle::Cut => return Poll::Ready(Ok(())),
            }
            // Sends the GOAWAY, and ends at once where that is all there is to do.
            if let Poll::Ready(end) = connection.as_mut().poll(cx) {
                return Poll::Ready(end);
            }
        }
        Poll::Pending
    })
    .await;
    if let Err(error) = result {
        tracing::debug!(%peer, %error, "an h2 client connection ended");
    }
}

/// Starts the pipeline for one stream; ready when it has made a response head.
fn respond(
    worker: Rc<Worker>,
    streams: &Rc<Streams>,
    request: Request<Incoming>,
    peer: Peer,
    https: bool,
) -> impl Future<Output = Result<Response<ResponseBody>, Broken>> + use<> {
    let cell = Rc::new(RefCell::new(Cell::new(streams.open())));
    let end = ResponseBody(Rc::clone(&cell));
    let (parts, incoming) = request.into_parts();
    let body = framing(&incoming);
    let head_only = parts.method == http::Method::HEAD;
    // Made here, so that however the pipeline's task ends, the response does, too.
    let stream = H2Stream::new(cell, incoming, worker.live().limits.body, head_only);
    let arrived = Arrived {
        parts,
        body,
        peer,
        https,
    };
    tokio::task::spawn_local(process(worker, arrived, stream));
    end.head()
}

/// How long hyper says that a request body is.
fn framing(incoming: &Incoming) -> Framing {
    match incoming.size_hint().exact() {
        Some(0) => Framing::None,
        Some(length) => Framing::Length(length),
        None => Framing::Chunked,
    }
}

/// What is known of a request when its stream begins.
struct Arrived {
    parts: Parts,
    body: Framing,
    peer: Peer,
    https: bool,
}

/// Runs the pipeline for one stream.
async fn process(worker: Rc<Worker>, arrived: Arrived, mut stream: H2Stream) {
    let _enrolled = worker.enroll().await;
    let Arrived { parts, peer, .. } = &arrived;
    let mut record = RequestRecord::new(&worker, *peer, Version::Http2);
    let head = match RequestHead::new(parts, worker.live().limits.headers) {
        Ok(head) => head,
        Err(error) => {
            let dialect = route::dialect_of_unknown(request::target(parts).as_bytes());
            pipeline::refuse(&worker, &mut stream, record, error, dialect).await;
            return;
        }
    };
    let inbound = Inbound {
        head: head.view(),
        body: arrived.body,
        peer: *peer,
        https: arrived.https,
    };
    let plan = pipeline::plan(&worker, &inbound, &mut record);
    pipeline::run(&worker, plan, &mut stream, record).await;
}
