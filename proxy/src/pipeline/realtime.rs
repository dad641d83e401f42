//! `GET /v1/realtime`: what a request for a WebSocket (RFC 6455 section 4.1) has that others do not.

use super::{Inbound, Target};
use crate::error::ProxyError;
use crate::forward;
use crate::http1::head::Version;
use crate::http1::{FieldName, HeadView, framing};

/// Longest name of a model that is taken over from a query.
const MAX_MODEL: usize = 128;

/// Whether the request asks for a WebSocket, so that it can be one.
///
/// # Errors
/// [`ProxyError::InvalidRequest`].
pub(super) fn check(inbound: &Inbound<'_>) -> Result<(), ProxyError> {
    let head = &inbound.head;
    if head.version() != Version::Http11 {
        let reason = "this path is a WebSocket, which is served over HTTP/1.1";
        return Err(ProxyError::InvalidRequest(reason.into()));
    }
    let asks = |name, option: &[u8]| {
        let mut options = head.values(name).flat_map(framing::options);
        options.any(|one| one.eq_ignore_ascii_case(option))
    };
    if asks(FieldName::Connection, b"upgrade") && asks(FieldName::Upgrade, b"websocket") {
        return Ok(());
    }
    let reason = "this path is a WebSocket; the request does not ask for one";
    Err(ProxyError::InvalidRequest(reason.into()))
}

/// The keys in a browser's request.
pub(super) fn keys<'a>(head: &HeadView<'a>) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    let protocols = head.values(FieldName::SecWebSocketProtocol);
    protocols
        .flat_map(framing::options)
        .filter_map(forward::key_in)
}

/// The model that a session is with, from the query.
pub(super) fn model(target: &Target<'_>) -> Option<Box<str>> {
    let query = target.path_and_query.get(target.path.len() + 1..)?;
    let mut members = query.split(|byte| *byte == b'&');
    let name = members.find_map(|member| member.strip_prefix(b"model="))?;
    plain(name)
}

/// The same, if nobody can read the query in such a way that another model is meant.
pub(super) fn only_model(target: &Target<'_>) -> Option<Box<str>> {
    let query = target.path_and_query.get(target.path.len() + 1..)?;
    let mut model = None;
    for member in query.split(|byte| *byte == b'&') {
        let end = memchr::memchr(b'=', member).unwrap_or(member.len());
        let (name, value) = member.split_at(end);
        // A name may be encoded, in capitals or like a field of a form, and `;` separates members, too, for some.
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-".contains(byte);
        if !name.iter().all(is_plain) || value.contains(&b';') {
            return None;
        }
        if name.eq_ignore_ascii_case(b"model") && model.replace(value.get(1..)?).is_some() {
            return None;
        }
    }
    plain(model?)
}

/// A name that means what stands there.
fn plain(name: &[u8]) -> Option<Box<str>> {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~:/@".contains(byte);
    let fits = (1..=MAX_MODEL).contains(&name.len()) && name.iter().all(is_plain);
    let name = std::str::from_utf8(name).ok().filter(|_| fits)?;
    Some(name.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_stands_in_the_query() {
        for (target, expected) in [
            ("/v1/realtime?model=gpt-realtime", Some("gpt-realtime")),
            ("/v1/realtime?a=1&model=x/y:z&b", Some("x/y:z")),
            ("/v1/realtime?model=", None),
            ("/v1/realtime?model=%41", None),
            ("/v1/realtime?xmodel=a", None),
            ("/v1/realtime", None),
        ] {
            let target = Target::parse(target.as_bytes()).unwrap();
            assert_eq!(model(&target).as_deref(), expected);
            assert_eq!(only_model(&target).as_deref(), expected);
        }
    }

    #[test]
    fn a_query_that_can_be_read_in_two_ways_names_no_model() {
        for target in [
            "/v1/realtime?model=a&model=b",
            "/v1/realtime?model=a&MODEL=b",
            "/v1/realtime?model=a&m%6fdel=b",
            "/v1/realtime?x=1;model=b&model=a",
            "/v1/realtime?model=a&model[]=b",
            "/v1/realtime?model=a&model",
            "/v1/realtime?model=a;model=b",
        ] {
            let target = Target::parse(target.as_bytes()).unwrap();
            assert_eq!(only_model(&target), None, "{target:?}");
        }
        let target = Target::parse(b"/v1/realtime?a=%20&model=a&b").unwrap();
        assert_eq!(only_model(&target).as_deref(), Some("a"));
    }
}
