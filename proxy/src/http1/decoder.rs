//! Takes a body out of a read buffer, whatever its framing.

use super::buffer::ReadBuffer;
use super::chunked::{Chunk, ChunkError, ChunkedDecoder};
use super::framing::Framing;

/// What a body reader found at the front of the buffer.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// This many bytes of data stand at the front of the buffer.
    Data(usize),
    /// More input is needed.
    NeedMore,
    /// The body is complete.
    End,
}

/// Where in a body the reader stands.
#[derive(Debug)]
pub enum BodyDecoder {
    /// Bytes left of a known length; 0 is the end.
    Length(u64),
    /// Chunked coding.
    Chunked(ChunkedDecoder),
    /// All bytes until the connection ends.
    UntilClose,
}

impl BodyDecoder {
    /// A reader at the start of a body.
    pub fn new(framing: Framing) -> Self {
        match framing {
            Framing::None => Self::Length(0),
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(ChunkedDecoder::default()),
            Framing::UntilClose => Self::UntilClose,
        }
    }

    /// Drops framing from the buffer and says what follows.
    ///
    /// # Errors
    /// A malformed chunked body.
    pub fn next(&mut self, buffer: &mut ReadBuffer) -> Result<Piece, ChunkError> {
        let waiting = buffer.filled().len();
        match self {
            Self::Length(0) => Ok(Piece::End),
            Self::Length(_) | Self::UntilClose if waiting == 0 => Ok(Piece::NeedMore),
            Self::Length(left) => Ok(Piece::Data(
                waiting.min(usize::try_from(*left).unwrap_or(usize::MAX)),
            )),
            Self::UntilClose => Ok(Piece::Data(waiting)),
            Self::Chunked(decoder) => match decoder.next(buffer.filled())? {
                Chunk::NeedMore { skip } => {
                    buffer.consume(skip);
                    Ok(Piece::NeedMore)
                }
                Chunk::Data { skip, len } => {
                    buffer.consume(skip);
                    Ok(Piece::Data(len))
                }
                Chunk::End { skip } => {
                    buffer.consume(skip);
                    Ok(Piece::End)
                }
            },
        }
    }

    /// Takes `count` bytes of the data last announced out of the buffer.
    pub fn consume(&mut self, buffer: &mut ReadBuffer, count: usize) {
        buffer.consume(count);
        match self {
            Self::Length(left) => *left = left.saturating_sub(count as u64),
            Self::Chunked(decoder) => decoder.taken(count),
            Self::UntilClose => {}
        }
    }

    /// Whether the end of the connection is the end of this body.
    pub const fn ends_with_connection(&self) -> bool {
        matches!(self, Self::UntilClose)
    }

    /// Whether the body is complete, as far as the decoder has been asked.
    pub const fn is_done(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(decoder) => decoder.is_done(),
            Self::UntilClose => false,
        }
    }
}
