//! The chunked transfer coding, RFC 9112 section 7.1, decoded in place.
//!
//! Strict where leniency has been used for smuggling: a size line ends in
//! CRLF, a size is hexadecimal digits only, data ends in CRLF. Extensions and
//! trailer fields are read, bounded and dropped.

/// The longest size line, extensions included.
const MAX_SIZE_LINE: usize = 1024;
/// The most bytes of trailer fields.
const MAX_TRAILERS: usize = 16 * 1024;
/// Framing allowed before the ratio counts, and framing allowed for each byte
/// of data; chunks of one byte need five.
const FREE_FRAMING: u64 = 64 * 1024;
const FRAMING_PER_BYTE: u64 = 16;
/// The longest size: 15 hexadecimal digits cannot overflow.
const MAX_SIZE_DIGITS: usize = 15;

/// Bytes that are not a chunked body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ChunkError(pub &'static str);

/// What stands at the front of the input.
#[derive(Debug, PartialEq, Eq)]
pub enum Chunk {
    /// Drop `skip` bytes of framing, then more input is needed.
    NeedMore {
        /// Framing bytes to drop.
        skip: usize,
    },
    /// Drop `skip` bytes, then `len` bytes of data are there.
    Data {
        /// Framing bytes to drop.
        skip: usize,
        /// Data bytes that follow, not more than the input holds.
        len: usize,
    },
    /// Drop `skip` bytes; the body is complete.
    End {
        /// Framing bytes to drop.
        skip: usize,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size,
    Data(u64),
    DataEnd,
    Trailers,
    Done,
}

/// Where in a chunked body the reader stands.
#[derive(Debug)]
pub struct ChunkedDecoder {
    state: State,
    trailer_bytes: usize,
    /// Bytes spent on framing, and bytes of data: their ratio is bounded, or
    /// a body within its limit could be sent in a thousand times as many bytes.
    framing: u64,
    data: u64,
}

impl Default for ChunkedDecoder {
    fn default() -> Self {
        Self {
            state: State::Size,
            trailer_bytes: 0,
            framing: 0,
            data: 0,
        }
    }
}

impl ChunkedDecoder {
    /// Looks at `input` and says what stands at its front. The caller drops
    /// `skip` bytes, and reports data it took with [`ChunkedDecoder::taken`].
    ///
    /// # Errors
    /// Anything that is not the coding, or beyond its bounds.
    pub fn next(&mut self, input: &[u8]) -> Result<Chunk, ChunkError> {
        let mut skip = 0;
        loop {
            let rest = input.get(skip..).unwrap_or_default();
            match self.state {
                State::Data(left) => {
                    let len = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    return Ok(match len {
                        0 => Chunk::NeedMore { skip },
                        len => Chunk::Data { skip, len },
                    });
                }
                State::Size => match line(rest, MAX_SIZE_LINE)? {
                    None => return Ok(Chunk::NeedMore { skip }),
                    Some(text) => {
                        skip += text.len() + 2;
                        self.spend(text.len() as u64 + 4)?;
                        self.state = match size(text)? {
                            0 => State::Trailers,
                            size => State::Data(size),
                        };
                    }
                },
                State::DataEnd => {
                    match rest {
                        [b'\r', b'\n', ..] => {}
                        [] | [b'\r'] => return Ok(Chunk::NeedMore { skip }),
                        _ => return Err(ChunkError("chunk data does not end in CRLF")),
                    }
                    skip += 2;
                    self.state = State::Size;
                }
                State::Trailers => match line(rest, MAX_TRAILERS)? {
                    None => return Ok(Chunk::NeedMore { skip }),
                    Some(text) => {
                        skip += text.len() + 2;
                        self.trailer_bytes += text.len() + 2;
                        if text.is_empty() {
                            self.state = State::Done;
                        } else if self.trailer_bytes > MAX_TRAILERS {
                            return Err(ChunkError("trailer fields are too long"));
                        }
                    }
                },
                State::Done => return Ok(Chunk::End { skip }),
            }
        }
    }

    /// Reports that `count` bytes of the data last announced were taken.
    pub fn taken(&mut self, count: usize) {
        if let State::Data(left) = self.state {
            let left = left.saturating_sub(count as u64);
            self.data += count as u64;
            self.state = match left {
                0 => State::DataEnd,
                left => State::Data(left),
            };
        }
    }

    fn spend(&mut self, framing: u64) -> Result<(), ChunkError> {
        self.framing += framing;
        if self.framing > FREE_FRAMING + self.data * FRAMING_PER_BYTE {
            return Err(ChunkError("far more framing than data"));
        }
        Ok(())
    }

    /// Whether the body is complete.
    pub const fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }
}

/// The first line of `input` without its CRLF, if it is complete.
fn line(input: &[u8], max: usize) -> Result<Option<&[u8]>, ChunkError> {
    let Some(end) = memchr::memchr(b'\n', input) else {
        if input.len() > max {
            return Err(ChunkError("a chunk size or trailer line is too long"));
        }
        return Ok(None);
    };
    if end > max {
        return Err(ChunkError("a chunk size or trailer line is too long"));
    }
    match input.get(..end) {
        Some([text @ .., b'\r']) if text.contains(&b'\r') => Err(ChunkError(
            "a carriage return inside a line of a chunked body",
        )),
        Some([text @ .., b'\r']) => Ok(Some(text)),
        _ => Err(ChunkError("a line of a chunked body ends in LF without CR")),
    }
}

fn trim_blanks(mut text: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

fn size(line: &[u8]) -> Result<u64, ChunkError> {
    const INVALID: ChunkError = ChunkError("invalid chunk size");
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
    // RFC 9112 section 7.1.1 allows bad white space before an extension only.
    let digits = match digits {
        [digits @ .., b' ' | b'\t'] if digits.len() + 1 < line.len() => trim_blanks(digits),
        digits => digits,
    };
    if digits.is_empty() || digits.len() > MAX_SIZE_DIGITS {
        return Err(INVALID);
    }
    digits.iter().try_fold(0_u64, |sum, digit| {
        char::from(*digit)
            .to_digit(16)
            .map(|value| sum * 16 + u64::from(value))
            .ok_or(INVALID)
    })
}

#[cfg(test)]
mod tests;
