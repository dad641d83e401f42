//! One client connection: TLS if the listener has it, then the HTTP version it
//! asks for, then requests through the [`crate::pipeline`].

pub mod h1;
pub mod h1_stream;
pub mod h2;
mod half_close;
pub mod peer;
mod records;
pub mod timer;
pub mod transport;
pub mod write_buffer;

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{sleep_until, timeout};
use tokio_rustls::{Accept, StartHandshake, TlsStream};

use crate::drain::Draining;
use crate::http1::ReadBuffer;
use crate::tls::Acceptor;
use crate::worker::Worker;
use h1_stream::H1Stream;
use peer::Peer;
use transport::{Socket, Transport};

/// What an h2 client with prior knowledge sends first (RFC 9113 section 3.4).
const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a connection reads into at first, in bytes.
pub const INPUT: usize = 4 * 1024;
/// How long a client has that cannot know yet that the proxy is stopping, and may have sent a request: on a new connection, or
/// after an answer that did not say so.
const PARTING: Duration = Duration::from_secs(1);

/// Runs hyper's h2 tasks on the worker's own thread.
#[derive(Debug, Clone, Copy)]
pub struct LocalExecutor;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        drop(tokio::task::spawn_local(future));
    }
}

/// Serves a connection that has just been accepted.
pub async fn serve(worker: Rc<Worker>, stream: TcpStream, peer: SocketAddr, tls: Option<Acceptor>) {
    let _guard = worker.enter_connection();
    let _enrolled = worker.enroll().await;
    let peer = Peer::new(peer.ip());
    let Ok(socket) = Socket::new(stream) else {
        return;
    };
    match tls {
        None => serve_plain(worker, socket, ReadBuffer::new(INPUT), peer).await,
        Some(acceptor) => serve_encrypted(worker, acceptor.accept(socket), peer).await,
    }
}

/// A connection that another thread has begun with.
#[derive(Debug)]
pub enum Begun {
    /// Without TLS; of the first request that much has been read.
    Plain(Socket, ReadBuffer),
    /// With TLS of which nothing has been read.
    Accepted(Socket, Acceptor),
    /// The client has said hello.
    Hello(Box<StartHandshake<Socket>>, Acceptor),
    /// The handshake is complete; of the first request that much has been read.
    Tls(Box<TlsStream<Socket>>, ReadBuffer),
}

/// Serves the rest of a connection that another thread has begun with.
pub async fn resume(worker: Rc<Worker>, mut begun: Begun, peer: Peer) {
    let _guard = worker.enter_connection();
    let _enrolled = worker.enroll().await;
    let socket = match &mut begun {
        Begun::Plain(socket, _) | Begun::Accepted(socket, _) => socket,
        Begun::Hello(hello, _) => &mut hello.io,
        Begun::Tls(stream, _) => stream.get_mut().0,
    };
    if let Err(error) = socket.adopt() {
        tracing::warn!(%error, "a connection cannot be handed over");
        return;
    }
    let handshake = match begun {
        Begun::Plain(socket, input) => return serve_plain(worker, socket, input, peer).await,
        Begun::Tls(stream, input) => return serve_tls(worker, stream, input, peer).await,
        Begun::Accepted(socket, acceptor) => acceptor.accept(socket),
        Begun::Hello(hello, acceptor) => acceptor.resume(*hello),
    };
    serve_encrypted(worker, handshake, peer).await;
}

async fn serve_plain(worker: Rc<Worker>, socket: Socket, mut input: ReadBuffer, peer: Peer) {
    let mut io = Transport::Plain(socket);
    let detected = tokio::select! {
        detected = detect(&worker, &mut io, &mut input) => detected,
        // A connection that has said nothing holds nobody up.
        () = unasked(&worker) => None,
        () = worker.drain.hurried() => None,
    };
    match detected {
        // Apart, so that HTTP/1.1 does not pay for its size.
        Some(true) => Box::pin(h2::serve(worker, io, input.take(), peer, false)).await,
        Some(false) => h1::serve(worker, H1Stream::new(io, peer, input), false).await,
        None => {}
    }
}

/// When a connection closes on which nothing was asked: when the drain begins, but not within [`PARTING`] of its own
/// beginning, because its first request may be on its way.
fn unasked(worker: &Worker) -> Draining {
    let (draining, end) = (worker.drain.wait(), worker.now() + PARTING);
    Box::pin(async move {
        draining.await;
        sleep_until(end).await;
    })
}

/// Whether the client speaks h2; `None` if it says nothing.
async fn detect(worker: &Worker, io: &mut Transport, input: &mut ReadBuffer) -> Option<bool> {
    if input.is_empty() {
        let first = poll_fn(|cx| input.poll_fill(cx, io, INPUT));
        match timeout(worker.live().timeouts.client_idle, first).await {
            Ok(Ok(count)) if count > 0 => {}
            _ => return None,
        }
    }
    match timeout(worker.live().timeouts.client_header, has_preface(io, input)).await {
        Ok(detected) => detected,
        // Something that might have become a preface: HTTP/1.1 gives the answer.
        Err(_) => Some(false),
    }
}

async fn serve_encrypted(worker: Rc<Worker>, handshake: Accept<Socket>, peer: Peer) {
    let stream = match timeout(worker.live().timeouts.client_header, handshake).await {
        Ok(Ok(stream)) => Box::new(TlsStream::Server(stream)),
        Ok(Err(error)) => {
            tracing::debug!(%peer, %error, "TLS handshake with a client failed");
            return;
        }
        Err(_) => {
            tracing::debug!(%peer, "TLS handshake with a client timed out");
            return;
        }
    };
    serve_tls(worker, stream, ReadBuffer::new(INPUT), peer).await;
}

async fn serve_tls(
    worker: Rc<Worker>,
    stream: Box<TlsStream<Socket>>,
    mut input: ReadBuffer,
    peer: Peer,
) {
    let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let io = Transport::Tls(stream);
    if h2 {
        Box::pin(h2::serve(worker, io, input.take(), peer, true)).await;
    } else {
        h1::serve(worker, H1Stream::new(io, peer, input), true).await;
    }
}

/// Reads until it is clear whether the client begins with h2's preface; `None`
/// if it closed before.
async fn has_preface(io: &mut Transport, input: &mut ReadBuffer) -> Option<bool> {
    poll_fn(|cx| {
        loop {
            let seen = input.filled().len().min(H2_PREFACE.len());
            if !H2_PREFACE.starts_with(input.filled().get(..seen).unwrap_or_default()) {
                return Poll::Ready(Some(false));
            }
            if seen == H2_PREFACE.len() {
                return Poll::Ready(Some(true));
            }
            match std::task::ready!(input.poll_fill(cx, io, 64 * 1024)) {
                Ok(count) if count > 0 => {}
                _ => return Poll::Ready(None),
            }
        }
    })
    .await
}
