//! An h2 client: hyper's, driven on a thread of its own so that tests can block.

use std::collections::VecDeque;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::JoinHandle;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;

use super::SOON;

pub(crate) type Body = BoxBody<Bytes, std::io::Error>;

/// An h2 connection.
pub(crate) struct H2 {
    sender: SendRequest<Body>,
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A body that is there.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed()
}

/// A body of unknown length in pieces that are there.
pub(crate) fn pieces(pieces: Vec<Bytes>) -> Body {
    Pieces(pieces.into()).boxed()
}

struct Pieces(VecDeque<Bytes>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }
}

/// A request to the proxy.
pub(crate) fn request(method: &str, path: &str, body: Body) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(format!("http://proxy.test{path}"))
        .body(body)
        .unwrap()
}

impl H2 {
    /// With prior knowledge.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::open(async move {
            let stream = TcpStream::connect(address).await.unwrap();
            handshake(stream).await
        })
    }

    /// With TLS and ALPN.
    pub(crate) fn connect_tls(address: SocketAddr, config: Arc<ClientConfig>) -> Self {
        Self::open(async move {
            let stream = TcpStream::connect(address).await.unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            let stream = TlsConnector::from(config).connect(name, stream).await;
            let stream = stream.unwrap();
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
            handshake(stream).await
        })
    }

    fn open(connect: impl Future<Output = SendRequest<Body>> + Send + 'static) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            // Stopped, or forgotten: the same.
            let _ = runtime.block_on(stopped);
        });
        let sender = handle.block_on(connect);
        Self {
            sender,
            handle,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Runs something on the connection's runtime, for [`SOON`] at the longest.
    #[track_caller]
    pub(crate) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.handle
            .block_on(async { tokio::time::timeout(SOON, future).await.unwrap() })
    }

    /// Sends a request without waiting for anything.
    pub(crate) fn start(
        &self,
        request: Request<Body>,
    ) -> impl Future<Output = hyper::Result<Response<Incoming>>> + use<> {
        self.sender.clone().send_request(request)
    }

    /// Sends a request and waits for the head of its response.
    #[track_caller]
    pub(crate) fn send(&self, request: Request<Body>) -> hyper::Result<Response<Incoming>> {
        self.run(self.start(request))
    }

    /// Sends a request and waits for its whole response.
    #[track_caller]
    pub(crate) fn exchange(&self, request: Request<Body>) -> Response<Bytes> {
        let (parts, body) = self.send(request).unwrap().into_parts();
        let body = self.run(body.collect()).unwrap();
        Response::from_parts(parts, body.to_bytes())
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Response<Bytes> {
        self.exchange(request("GET", path, full("")))
    }

    #[track_caller]
    pub(crate) fn post(&self, path: &str, body: impl Into<Bytes>) -> Response<Bytes> {
        self.exchange(request("POST", path, full(body)))
    }
}

impl Drop for H2 {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _joined = thread.join();
        }
    }
}

async fn handshake<T>(stream: T) -> SendRequest<Body>
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}
