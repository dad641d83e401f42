//! Finds the end of an HTTP/1.1 body, by `content-length` or by chunks.
//!
//! Used on both ends of the rig: [`crate::upstream`] skips request bodies
//! with it, [`crate::load`] measures response bodies with it. Nothing is
//! copied; the caller keeps what was not consumed in its own buffer.

use anyhow::{Context, Result, bail, ensure};

/// The longest chunk-size or trailer line we accept, in bytes.
const MAX_LINE: usize = 4096;

/// How the end of a body is recognised, and how far it has been read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// This many bytes are still to come.
    Length(u64),
    /// The body is sent in chunks.
    Chunked(Chunk),
}

/// What a chunked body has next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Chunk {
    /// A line with the size of the next chunk.
    Size,
    /// This many bytes of the present chunk.
    Data(u64),
    /// The line end after a chunk.
    DataEnd,
    /// Trailer lines, or the empty line that ends the body.
    Trailer,
    /// Nothing: the body is complete.
    End,
}

/// What [`Framing::advance`] did with its input.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Step {
    /// Bytes of the input that were used up.
    pub(crate) consumed: usize,
    /// Bytes among them that belong to the body itself.
    pub(crate) body: u64,
    /// Whether the body is complete.
    pub(crate) complete: bool,
}

impl Framing {
    /// Chooses the framing from a message's headers; without any, the body is empty.
    ///
    /// # Errors
    /// When `content-length` is not a number.
    pub(crate) fn of(headers: &[httparse::Header<'_>]) -> Result<Self> {
        let mut length = 0;
        for header in headers {
            if header.name.eq_ignore_ascii_case("transfer-encoding") {
                return Ok(Self::Chunked(Chunk::Size));
            }
            if header.name.eq_ignore_ascii_case("content-length") {
                length = std::str::from_utf8(header.value)?
                    .trim()
                    .parse()
                    .context("content-length is not a number")?;
            }
        }
        Ok(Self::Length(length))
    }

    /// Reads on through `input`, which starts where the last call stopped consuming.
    ///
    /// # Errors
    /// When the chunked encoding is broken.
    pub(crate) fn advance(&mut self, input: &[u8]) -> Result<Step> {
        match self {
            Self::Length(left) => {
                let taken = take(left, input);
                Ok(Step {
                    consumed: taken,
                    body: taken as u64,
                    complete: *left == 0,
                })
            }
            Self::Chunked(chunk) => chunk.advance(input),
        }
    }
}

impl Chunk {
    fn advance(&mut self, input: &[u8]) -> Result<Step> {
        let mut step = Step::default();
        loop {
            let rest = &input[step.consumed..];
            match self {
                Self::Size => match httparse::parse_chunk_size(rest) {
                    Ok(httparse::Status::Complete((used, 0))) => {
                        step.consumed += used;
                        *self = Self::Trailer;
                    }
                    Ok(httparse::Status::Complete((used, size))) => {
                        step.consumed += used;
                        *self = Self::Data(size);
                    }
                    Ok(httparse::Status::Partial) => return Ok(step),
                    Err(_) => bail!("a chunk's size is not a hexadecimal number"),
                },
                Self::Data(left) => {
                    let taken = take(left, rest);
                    step.consumed += taken;
                    step.body += taken as u64;
                    if *left > 0 {
                        return Ok(step);
                    }
                    *self = Self::DataEnd;
                }
                Self::DataEnd | Self::Trailer => {
                    let Some(line) = line(rest)? else {
                        return Ok(step);
                    };
                    step.consumed += line + 2;
                    if *self == Self::DataEnd {
                        ensure!(line == 0, "a chunk is longer than its size");
                        *self = Self::Size;
                    } else if line == 0 {
                        *self = Self::End;
                    }
                }
                Self::End => {
                    step.complete = true;
                    return Ok(step);
                }
            }
        }
    }
}

/// Takes as much of `input` as `left` allows.
fn take(left: &mut u64, input: &[u8]) -> usize {
    let taken = usize::try_from(*left)
        .unwrap_or(usize::MAX)
        .min(input.len());
    *left -= taken as u64;
    taken
}

/// Length of the first line without its CR LF, if it is complete.
fn line(input: &[u8]) -> Result<Option<usize>> {
    let end = input.windows(2).position(|pair| pair == b"\r\n");
    ensure!(end.is_some() || input.len() < MAX_LINE, "a line has no end");
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header<'a>(name: &'a str, value: &'a str) -> httparse::Header<'a> {
        httparse::Header {
            name,
            value: value.as_bytes(),
        }
    }

    #[test]
    fn length_stops_at_the_end_of_the_body() {
        let mut framing = Framing::of(&[header("Content-Length", "5")]).unwrap();
        let step = framing.advance(b"abc").unwrap();
        assert_eq!(
            step,
            Step {
                consumed: 3,
                body: 3,
                complete: false
            }
        );
        let step = framing.advance(b"deHTTP/1.1").unwrap();
        assert_eq!(
            step,
            Step {
                consumed: 2,
                body: 2,
                complete: true
            }
        );
    }

    #[test]
    fn no_body_is_complete_at_once() {
        let step = Framing::of(&[]).unwrap().advance(b"").unwrap();
        assert!(step.complete);
    }

    #[test]
    fn chunks_are_counted_however_they_are_split() {
        let wire = b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nx-trailer: 1\r\n\r\n";
        for size in 1..=wire.len() {
            let mut framing = Framing::of(&[header("transfer-encoding", "chunked")]).unwrap();
            let (mut buffer, mut body, mut complete) = (Vec::new(), 0, false);
            for piece in wire.chunks(size) {
                buffer.extend_from_slice(piece);
                let step = framing.advance(&buffer).unwrap();
                buffer.drain(..step.consumed);
                body += step.body;
                complete = step.complete;
            }
            assert_eq!(
                (body, complete, buffer.len()),
                (11, true, 0),
                "pieces of {size}"
            );
        }
    }

    #[test]
    fn broken_chunks_are_errors() {
        let mut framing = Framing::Chunked(Chunk::Size);
        assert!(framing.advance(b"zz\r\n").is_err());
        let mut framing = Framing::Chunked(Chunk::Size);
        assert!(framing.advance(b"2\r\nabc\r\n").is_err());
    }
}
