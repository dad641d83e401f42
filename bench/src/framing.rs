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

/// What [`Framing::advance_into`] did with its input.
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

    /// Reads on through `input`, which starts where the last call stopped consuming; `body` is given the body's bytes as
    /// they lie in the input.
    ///
    /// # Errors
    /// When the chunked encoding is broken.
    pub(crate) fn advance_into(
        &mut self,
        input: &[u8],
        mut body: impl FnMut(&[u8]),
    ) -> Result<Step> {
        match self {
            Self::Length(left) => {
                let taken = take(left, input);
                body(&input[..taken]);
                Ok(Step {
                    consumed: taken,
                    body: taken as u64,
                    complete: *left == 0,
                })
            }
            Self::Chunked(chunk) => chunk.advance(input, body),
        }
    }
}

impl Chunk {
    fn advance(&mut self, input: &[u8], mut body: impl FnMut(&[u8])) -> Result<Step> {
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
                    body(&rest[..taken]);
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
mod tests;
