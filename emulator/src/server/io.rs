//! The transport of a connection as hyper wants it: shared, so that a fault can take it back, and
//! counting the bytes that pass.
//!
//! `server/connection.rs` keeps one handle and gives hyper the other.

use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use hyper::rt::ReadBufCursor;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::server::Shared;

/// One TLS record of payload; larger reads gain nothing.
const SCRATCH: usize = 16 << 10;

/// A byte stream over TCP whose socket can be reached for options.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// The socket below.
    fn tcp(&self) -> &TcpStream;
}

impl Transport for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Transport for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// A handle to a transport. One task at a time uses it, so the lock is never contended.
pub(crate) struct SharedIo<T> {
    inner: Arc<Mutex<Inner<T>>>,
    shared: Arc<Shared>,
}

struct Inner<T> {
    transport: T,
    /// hyper's read buffer may be uninitialized, which only unsafe code could fill in place.
    scratch: Box<[u8]>,
}

impl<T: Transport> SharedIo<T> {
    pub(crate) fn new(transport: T, shared: &Arc<Shared>) -> Self {
        let scratch = vec![0; SCRATCH].into_boxed_slice();
        Self {
            inner: Arc::new(Mutex::new(Inner { transport, scratch })),
            shared: Arc::clone(shared),
        }
    }

    pub(crate) fn another(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            shared: Arc::clone(&self.shared),
        }
    }

    /// From now on closing the socket sends RST instead of FIN.
    pub(crate) fn reset_on_close(&self) {
        reset_on_close(self.lock().transport.tcp());
    }

    /// Whether the socket has bytes that nobody has read.
    pub(crate) fn has_unread(&self) -> bool {
        let inner = self.lock();
        let socket = socket2::SockRef::from(inner.transport.tcp());
        let mut byte = [std::mem::MaybeUninit::uninit()];
        socket.peek(&mut byte).is_ok_and(|count| count > 0)
    }

    /// Ends both directions, unless somebody else has the transport now. Whether bytes are left that nobody will read: what
    /// comes from here on is not acknowledged.
    pub(crate) fn ends_unread(&self) -> bool {
        if Arc::strong_count(&self.inner) > 1 {
            return false;
        }
        let inner = self.lock();
        // One that the other side has reset has no directions left.
        let _ended = socket2::SockRef::from(inner.transport.tcp()).shutdown(Shutdown::Both);
        drop(inner);
        self.has_unread()
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sent(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(n)) = result {
            self.shared.counters.bytes_sent.add(n as u64);
        }
        result
    }
}

/// `SO_LINGER` with time 0. A socket that refuses it is dead already.
pub(crate) fn reset_on_close(tcp: &TcpStream) {
    let _refused = socket2::SockRef::from(tcp).set_linger(Some(std::time::Duration::ZERO));
}

impl<T: Transport> hyper::rt::Read for SharedIo<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut inner = self.lock();
        let Inner { transport, scratch } = &mut *inner;
        let room = buf.remaining().min(scratch.len());
        let mut read = ReadBuf::new(&mut scratch[..room]);
        ready!(Pin::new(transport).poll_read(cx, &mut read))?;
        let bytes = read.filled();
        self.shared.counters.bytes_received.add(bytes.len() as u64);
        buf.put_slice(bytes);
        Poll::Ready(Ok(()))
    }
}

impl<T: Transport> hyper::rt::Write for SharedIo<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.lock().transport).poll_write(cx, buf);
        self.sent(result)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.lock().transport).poll_write_vectored(cx, bufs);
        self.sent(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.lock().transport.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.lock().transport).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.lock().transport).poll_shutdown(cx)
    }
}

/// For the raw bytes of `fault/wire.rs`.
impl<T: Transport> AsyncWrite for SharedIo<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        hyper::rt::Write::poll_write(self, cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        hyper::rt::Write::poll_flush(self, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        hyper::rt::Write::poll_shutdown(self, cx)
    }
}
