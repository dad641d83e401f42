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

/// Whether a browser's request has a key.
pub(super) fn brings_key(head: &HeadView<'_>) -> bool {
    let mut protocols = head
        .values(FieldName::SecWebSocketProtocol)
        .flat_map(framing::options);
    protocols.any(forward::is_key)
}

/// The model that a session is with, from the query.
pub(super) fn model(target: &Target<'_>) -> Option<Box<str>> {
    let query = target.path_and_query.get(target.path.len() + 1..)?;
    let mut members = query.split(|byte| *byte == b'&');
    let name = members.find_map(|member| member.strip_prefix(b"model="))?;
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
        }
    }
}
