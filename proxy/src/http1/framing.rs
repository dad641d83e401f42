//! How long a message body is: RFC 9112 section 6, read strictly.
//!
//! Request smuggling lives on two parsers that disagree. The proxy writes its
//! own framing to the other side, and refuses every request whose length could
//! be read in two ways: both `Content-Length` and `Transfer-Encoding`, more
//! than one of either, a list, a sign, a coding other than `chunked`, or
//! `Transfer-Encoding` in HTTP/1.0.

use super::field::FieldName;
use super::head::{HeadView, Version};

/// The length of a message body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    #[default]
    None,
    /// Exactly this many bytes.
    Length(u64),
    /// Chunks with their own lengths.
    Chunked,
    /// Until the connection ends; responses only.
    UntilClose,
}

/// Why a length cannot be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FramingError(pub &'static str);

/// The length of a request body (RFC 9112 section 6.3).
///
/// # Errors
/// Any ambiguity, see the module.
pub fn of_request(head: &HeadView<'_>) -> Result<Framing, FramingError> {
    match lengths(head)? {
        (Some(_), true) => Err(FramingError(
            "both Content-Length and Transfer-Encoding are present",
        )),
        (None, true) if head.version() == Version::Http10 => {
            Err(FramingError("Transfer-Encoding in an HTTP/1.0 request"))
        }
        (None, true) => Ok(Framing::Chunked),
        (Some(0) | None, false) => Ok(Framing::None),
        (Some(length), false) => Ok(Framing::Length(length)),
    }
}

/// The length of a response body, given whether it answers a `HEAD` request.
///
/// # Errors
/// Any ambiguity, see the module. The connection is not used again then.
pub fn of_response(head: &HeadView<'_>, to_head: bool) -> Result<Framing, FramingError> {
    let status = head.status();
    if to_head || status < 200 || status == 204 || status == 304 {
        return Ok(Framing::None);
    }
    match lengths(head)? {
        (Some(_), true) => Err(FramingError(
            "both Content-Length and Transfer-Encoding are present",
        )),
        (None, true) => Ok(Framing::Chunked),
        (Some(length), false) => Ok(Framing::Length(length)),
        (None, false) => Ok(Framing::UntilClose),
    }
}

/// Whether the sender keeps the connection open after this message
/// (RFC 9112 section 9.3).
pub fn keeps_alive(head: &HeadView<'_>) -> bool {
    let mut keep = head.version() != Version::Http10;
    for option in connection_options(head) {
        if option.eq_ignore_ascii_case(b"close") {
            return false;
        }
        keep |= option.eq_ignore_ascii_case(b"keep-alive");
    }
    keep
}

/// What all `Connection` fields say.
#[inline]
pub fn connection_options<'a>(head: &HeadView<'a>) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    head.values(FieldName::Connection).flat_map(options)
}

/// The comma-separated members of a field value, trimmed.
pub fn options(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|option| !option.is_empty())
}

/// The declared length, and whether the body is chunked.
fn lengths(head: &HeadView<'_>) -> Result<(Option<u64>, bool), FramingError> {
    if head.is_repeated(FieldName::ContentLength) {
        return Err(FramingError("more than one Content-Length"));
    }
    if head.is_repeated(FieldName::TransferEncoding) {
        return Err(FramingError("more than one Transfer-Encoding"));
    }
    let length = head.field(FieldName::ContentLength).map(parse_length);
    let coding = head.field(FieldName::TransferEncoding);
    if coding.is_some_and(|coding| !coding.eq_ignore_ascii_case(b"chunked")) {
        return Err(FramingError("a Transfer-Encoding other than chunked"));
    }
    Ok((length.transpose()?, coding.is_some()))
}

fn parse_length(value: &[u8]) -> Result<u64, FramingError> {
    const INVALID: FramingError = FramingError("invalid Content-Length");
    if value.is_empty() || value.len() > 19 || !value.iter().all(u8::is_ascii_digit) {
        return Err(INVALID);
    }
    Ok(value
        .iter()
        .fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests;
