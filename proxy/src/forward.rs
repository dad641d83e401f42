//! What changes on the way through: request and response fields.
//!
//! RFC 9110 section 7.6: hop-by-hop fields end here, and so do the fields that
//! `Connection` names. Everything else passes as it came, in its order and
//! spelling. The client's credentials are replaced by the upstream key.

use zeroize::Zeroizing;

use crate::config::{Auth, Secret};
use crate::error::ProxyError;
use crate::http1::{FieldName, Framing, HeadView, encode, framing};
use crate::pipeline::{Inbound, Target};
use crate::route::{Dialect, Route};
use crate::worker::Worker;

/// A request ready to be sent upstream.
#[derive(Debug)]
pub struct Outbound {
    /// The head, in the form of the upstream's protocol.
    pub head: OutboundHead,
    /// How its body is framed.
    pub body: Framing,
}

/// An encoded request head.
#[derive(Debug)]
pub enum OutboundHead {
    /// Bytes for an HTTP/1.1 connection.
    Http1(Vec<u8>),
    /// Parts for h2.
    Http2(Box<http::request::Parts>),
}

/// Encodes the head of a request for upstream. With `for_cache` the client's
/// own fields stay behind: what comes back is for everybody.
///
/// # Errors
/// If the proxy has no key to send, or a field cannot be said in h2.
pub fn outbound(
    worker: &Worker,
    inbound: &Inbound<'_>,
    target: &Target<'_>,
    route: &Route,
    request_id: &[u8],
    for_cache: bool,
) -> Result<Outbound, ProxyError> {
    let edit = Edit {
        inbound,
        for_cache,
        dialect: route.dialect,
        auth: worker.config.auth,
        via: worker.config.upstream.via,
        request_id,
    };
    let head = if worker.speaks_h2() {
        OutboundHead::Http2(http2_head(worker, &edit, target)?)
    } else {
        OutboundHead::Http1(http1_head(worker, &edit, target)?)
    };
    Ok(Outbound {
        head,
        body: inbound.body,
    })
}

fn http1_head(
    worker: &Worker,
    edit: &Edit<'_>,
    target: &Target<'_>,
) -> Result<Vec<u8>, ProxyError> {
    let mut out = Vec::with_capacity(1024);
    out.extend_from_slice(edit.inbound.head.method());
    out.push(b' ');
    out.extend_from_slice(worker.config.upstream.base_url.prefix().as_bytes());
    out.extend_from_slice(target.path_and_query);
    out.extend_from_slice(b" HTTP/1.1\r\nhost: ");
    out.extend_from_slice(worker.authority.as_bytes());
    out.extend_from_slice(b"\r\n");
    worker.link.key.with(|key| {
        edit.fields(key, |name, value| {
            let [first, second] = value;
            encode::field(&mut out, name, first);
            if !second.is_empty() {
                out.truncate(out.len() - 2);
                out.extend_from_slice(second);
                out.extend_from_slice(b"\r\n");
            }
        })
    })?;
    let method_has_body = edit.inbound.head.method() != b"GET";
    match edit.inbound.body {
        Framing::None if method_has_body => encode::framing(&mut out, Framing::Length(0)),
        body => encode::framing(&mut out, body),
    }
    out.extend_from_slice(b"\r\n");
    Ok(out)
}

fn http2_head(
    worker: &Worker,
    edit: &Edit<'_>,
    target: &Target<'_>,
) -> Result<Box<http::request::Parts>, ProxyError> {
    let refused = |what: &'static str| ProxyError::InvalidRequest(what.into());
    let url = &worker.config.upstream.base_url;
    let path = [url.prefix().as_bytes(), target.path_and_query].concat();
    let uri = http::Uri::builder()
        .scheme(if url.tls() { "https" } else { "http" })
        .authority(worker.authority.as_str())
        .path_and_query(path.as_slice())
        .build()
        .map_err(|_| refused("the request target cannot be sent in h2"))?;
    let mut request = http::Request::builder()
        .method(edit.inbound.head.method())
        .uri(uri)
        .body(())
        .map_err(|_| refused("the method cannot be sent in h2"))?;
    let fields = request.headers_mut();
    let mut valid = true;
    worker.link.key.with(|key| {
        edit.fields(key, |name, value| {
            let value = Zeroizing::new(value.concat());
            let parsed = (
                http::HeaderName::from_bytes(name),
                http::HeaderValue::from_bytes(&value),
            );
            match parsed {
                (Ok(name), Ok(value)) => {
                    fields.append(name, value);
                }
                _ => valid = false,
            }
        })
    })?;
    if let Framing::Length(length) = edit.inbound.body {
        fields.insert(http::header::CONTENT_LENGTH, length.into());
    }
    if valid {
        Ok(Box::new(request.into_parts().0))
    } else {
        Err(refused("a header field cannot be sent in h2"))
    }
}

