//! An h2 request head as the [`Head`] the pipeline reads, held to the limits
//! an HTTP/1.1 head is held to.

use http::header::{COOKIE, HOST};
use http::request::Parts;

use crate::error::ProxyError;
use crate::http1::head::{MAX_FIELDS, Version};
use crate::http1::{Head, HeadView};

/// Room for a usual head.
const USUAL: usize = 1024;
/// What stands between the parts of an HTTP/1.1 request line, and ends it and
/// the head.
const LINE: usize = "  HTTP/1.1\r\n\r\n".len();
/// What stands around name and value of an HTTP/1.1 field.
const FIELD: usize = ": \r\n".len();

/// The most bytes of fields hyper decodes (RFC 9113 section 6.5.2) where `limit`
/// is that of a head. hyper answers what is longer by itself, without a body and
/// unseen by log and metrics; so there is ample room between the two for heads
/// the pipeline refuses, and still an end. `limit` is at most 1 MiB.
pub(super) fn decoded_at_most(limit: usize) -> u32 {
    u32::try_from(limit.saturating_mul(4).max(256 * 1024)).unwrap_or(u32::MAX)
}

/// A request's head with the bytes it points into.
#[derive(Debug)]
pub(super) struct RequestHead {
    head: Head,
    bytes: Vec<u8>,
}

impl RequestHead {
    /// The head of a request.
    ///
    /// # Errors
    /// [`ProxyError::HeadersTooLarge`] where the same head in HTTP/1.1 would be
    /// longer than `limit` bytes, or have too many fields.
    pub(super) fn new(parts: &Parts, limit: usize) -> Result<Self, ProxyError> {
        if !fits(parts, limit) {
            return Err(ProxyError::HeadersTooLarge { limit });
        }
        let mut bytes = Vec::with_capacity(USUAL);
        let mut head = Head::default();
        head.begin(Version::Http2, 0);
        let method = parts.method.as_str();
        head.set_request_line(&mut bytes, method.as_bytes(), target(parts).as_bytes());
        for (name, value) in parts.headers.iter().filter(|(name, _)| *name != COOKIE) {
            head.push_field(&mut bytes, name.as_str().as_bytes(), value.as_bytes());
        }
        if let Some(cookies) = joined_cookies(parts) {
            head.push_field(&mut bytes, COOKIE.as_str().as_bytes(), &cookies);
        }
        Ok(Self { head, bytes })
    }

    pub(super) fn view(&self) -> HeadView<'_> {
        self.head.view(&self.bytes)
    }
}

/// What HTTP/1.1 would have as the request target.
pub(super) fn target(parts: &Parts) -> &str {
    let target = parts.uri.path_and_query();
    target.map_or("*", |target| target.as_str())
}

/// Whether the head would be within the limits if it came as HTTP/1.1.
fn fits(parts: &Parts, limit: usize) -> bool {
    let mut fields = 0;
    let mut bytes = LINE + parts.method.as_str().len() + target(parts).len();
    let mut count = |name: &str, value: usize| {
        fields += 1;
        bytes += name.len() + value + FIELD;
    };
    if let Some(authority) = parts.uri.authority()
        && !parts.headers.contains_key(HOST)
    {
        count(HOST.as_str(), authority.as_str().len());
    }
    for (name, value) in parts.headers.iter().filter(|(name, _)| *name != COOKIE) {
        count(name.as_str(), value.len());
    }
    let crumbs = parts.headers.get_all(COOKIE).iter();
    if let Some(joined) = crumbs.map(|crumb| crumb.len()).reduce(|a, b| a + 2 + b) {
        count(COOKIE.as_str(), joined);
    }
    bytes <= limit && fields <= MAX_FIELDS
}

/// h2 clients may send each cookie as a field of its own, so that it can be
/// compressed by itself. HTTP/1.1 servers expect one field: RFC 9113 section
/// 8.2.3 has them joined before they are passed on.
fn joined_cookies(parts: &Parts) -> Option<Vec<u8>> {
    let mut crumbs = parts.headers.get_all(COOKIE).iter();
    let mut joined = crumbs.next()?.as_bytes().to_vec();
    for crumb in crumbs {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(crumb.as_bytes());
    }
    Some(joined)
}

#[cfg(test)]
mod tests;
