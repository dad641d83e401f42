//! A request that goes to another upstream than its head was written for, or with another key, or for a model that is
//! called differently there.

use std::ops::Range;

use super::{Scheme, end_head, put_key};
use crate::config::{Dialects, Secret};
use crate::error::ProxyError;
use crate::http1::{FieldName, Framing};
use crate::upstream::{Message, Origin, Place};
use crate::worker::Worker;

/// What a model is called from now on.
#[derive(Clone, Debug)]
pub struct Rename<'a> {
    /// Where its name stands in the body, or nothing if it stands in the query.
    pub at: Option<Range<usize>>,
    /// The new name.
    pub to: &'a str,
}

/// The same request for the place `to`, `from` being the upstream it was written for.
///
/// # Errors
/// If there is no key to send.
pub fn retarget(
    worker: &Worker,
    message: &Message,
    from: &Origin,
    to: &Place,
    rename: Option<&Rename<'_>>,
) -> Result<Message, ProxyError> {
    let mut body = message.body();
    let mut framing = message.framing;
    if let Some(Rename { at: Some(at), to }) = rename
        && at.start <= at.end
        && at.end <= body.len()
    {
        if let Framing::Length(length) = &mut framing {
            *length = *length - (at.end - at.start) as u64 + to.len() as u64;
        }
        body.splice(at.clone(), to.bytes());
    }
    let Place { origin, key } = to;
    let mut bytes = worker.spare.buffer();
    let written = message.with_head(|head| {
        let mut scheme = Scheme::Bearer;
        let prefix = from.settings().base_url.prefix().as_bytes();
        let target = head.target().strip_prefix(prefix);
        let target = target.unwrap_or_else(|| head.target());
        bytes.extend(head.method());
        bytes.extend(b" ");
        bytes.extend(origin.settings().base_url.prefix().as_bytes());
        match rename {
            Some(Rename { at: None, to }) => bytes.extend(&with_model(target, to)),
            _ => bytes.extend(target),
        }
        bytes.extend(b" HTTP/1.1\r\nhost: ");
        bytes.extend(origin.authority.as_bytes());
        bytes.extend(b"\r\n");
        head.copy_fields(
            |name, _, _| {
                if name == FieldName::XApiKey {
                    scheme = Scheme::ApiKey;
                }
                !is_written_anew(name)
            },
            |lines| bytes.extend(lines),
        );
        let scheme = match origin.settings().dialect {
            Dialects::All => scheme,
            Dialects::OpenAi => Scheme::Bearer,
            Dialects::Anthropic => Scheme::ApiKey,
        };
        let put = |secret: Option<&Secret>| put_key(&mut bytes, scheme, secret);
        origin.link.keys.get(*key).with(put)?;
        end_head(&mut bytes, framing, head.method());
        Ok::<_, ProxyError>(())
    });
    written.map_err(|_| ProxyError::UpstreamClosed)??;
    let mut new = Message::new(bytes, framing, message.keep);
    if !body.is_empty() {
        new.append(&body);
    }
    if message.is_complete && framing == Framing::Chunked {
        new.append(&[]);
    }
    new.pulled = message.pulled;
    new.is_complete = message.is_complete;
    Ok(new)
}

/// Whether a field is that of the upstream a request was written for.
const fn is_written_anew(name: FieldName) -> bool {
    matches!(
        name,
        FieldName::Host
            | FieldName::Authorization
            | FieldName::XApiKey
            | FieldName::ContentLength
            | FieldName::TransferEncoding
    )
}

/// The target with another model in its query.
fn with_model(target: &[u8], model: &str) -> Vec<u8> {
    let query = memchr::memchr(b'?', target).map_or(target.len(), |mark| mark + 1);
    let (path, query) = target.split_at(query);
    let members =
        query
            .split(|byte| *byte == b'&')
            .map(|member| match member.starts_with(b"model=") {
                true => [b"model=", model.as_bytes()].concat(),
                false => member.to_vec(),
            });
    [path, &members.collect::<Vec<_>>().join(&b'&')].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_in_the_query_is_renamed() {
        for (target, expected) in [
            ("/v1/realtime?model=a&x=1", "/v1/realtime?model=b&x=1"),
            ("/v1/realtime?x=1&model=a", "/v1/realtime?x=1&model=b"),
            ("/v1/realtime", "/v1/realtime"),
        ] {
            assert_eq!(with_model(target.as_bytes(), "b"), expected.as_bytes());
        }
    }
}