/// What to change in a request's fields.
struct Edit<'a> {
    for_cache: bool,
    inbound: &'a Inbound<'a>,
    dialect: Dialect,
    auth: Auth,
    via: bool,
    request_id: &'a [u8],
}

impl Edit<'_> {
    /// Gives every field of the outgoing request to `put`: name, and value in two parts.
    fn fields(
        &self,
        key: Option<&Secret>,
        mut put: impl FnMut(&[u8], [&[u8]; 2]),
    ) -> Result<(), ProxyError> {
        let head = &self.inbound.head;
        let named = ConnectionOptions::of(head);
        let mut forwarded_for = None;
        let mut api_key_style = false;
        if self.for_cache {
            put(b"accept", [b"application/json", b""]);
            put(b"accept-encoding", [b"identity", b""]);
        }
        for (name, text, value) in head.fields() {
            match name {
                _ if self.for_cache => {}
                FieldName::Authorization | FieldName::XApiKey | FieldName::ApiKey => {
                    api_key_style |= name == FieldName::XApiKey;
                    if self.auth == Auth::Passthrough {
                        put(text, [value, b""]);
                    }
                }
                FieldName::XForwardedFor => append_list(&mut forwarded_for, value),
                // The proxy sends its own `100 Continue` when it wants the body.
                FieldName::Host
                | FieldName::Expect
                | FieldName::XForwardedProto
                | FieldName::XRealIp
                | FieldName::XRequestId => {}
                name if name.is_hop_by_hop() || named.contains(text) => {}
                _ => put(text, [value, b""]),
            }
        }
        if self.auth == Auth::Open {
            let key = key.ok_or(ProxyError::UpstreamKeyMissing)?;
            // The way the client would have said it; Anthropic's own by default there.
            let bearer = head.field(FieldName::Authorization).is_some();
            if api_key_style || (self.dialect == Dialect::Anthropic && !bearer) {
                put(b"x-api-key", [key.expose(), b""]);
            } else {
                put(b"authorization", [b"Bearer ", key.expose()]);
            }
        }
        self.origin(forwarded_for.as_deref(), &mut put);
        Ok(())
    }

    /// Who sent the request, as the article's nginx says it.
    fn origin(&self, forwarded_for: Option<&[u8]>, put: &mut impl FnMut(&[u8], [&[u8]; 2])) {
        let peer = self.inbound.peer.text();
        match forwarded_for {
            Some(list) => put(b"x-forwarded-for", [list, peer]),
            None => put(b"x-forwarded-for", [peer, b""]),
        }
        put(b"x-real-ip", [peer, b""]);
        let scheme: &[u8] = if self.inbound.https {
            b"https"
        } else {
            b"http"
        };
        put(b"x-forwarded-proto", [scheme, b""]);
        put(b"x-request-id", [self.request_id, b""]);
        if self.via {
            put(b"via", [b"1.1 holysheep-proxy", b""]);
        }
    }
}

/// Appends to a comma-separated list, ready for one more member.
fn append_list(list: &mut Option<Vec<u8>>, value: &[u8]) {
    let list = list.get_or_insert_default();
    list.extend_from_slice(value.trim_ascii());
    list.extend_from_slice(b", ");
}

/// The fields that `Connection` declares hop-by-hop, apart from the usual ones.
pub struct ConnectionOptions<'a>(Vec<&'a [u8]>);

impl<'a> ConnectionOptions<'a> {
    /// Reads all `Connection` fields of a head.
    pub fn of(head: &HeadView<'a>) -> Self {
        let mut named = Vec::new();
        for (name, _, value) in head.fields() {
            if name == FieldName::Connection {
                named.extend(framing::options(value).filter(|option| {
                    !option.eq_ignore_ascii_case(b"keep-alive")
                        && !option.eq_ignore_ascii_case(b"close")
                }));
            }
        }
        Self(named)
    }

    /// Whether the field ends with this connection.
    #[inline]
    pub fn contains(&self, name: &[u8]) -> bool {
        self.0
            .iter()
            .any(|option| option.eq_ignore_ascii_case(name))
    }
}

/// Gives every field of a response that passes to the client to `put`.
pub fn response_fields(head: &HeadView<'_>, mut put: impl FnMut(&[u8], &[u8])) {
    let named = ConnectionOptions::of(head);
    for (name, text, value) in head.fields() {
        match name {
            // The client's id is the one in our log; upstream's is kept beside it.
            FieldName::XRequestId => put(b"x-upstream-request-id", value),
            name if name.is_hop_by_hop() || named.contains(text) => {}
            _ => put(text, value),
        }
    }
}
