//! What changes on the way through: request and response fields.
//!
//! RFC 9110 section 7.6: hop-by-hop fields end here, and so do the fields that
//! `Connection` names. Everything else passes as it came, in its order and
//! spelling. The client's credentials are replaced by the upstream key.

use bytes::Bytes;
use zeroize::Zeroizing;

use crate::config::{Auth, Secret};
use crate::downstream::Downstream;
use crate::error::ProxyError;
use crate::http1::head::Version;
use crate::http1::{FieldName, Framing, Guarded, HeadView, encode, framing};
use crate::pipeline::{ADDED, Inbound, Target};
use crate::route::{Action, Dialect, Route};
use crate::worker::Worker;

/// How the proxy names itself in requests of its own.
pub const USER_AGENT: &str = concat!("holysheep-proxy/", env!("CARGO_PKG_VERSION"));
/// The longest `content-length` or `transfer-encoding` line.
const FRAMING_BYTES: usize = 48;

/// A request ready to be sent upstream.
#[derive(Debug)]
pub struct Outbound {
    /// The head, in the form of the upstream's protocol.
    pub head: OutboundHead,
    /// How its body is framed.
    pub body: Framing,
    /// [`ADDED`] bytes of the body are the proxy's.
    pub adds_usage: bool,
    /// It asks upstream to switch to a WebSocket.
    pub switches: bool,
}

/// An encoded request head.
#[derive(Debug)]
pub enum OutboundHead {
    /// Bytes for an HTTP/1.1 connection.
    Http1(Guarded),
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
    let counts = route.operation.is_some() && worker.live().count_usage;
    let adds_usage = counts
        && route.has_stream_options
        && worker.live().add_usage
        && is_plain_json(&inbound.head);
    let body = match inbound.body {
        Framing::Length(length) if adds_usage => Framing::Length(length + ADDED),
        body => body,
    };
    let edit = Edit {
        inbound,
        body,
        for_cache,
        plain: counts,
        switches: route.action == Action::Realtime,
        protocols: None,
        dialect: route.dialect,
        auth: worker.config.auth,
        via: worker.config.upstream.via,
        request_id,
        named: ConnectionOptions::of(&inbound.head),
        forwarded_for: None,
    };
    let switches = edit.switches;
    let head = if worker.speaks_h2() && !switches {
        OutboundHead::Http2(http2_head(worker, edit, target)?)
    } else {
        OutboundHead::Http1(http1_head(worker, edit, target)?)
    };
    Ok(Outbound {
        head,
        body,
        adds_usage: adds_usage && body != Framing::None,
        switches,
    })
}

/// Whether the body is JSON that can be read, and added to.
fn is_plain_json(head: &HeadView<'_>) -> bool {
    const JSON: &[u8] = b"application/json";
    let is_json = head.field(FieldName::ContentType).is_some_and(|value| {
        let start = value.get(..JSON.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(JSON))
    });
    is_json && head.field(FieldName::ContentEncoding).is_none()
}

fn http1_head(
    worker: &Worker,
    mut edit: Edit<'_>,
    target: &Target<'_>,
) -> Result<Guarded, ProxyError> {
    let mut out = worker.pool.spare_buffer();
    out.extend(edit.inbound.head.method());
    out.extend(b" ");
    out.extend(worker.config.upstream.base_url.prefix().as_bytes());
    out.extend(target.path_and_query);
    out.extend(b" HTTP/1.1\r\nhost: ");
    out.extend(worker.authority.as_bytes());
    out.extend(b"\r\n");
    let inbound = edit.inbound;
    inbound.head.copy_fields(
        |name, text, value| edit.keeps(name, text, value),
        |lines| out.extend(lines),
    );
    worker.link.key.with(|key| {
        edit.additions(key, |name, value| {
            out.extend(name);
            out.extend(b": ");
            match value {
                Value::Plain(value) => out.extend(value),
                Value::Joined(first, second) => {
                    out.extend(first);
                    out.extend(second);
                }
                Value::Secret(scheme, secret) => {
                    out.extend(scheme);
                    out.extend_secret(secret);
                }
            }
            out.extend(b"\r\n");
        })
    })?;
    let framing = match edit.body {
        Framing::None if inbound.head.method() != b"GET" => Framing::Length(0),
        body => body,
    };
    encode::framing(out.reserve(FRAMING_BYTES), framing);
    out.extend(b"\r\n");
    Ok(out)
}

