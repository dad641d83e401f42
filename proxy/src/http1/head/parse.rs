//! The grammar of an HTTP/1.1 head (RFC 9112), read once from front to back.
//!
//! One pass finds the end of the head, checks every byte, and notes where the
//! fields are and which of them the proxy acts on; a parser of lines with a
//! search for the end before it and a table of names after it took twice the
//! instructions. It accepts less than RFC 9112 allows: lines end in CRLF only,
//! nothing is folded, and one space separates the parts of the first line.
//! `tests` holds it against httparse, which hyper uses.

use super::{FieldSpan, Head, HeadError, MAX_FIELDS, Span, Version};
use crate::http1::field::FieldName;

/// RFC 9112 section 2.2 lets a recipient take a bare LF for a line end. Not all
/// do, and what two recipients read differently is how requests are smuggled.
const BARE_LF: HeadError = HeadError::Malformed("a line ends in LF without CR");
const LINE_END: HeadError = HeadError::Malformed("invalid line ending");
const METHOD_OR_TARGET: HeadError = HeadError::Malformed("invalid method or request target");
const VERSION: HeadError = HeadError::Malformed("invalid or unsupported HTTP version");
const STATUS: HeadError = HeadError::Malformed("invalid status line");
const NAME: HeadError = HeadError::Malformed("invalid header field name");
const FOLDED: HeadError = HeadError::Malformed("a header field is folded over lines");
const VALUE: HeadError = HeadError::Malformed("invalid header field value");

/// Why parsing stopped before the end of the head.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The bytes end first.
    Incomplete,
    /// It is not a head.
    Refused(HeadError),
}

impl From<HeadError> for Stop {
    fn from(error: HeadError) -> Self {
        Self::Refused(error)
    }
}

/// Reads a request head; returns its length.
pub(super) fn request(head: &mut Head, bytes: &[u8]) -> Result<usize, Stop> {
    let method_end = run(bytes, 0, is_token);
    part_ends(bytes, 0..method_end, b' ', METHOD_OR_TARGET)?;
    let target = method_end + 1;
    let target_end = run(bytes, target, is_target);
    part_ends(bytes, target..target_end, b' ', METHOD_OR_TARGET)?;
    head.method = Span::new(0, method_end);
    head.target = Span::new(target, target_end);
    let line_end = version(head, bytes, target_end + 1)?;
    let fields_at = line_ends(bytes, line_end, LINE_END)?;
    fields(head, bytes, fields_at)
}

/// Reads a response head; returns its length.
pub(super) fn response(head: &mut Head, bytes: &[u8]) -> Result<usize, Stop> {
    let mut at = version(head, bytes, 0)?;
    match bytes.get(at) {
        None => return Err(Stop::Incomplete),
        Some(b' ') => at += 1,
        Some(_) => return Err(VERSION.into()),
    }
    for _ in 0..3 {
        match bytes.get(at) {
            None => return Err(Stop::Incomplete),
            Some(digit @ b'0'..=b'9') => head.status = head.status * 10 + u16::from(digit - b'0'),
            Some(_) => return Err(STATUS.into()),
        }
        at += 1;
    }
    // RFC 9112 section 4 asks for a space even where no reason follows; some
    // servers leave both out.
    match bytes.get(at) {
        None => return Err(Stop::Incomplete),
        Some(b' ' | b'\r' | b'\n') => {}
        Some(_) => return Err(STATUS.into()),
    }
    let fields_at = line_ends(bytes, text_end(bytes, at), STATUS)?;
    fields(head, bytes, fields_at)
}

/// Reads `HTTP/1.0` or `HTTP/1.1`; returns where it ends.
fn version(head: &mut Head, bytes: &[u8], at: usize) -> Result<usize, Stop> {
    const LEN: usize = 8;
    let rest = bytes.get(at..).unwrap_or_default();
    head.version = match rest.get(..LEN) {
        Some(b"HTTP/1.1") => Version::Http11,
        Some(b"HTTP/1.0") => Version::Http10,
        None if b"HTTP/1.1".starts_with(rest) => return Err(Stop::Incomplete),
        _ => return Err(VERSION.into()),
    };
    Ok(at + LEN)
}

/// Reads field lines up to and with the empty one; returns where it ends.
fn fields(head: &mut Head, bytes: &[u8], mut at: usize) -> Result<usize, Stop> {
    loop {
        let name_end = name_end(bytes, at);
        match bytes.get(name_end) {
            None => return Err(Stop::Incomplete),
            Some(b':') if name_end > at => {}
            Some(b'\r' | b'\n') if name_end == at => return line_ends(bytes, at, LINE_END),
            Some(b' ' | b'\t') if name_end == at => return Err(FOLDED.into()),
            Some(_) => return Err(NAME.into()),
        }
        let mut value = name_end + 1;
        while bytes.get(value).copied().is_some_and(is_blank) {
            value += 1;
        }
        let text_end = text_end(bytes, value);
        let next = line_ends(bytes, text_end, VALUE)?;
        let mut value_end = text_end;
        while value_end > value && is_blank(byte_before(bytes, value_end)) {
            value_end -= 1;
        }
        if head.fields.len() == MAX_FIELDS {
            return Err(HeadError::TooManyFields.into());
        }
        let plain = value == name_end + 2 && byte_before(bytes, value) == b' ';
        head.add(FieldSpan {
            name: FieldName::classify(bytes.get(at..name_end).unwrap_or_default()),
            as_written: plain && value_end == text_end,
            name_at: Span::new(at, name_end),
            value_at: Span::new(value, value_end),
        });
        at = next;
    }
}

