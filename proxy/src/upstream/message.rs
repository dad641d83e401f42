//! A request as bytes for an HTTP/1.1 connection, kept from its first byte on for as long as it may have to be sent again.
//!
//! Also what h2 is made from, and what is changed when another upstream or another key gets the request.

use crate::http1::chunked::{Chunk, ChunkedDecoder};
use crate::http1::{Framing, Guarded, Head, HeadView, encode};

/// A request's head and what has come of its body, framed.
#[derive(Debug, Default)]
pub struct Message {
    /// All of it.
    pub bytes: Guarded,
    /// Where the body begins.
    pub head_len: usize,
    /// How the body is framed.
    pub framing: Framing,
    /// Bytes of the body pulled from the client.
    pub pulled: u64,
    /// Whether that is all of it.
    pub is_complete: bool,
    /// Bytes of it that may be kept.
    pub keep: usize,
}

impl Message {
    /// A request of which only the head is there.
    pub fn new(head: Guarded, framing: Framing, keep: usize) -> Self {
        Self {
            head_len: head.len(),
            bytes: head,
            framing,
            pulled: 0,
            is_complete: framing == Framing::None,
            keep,
        }
    }

    /// Adds bytes of the body; none are its end.
    pub fn append(&mut self, data: &[u8]) {
        frame(&mut self.bytes, self.framing, data);
        self.is_complete = data.is_empty();
        self.pulled += data.len() as u64;
    }

    /// The same without its bytes, which go elsewhere.
    pub(super) fn split(mut self) -> (Guarded, Self) {
        let bytes = std::mem::take(&mut self.bytes);
        (bytes, self)
    }

    /// The head alone. What has been pulled stays pulled.
    pub(super) fn without_body(mut self) -> Self {
        self.bytes.truncate(self.head_len);
        self
    }

    /// Calls `with` with the parsed head.
    ///
    /// # Errors
    /// If it is none, which one that this proxy has written always is.
    pub fn with_head<R>(&self, with: impl FnOnce(HeadView<'_>) -> R) -> Result<R, NoHead> {
        let bytes = self.bytes.bytes();
        let mut head = Head::default();
        match head.parse_request(bytes, 0) {
            Ok(Some(end)) if end == self.head_len => Ok(with(head.view(bytes))),
            _ => Err(NoHead),
        }
    }

    /// The body without its framing, as far as it has come.
    pub fn body(&self) -> Vec<u8> {
        let framed = self.bytes.bytes().get(self.head_len..).unwrap_or_default();
        if self.framing != Framing::Chunked {
            return framed.to_vec();
        }
        let (mut decoder, mut body, mut at) = (ChunkedDecoder::default(), Vec::new(), 0);
        // Written by this proxy, so there is nothing to be refused.
        while let Ok(Chunk::Data { skip, len }) = decoder.next(framed.get(at..).unwrap_or_default())
        {
            let data = framed.get(at + skip..at + skip + len);
            body.extend_from_slice(data.unwrap_or_default());
            decoder.taken(len);
            at += skip + len;
        }
        body
    }
}

/// Appends bytes of a body that is framed so; none are its end.
#[inline]
pub(super) fn frame(out: &mut Guarded, framing: Framing, data: &[u8]) {
    let out = out.reserve(data.len() + encode::CHUNK_OVERHEAD);
    match framing {
        Framing::Chunked if data.is_empty() => encode::last_chunk(out),
        Framing::Chunked => encode::chunk(out, data),
        _ => out.extend_from_slice(data),
    }
}

/// A request's head that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoHead;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_the_same_however_it_is_framed() {
        for framing in [Framing::Length(10), Framing::Chunked] {
            let mut head = Guarded::default();
            head.extend(b"POST / HTTP/1.1\r\nhost: a\r\n\r\n");
            let mut message = Message::new(head, framing, 1024);
            assert!(message.body().is_empty());
            for piece in [&b"0123"[..], b"456789", b""] {
                message.append(piece);
            }
            assert_eq!(message.body(), b"0123456789");
            assert!(message.is_complete && message.pulled == 10);
            let host =
                message.with_head(|head| head.field(crate::http1::FieldName::Host).is_some());
            assert_eq!(host, Ok(true));
        }
    }
}