fn http2_head(
    worker: &Worker,
    mut edit: Edit<'_>,
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
    let mut put =
        |name: &[u8], value: Value<'_>| match (http::HeaderName::from_bytes(name), value.to_h2()) {
            (Ok(name), Ok(value)) => {
                fields.append(name, value);
            }
            _ => valid = false,
        };
    for (name, text, value) in edit.inbound.head.fields() {
        if edit.keeps(name, text, value) {
            put(text, Value::Plain(value));
        }
    }
    worker.link.key.with(|key| edit.additions(key, &mut put))?;
    if let Framing::Length(length) = edit.body {
        fields.insert(http::header::CONTENT_LENGTH, length.into());
    }
    if valid {
        Ok(Box::new(request.into_parts().0))
    } else {
        Err(refused("a header field cannot be sent in h2"))
    }
}

/// A field value of an outgoing request.
enum Value<'a> {
    Plain(&'a [u8]),
    Joined(&'a [u8], &'a [u8]),
    /// An authentication scheme, if the field has one, and the key.
    Secret(&'a [u8], &'a [u8]),
}

impl Value<'_> {
    /// The value for hyper. A secret's memory is wiped with its last
    /// reference, and kept out of h2's header compression.
    fn to_h2(&self) -> Result<http::HeaderValue, http::header::InvalidHeaderValue> {
        match self {
            Value::Plain(value) => http::HeaderValue::from_bytes(value),
            Value::Joined(first, second) => {
                http::HeaderValue::from_maybe_shared(Bytes::from([*first, *second].concat()))
            }
            Value::Secret(scheme, secret) => {
                let wiped = Zeroizing::new([*scheme, *secret].concat());
                let mut value = http::HeaderValue::from_maybe_shared(Bytes::from_owner(wiped))?;
                value.set_sensitive(true);
                Ok(value)
            }
        }
    }
}

/// What to change in a request's fields.
struct Edit<'a> {
    for_cache: bool,
    /// How long the body will be.
    body: Framing,
    /// Asks for an answer that can be looked at.
    plain: bool,
    inbound: &'a Inbound<'a>,
    dialect: Dialect,
    auth: Auth,
    via: bool,
    request_id: &'a [u8],
    named: ConnectionOptions<'a>,
    /// Asks for a WebSocket.
    switches: bool,
    /// What the client offers to speak over it.
    protocols: Option<Vec<u8>>,
    /// The list the client sent, ready for one more member.
    forwarded_for: Option<Vec<u8>>,
}