/// Checks that a part of the first line is not empty and ends in `end`.
fn part_ends(
    bytes: &[u8],
    part: std::ops::Range<usize>,
    end: u8,
    error: HeadError,
) -> Result<(), Stop> {
    match bytes.get(part.end) {
        None => Err(Stop::Incomplete),
        Some(byte) if *byte == end && !part.is_empty() => Ok(()),
        Some(b'\n') => Err(BARE_LF.into()),
        Some(_) => Err(error.into()),
    }
}

/// Checks that a line ends at `at`; returns where the next one begins.
#[inline]
fn line_ends(bytes: &[u8], at: usize, error: HeadError) -> Result<usize, Stop> {
    match (bytes.get(at), bytes.get(at + 1)) {
        (Some(b'\r'), Some(b'\n')) => Ok(at + 2),
        (None, _) | (Some(b'\r'), None) => Err(Stop::Incomplete),
        (Some(b'\n'), _) => Err(BARE_LF.into()),
        _ => Err(error.into()),
    }
}

#[inline]
fn byte_before(bytes: &[u8], at: usize) -> u8 {
    at.checked_sub(1)
        .and_then(|before| bytes.get(before))
        .copied()
        .unwrap_or_default()
}

/// Where the bytes from `at` on stop satisfying `wanted`. Eight at a time, which
/// the compiler turns into a row of comparisons without a loop.
#[inline]
fn run(bytes: &[u8], mut at: usize, wanted: impl Fn(u8) -> bool) -> usize {
    while let Some(part) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        match part.iter().position(|byte| !wanted(*byte)) {
            Some(len) => return at + len,
            None => at += part.len(),
        }
    }
    let rest = bytes.get(at..).unwrap_or_default();
    let len = rest.iter().position(|byte| !wanted(*byte));
    at + len.unwrap_or(rest.len())
}

/// Where a field name ends: at the first byte that is no `tchar`, mostly the colon.
///
/// Eight bytes at a time are told to be letters or hyphens, which nearly all names consist of. Each sum stays within its
/// byte, so every hit is true.
#[inline]
fn name_end(bytes: &[u8], mut at: usize) -> usize {
    const LOW: u64 = u64::from_ne_bytes([0x7f; 8]);
    const HIGH: u64 = !LOW;
    const fn all(byte: u8) -> u64 {
        u64::from_ne_bytes([byte; 8])
    }
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*word);
        let lower = (word | all(0x20)) & LOW;
        let letters = (lower + all(0x80 - b'a')) & !(lower + all(0x7f - b'z'));
        let not_hyphens = ((word ^ all(b'-')) & LOW) + LOW;
        let others = (word | !letters & not_hyphens) & HIGH;
        if others == 0 {
            at += 8;
            continue;
        }
        at += others.trailing_zeros() as usize / 8;
        match bytes.get(at) {
            Some(byte) if is_token(*byte) => at += 1,
            _ => return at,
        }
    }
    run(bytes, at, is_token)
}

/// Where the text of a field value or reason phrase stops: at the first
/// control character that is no tab, mostly the CR of the line's end.
///
/// Eight bytes at a time: subtracting makes the high bit of a byte that is too
/// small borrow. A borrow can reach the byte above as well, so only the first
/// hit is true; it is the only one looked at.
#[inline]
fn text_end(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    loop {
        let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) else {
            return run(bytes, at, is_text);
        };
        let word = u64::from_le_bytes(*word);
        let below_space = word.wrapping_sub(ONES * 0x20) & !word;
        let from_delete = word ^ (ONES * 0x7f);
        let is_delete = from_delete.wrapping_sub(ONES) & !from_delete;
        let hits = (below_space | is_delete) & HIGH;
        if hits == 0 {
            at += 8;
            continue;
        }
        at += hits.trailing_zeros() as usize / 8;
        if bytes.get(at) != Some(&b'\t') {
            return at;
        }
        at += 1;
    }
}

#[inline]
const fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[inline]
const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Visible ASCII: everything else has to be percent-encoded (RFC 3986 section 2).
#[inline]
const fn is_target(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~')
}

/// `tchar` of RFC 9110 section 5.6.2.
#[inline]
const fn is_token(byte: u8) -> bool {
    const TABLE: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 128_u8 {
            table[byte as usize] = byte.is_ascii_alphanumeric()
                || matches!(
                    byte,
                    b'!' | b'#'
                        | b'$'
                        | b'%'
                        | b'&'
                        | b'\''
                        | b'*'
                        | b'+'
                        | b'-'
                        | b'.'
                        | b'^'
                        | b'_'
                        | b'`'
                        | b'|'
                        | b'~'
                );
            byte += 1;
        }
        table
    };
    TABLE[byte as usize]
}

#[cfg(test)]
mod tests;
