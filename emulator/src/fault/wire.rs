//! What is written to a connection taken away from hyper: bytes that are not HTTP.
//!
//! `server/connection.rs` calls [`write`] with the transport (inside TLS, if any) once
//! `exchange.rs` has ordered it.

use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::Malformation;

/// A DATA frame on stream 0: 4 bytes of payload, no flags.
const DATA_ON_STREAM_ZERO: &[u8] = b"\x00\x00\x04\x00\x00\x00\x00\x00\x00oops";

/// The bytes sent for a malformation in the given protocol.
pub(crate) fn bytes(kind: Malformation, http2: bool) -> &'static [u8] {
    if http2 {
        return DATA_ON_STREAM_ZERO;
    }
    match kind {
        Malformation::StatusLine => b"HTTP/1.1 banana\r\ncontent-length: 2\r\n\r\n{}",
        Malformation::ChunkSize => {
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
              transfer-encoding: chunked\r\n\r\nxyz\r\n{}\r\n0\r\n\r\n"
        }
        // Read by its chunks the body is `{}`; read by its length it swallows the last chunk.
        Malformation::LengthAndChunked => {
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 12\r\n\
              transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
        }
    }
}

/// Writes `bytes` and closes. The peer may be gone already; that is no concern of a fault.
pub(crate) async fn write<W: AsyncWrite + Unpin>(transport: &mut W, bytes: &[u8]) {
    if transport.write_all(bytes).await.is_ok() {
        let _closed = transport.shutdown().await;
    }
}