impl Edit<'_> {
    /// Whether the client's field goes on as it is.
    #[inline]
    fn keeps(&mut self, name: FieldName, text: &[u8], value: &[u8]) -> bool {
        match name {
            _ if self.for_cache => false,
            FieldName::Authorization | FieldName::XApiKey | FieldName::ApiKey => {
                self.auth == Auth::Passthrough
            }
            FieldName::AcceptEncoding => !self.plain,
            // Compressed messages could not be looked at.
            FieldName::SecWebSocketExtensions => !self.plain,
            FieldName::SecWebSocketProtocol if self.auth == Auth::Open => {
                for option in framing::options(value).filter(|option| !is_key(option)) {
                    append_list(&mut self.protocols, option);
                }
                false
            }
            FieldName::XForwardedFor => {
                append_list(&mut self.forwarded_for, value);
                false
            }
            // The proxy sends its own `100 Continue` when it wants the body.
            // `Forwarded` would stand beside an `X-Forwarded-For` that says
            // more, and whoever reads it would believe the client.
            FieldName::Host
            | FieldName::Expect
            | FieldName::Forwarded
            | FieldName::XForwardedProto
            | FieldName::XHolysheepTiming
            | FieldName::XRealIp
            | FieldName::XRequestId => false,
            name => !name.is_hop_by_hop() && !self.named.contains(text),
        }
    }

    /// Gives every field the proxy adds to `put`.
    fn additions(
        &self,
        key: Option<&Secret>,
        mut put: impl FnMut(&[u8], Value<'_>),
    ) -> Result<(), ProxyError> {
        let head = &self.inbound.head;
        if self.for_cache {
            put(b"accept", Value::Plain(b"application/json"));
            put(b"accept-encoding", Value::Plain(b"identity"));
            put(b"user-agent", Value::Plain(USER_AGENT.as_bytes()));
        }
        if self.plain {
            put(b"accept-encoding", Value::Plain(b"identity"));
        }
        if self.switches {
            put(b"connection", Value::Plain(b"Upgrade"));
            put(b"upgrade", Value::Plain(b"websocket"));
        }
        if let Some(list) = self
            .protocols
            .as_ref()
            .and_then(|list| list.strip_suffix(b", "))
        {
            put(b"sec-websocket-protocol", Value::Plain(list));
        }
        if self.auth == Auth::Open {
            let key = key.ok_or(ProxyError::UpstreamKeyMissing)?;
            // OpenAI's API knows one way to send a key, Anthropic's two.
            if self.dialect == Dialect::Anthropic && !has_bearer(head) {
                put(b"x-api-key", Value::Secret(b"", key.expose()));
            } else {
                put(b"authorization", Value::Secret(b"Bearer ", key.expose()));
            }
        }
        self.origin(&mut put);
        Ok(())
    }

    /// Who sent the request, as the article's nginx says it.
    fn origin(&self, put: &mut impl FnMut(&[u8], Value<'_>)) {
        let peer = self.inbound.peer.text();
        match &self.forwarded_for {
            Some(list) => put(b"x-forwarded-for", Value::Joined(list, peer)),
            None => put(b"x-forwarded-for", Value::Plain(peer)),
        }
        put(b"x-real-ip", Value::Plain(peer));
        let scheme: &[u8] = if self.inbound.https {
            b"https"
        } else {
            b"http"
        };
        put(b"x-forwarded-proto", Value::Plain(scheme));
        put(b"x-request-id", Value::Plain(self.request_id));
        if self.via {
            // The version is that of the message received.
            let via: &[u8] = match self.inbound.head.version() {
                Version::Http10 => b"1.0 holysheep-proxy",
                Version::Http11 => b"1.1 holysheep-proxy",
                Version::Http2 => b"2.0 holysheep-proxy",
            };
            put(b"via", Value::Plain(via));
        }
    }
}

/// Whether a protocol that a WebSocket's client offers is a key: how browsers send one, which cannot set fields.
pub fn is_key(protocol: &[u8]) -> bool {
    protocol.starts_with(b"openai-insecure-api-key.")
}

/// Whether the client sent its key as a bearer token.
fn has_bearer(head: &HeadView<'_>) -> bool {
    const BEARER: &[u8] = b"Bearer ";
    head.field(FieldName::Authorization)
        .and_then(|value| value.get(..BEARER.len()))
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case(BEARER))
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
        let named = framing::connection_options(head).filter(|option| {
            !option.eq_ignore_ascii_case(b"keep-alive") && !option.eq_ignore_ascii_case(b"close")
        });
        Self(named.collect())
    }

    /// Whether the field ends with this connection.
    #[inline]
    pub fn contains(&self, name: &[u8]) -> bool {
        self.0
            .iter()
            .any(|option| option.eq_ignore_ascii_case(name))
    }
}

/// Gives every field of a response that passes to the client.
pub fn response_fields<D: Downstream>(head: &HeadView<'_>, client: &mut D) {
    let named = ConnectionOptions::of(head);
    client.fields(head, |name, text, _| match name {
        FieldName::XRequestId | FieldName::XHolysheepError => false,
        name => !name.is_hop_by_hop() && !named.contains(text),
    });
    // The client's id is the one in our log; upstream's is kept beside it.
    for id in head.values(FieldName::XRequestId) {
        client.field(b"x-upstream-request-id", id);
    }
}
