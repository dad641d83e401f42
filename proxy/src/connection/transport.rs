//! A TCP connection with or without TLS, for both sides of the proxy.

use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use super::records::Records;

/// A TCP socket that counts what the kernel took and gave.
///
/// Below TLS, this is the only place that knows whether a request left at all, and where in
/// the stream a response began.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
    written: u64,
    received: u64,
    cookie: u64,
    records: Option<Box<Records>>,
}

impl Socket {
    /// Wraps a connected socket and turns Nagle's algorithm off: heads and
    /// chunks are written whole, and must leave at once.
    ///
    /// # Errors
    /// If the socket option cannot be set, as on a socket already reset.
    pub fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            written: 0,
            received: 0,
            cookie: 0,
            records: None,
        })
    }

    /// Takes over a connection that began on another thread: from here on the calling thread's runtime tells when it
    /// can be read.
    ///
    /// # Errors
    /// If there is no descriptor to spare.
    pub fn adopt(&mut self) -> io::Result<()> {
        let descriptor = self.stream.as_fd().try_clone_to_owned()?;
        // The other runtime forgets the old one when it is dropped here.
        self.stream = TcpStream::from_std(descriptor.into())?;
        Ok(())
    }

    /// Says that the kernel programs follow this socket under `cookie`; with `tls`, that it will
    /// carry TLS, of which the first response is to be found (see `records.rs`).
    pub fn followed(&mut self, cookie: u64, tls: bool) {
        self.cookie = cookie;
        self.records = (tls && cookie != 0).then(Box::default);
    }

    /// Reads up to the end of a TLS record at most.
    fn poll_read_record(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(records) = &mut self.records else {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        };
        let room = records.room().min(buf.remaining());
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(room));
        std::task::ready!(Pin::new(&mut self.stream).poll_read(cx, &mut part))?;
        records.read(part.filled());
        let count = part.filled().len();
        buf.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Socket {
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = if self.records.is_some() {
            self.poll_read_record(cx, buf)
        } else {
            Pin::new(&mut self.stream).poll_read(cx, buf)
        };
        self.received += (buf.filled().len() - before) as u64;
        result
    }
}

impl AsyncWrite for Socket {
    #[inline]
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, buf);
        if let Poll::Ready(Ok(count)) = result {
            self.written += count as u64;
        }
        result
    }

    #[inline]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // rustls hands over one record for a small message; `send` costs less
        // than `writev` then.
        let result = match bufs {
            [one] => Pin::new(&mut self.stream).poll_write(cx, one),
            many => Pin::new(&mut self.stream).poll_write_vectored(cx, many),
        };
        if let Poll::Ready(Ok(count)) = result {
            self.written += count as u64;
        }
        result
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A plain or encrypted connection.
#[derive(Debug)]
pub enum Transport {
    /// TCP.
    Plain(Socket),
    /// TLS over TCP, as client or as server.
    Tls(Box<TlsStream<Socket>>),
}

impl Transport {
    fn socket(&self) -> &Socket {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }

    /// Bytes the kernel has taken from us, TLS framing included.
    pub fn written(&self) -> u64 {
        self.socket().written
    }

    /// Bytes the kernel has given us, TLS framing included.
    pub fn received(&self) -> u64 {
        self.socket().received
    }

    /// The socket's name in the kernel; 0 if no program follows it.
    pub fn cookie(&self) -> u64 {
        self.socket().cookie
    }

    /// After the first plaintext has come: where the TLS record with it begins, if reads were cut
    /// for that. From here on they no longer are.
    pub fn first_record(&mut self) -> Option<u64> {
        let socket = match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => match &mut **stream {
                TlsStream::Client(stream) => stream.get_mut().0,
                TlsStream::Server(stream) => stream.get_mut().0,
            },
        };
        Some(socket.records.take()?.start())
    }

    /// Has the connection end with a reset when it is dropped, and what waits to be sent forgotten.
    ///
    /// # Errors
    /// The system's.
    pub fn abort(&self) -> io::Result<()> {
        self.tcp().set_zero_linger()
    }

    /// The TCP socket below.
    pub fn tcp(&self) -> &TcpStream {
        &self.socket().stream
    }
}

impl AsyncRead for Transport {
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Transport {
    #[inline]
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(socket) => Pin::new(socket).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    #[inline]
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
