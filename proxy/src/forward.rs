//! What changes on the way through: request and response fields.
//!
//! RFC 9110 section 7.6: hop-by-hop fields end here, and so do the fields that
//! `Connection` names. Everything else passes as it came, in its order and
//! spelling. The client's credentials are replaced by the upstream key.

mod retarget;

use std::rc::Rc;

use crate::config::{Auth, Dialects, Secret};
use crate::downstream::Downstream;
use crate::error::ProxyError;
use crate::http1::head::Version;
use crate::http1::{FieldName, Framing, Guarded, HeadView, encode, framing};
use crate::pipeline::{ADDED, Inbound, Target};
use crate::route::{Action, Dialect, Route};
use crate::traces::{self, Trace};
use crate::upstream::{Message, Origin, Place};
use crate::worker::Worker;
pub use retarget::{Rename, retarget};

/// How the proxy names itself in requests of its own.
pub const USER_AGENT: &str = concat!("holysheep-proxy/", env!("CARGO_PKG_VERSION"));
/// The longest `content-length` or `transfer-encoding` line.
const FRAMING_BYTES: usize = 48;

/// A request ready to be sent to one of the upstreams.
#[derive(Debug)]
pub struct Outbound {
    /// Its head; the body follows.
    pub message: Message,
    /// Where it is meant to go.
    pub place: Place,
    /// [`ADDED`] bytes of the body are the proxy's.
    pub adds_usage: bool,
    /// It asks upstream to switch to a WebSocket.
    pub switches: bool,
}

/// Encodes the head of a request for the first upstream that has this API. With `for_cache` the client's
/// own fields stay behind: what comes back is for everybody.
///
/// # Errors
/// If the proxy has no key to send, or no upstream for it.
pub fn outbound(
    worker: &Worker,
    inbound: &Inbound<'_>,
    target: &Target<'_>,
    route: &Route,
    (request_id, trace): (&[u8], Option<&Trace>),
    for_cache: bool,
) -> Result<Outbound, ProxyError> {
    let origins = worker.origins();
    let speaks = |origin: &&Rc<Origin>| origin.settings().dialect.speak(route.dialect);
    let origin = origins.iter().find(speaks);
    let origin = Rc::clone(origin.ok_or(ProxyError::NoUpstream)?);
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
        scheme: Scheme::of(&inbound.head, &origin, route.dialect),
        auth: worker.config.auth,
        via: origin.settings().via,
        request_id,
        tracing: worker.tracer.as_deref().map(|tracer| {
            let trace = trace.filter(|_| tracer.settings().propagate);
            trace.map(Trace::told)
        }),
        named: ConnectionOptions::of(&inbound.head),
        forwarded_for: None,
    };
    let switches = edit.switches;
    let key = origin.link.keys.current();
    let head = encode_head(worker, &origin, key, edit, target)?;
    let keep = usize::try_from(worker.live().retries.body).unwrap_or(usize::MAX);
    Ok(Outbound {
        message: Message::new(head, body, keep),
        place: Place { origin, key },
        adds_usage: adds_usage && body != Framing::None,
        switches,
    })
}

/// How a key is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    /// As `Authorization: Bearer`.
    Bearer,
    /// As `x-api-key`.
    ApiKey,
}

impl Scheme {
    /// OpenAI's API knows one way, Anthropic's two, of which its own accepts the second only for keys.
    fn of(head: &HeadView<'_>, origin: &Origin, dialect: Dialect) -> Self {
        match (origin.settings().dialect, dialect) {
            (Dialects::OpenAi, _) | (_, Dialect::OpenAi) => Self::Bearer,
            (Dialects::Anthropic, _) => Self::ApiKey,
            (Dialects::All, Dialect::Anthropic) if has_bearer(head) => Self::Bearer,
            (Dialects::All, Dialect::Anthropic) => Self::ApiKey,
        }
    }

    /// The beginning of the field.
    const fn prefix(self) -> &'static [u8] {
        match self {
            Self::Bearer => b"authorization: Bearer ",
            Self::ApiKey => b"x-api-key: ",
        }
    }
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

fn encode_head(
    worker: &Worker,
    origin: &Origin,
    key: usize,
    mut edit: Edit<'_>,
    target: &Target<'_>,
) -> Result<Guarded, ProxyError> {
    let mut out = worker.spare.buffer();
    out.extend(edit.inbound.head.method());
    out.extend(b" ");
    out.extend(origin.settings().base_url.prefix().as_bytes());
    out.extend(target.path_and_query);
    out.extend(b" HTTP/1.1\r\nhost: ");
    out.extend(origin.authority.as_bytes());
    out.extend(b"\r\n");
    let inbound = edit.inbound;
    inbound.head.copy_fields(
        |name, text, value| edit.keeps(name, text, value),
        |lines| out.extend(lines),
    );
    edit.additions(|name, value, rest| {
        out.extend(name);
        out.extend(b": ");
        out.extend(value);
        out.extend(rest);
        out.extend(b"\r\n");
    });
    if edit.auth.injects_key() {
        let put = |secret: Option<&Secret>| put_key(&mut out, edit.scheme, secret);
        origin.link.keys.get(key).with(put)?;
    }
    end_head(&mut out, edit.body, inbound.head.method());
    Ok(out)
}

fn put_key(out: &mut Guarded, scheme: Scheme, secret: Option<&Secret>) -> Result<(), ProxyError> {
    let secret = secret.ok_or(ProxyError::UpstreamKeyMissing)?;
    out.extend(scheme.prefix());
    out.extend_secret(secret.expose());
    out.extend(b"\r\n");
    Ok(())
}

fn end_head(out: &mut Guarded, body: Framing, method: &[u8]) {
    let framing = match body {
        Framing::None if method != b"GET" => Framing::Length(0),
        body => body,
    };
    encode::framing(out.reserve(FRAMING_BYTES), framing);
    out.extend(b"\r\n");
}

/// What to change in a request's fields.
struct Edit<'a> {
    for_cache: bool,
    /// How long the body will be.
    body: Framing,
    /// Asks for an answer that can be looked at.
    plain: bool,
    inbound: &'a Inbound<'a>,
    scheme: Scheme,
    auth: Auth,
    via: bool,
    request_id: &'a [u8],
    /// With traces, what upstream is told of this one.
    tracing: Option<Option<(String, &'a str)>>,
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
                !self.auth.injects_key()
            }
            FieldName::AcceptEncoding => !self.plain,
            // Compressed messages could not be looked at.
            FieldName::SecWebSocketExtensions => !self.plain,
            FieldName::SecWebSocketProtocol if self.auth.injects_key() => {
                for option in framing::options(value).filter(|option| key_in(option).is_none()) {
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
            // What a client says of its trace is not upstream's business, or is said anew.
            FieldName::Other if self.tracing.is_some() && traces::is_ours(text) => false,
            name => !name.is_hop_by_hop() && !self.named.contains(text),
        }
    }

    /// Gives every field the proxy adds, but for the key, to `put`: its name, and its value in two parts.
    fn additions(&self, mut put: impl FnMut(&[u8], &[u8], &[u8])) {
        if self.for_cache {
            put(b"accept", b"application/json", b"");
            put(b"accept-encoding", b"identity", b"");
            put(b"user-agent", USER_AGENT.as_bytes(), b"");
        }
        if self.plain {
            put(b"accept-encoding", b"identity", b"");
        }
        if self.switches {
            put(b"connection", b"Upgrade", b"");
            put(b"upgrade", b"websocket", b"");
        }
        if let Some(list) = self
            .protocols
            .as_ref()
            .and_then(|list| list.strip_suffix(b", "))
        {
            put(b"sec-websocket-protocol", list, b"");
        }
        if self.tracing.is_some() {
            self.trace(&mut put);
        }
        self.origin(&mut put);
    }

    /// What upstream is told of the request's trace. Out of the way of requests without traces, which are most.
    #[cold]
    fn trace(&self, put: &mut impl FnMut(&[u8], &[u8], &[u8])) {
        if let Some(Some((parent, state))) = self.tracing.as_ref().filter(|_| !self.for_cache) {
            put(b"traceparent", parent.as_bytes(), b"");
            if !state.is_empty() {
                put(b"tracestate", state.as_bytes(), b"");
            }
        }
    }

    /// Who sent the request, as the article's nginx says it.
    fn origin(&self, put: &mut impl FnMut(&[u8], &[u8], &[u8])) {
        let peer = self.inbound.peer.text();
        match &self.forwarded_for {
            Some(list) => put(b"x-forwarded-for", list, peer),
            None => put(b"x-forwarded-for", peer, b""),
        }
        put(b"x-real-ip", peer, b"");
        let scheme: &[u8] = if self.inbound.https {
            b"https"
        } else {
            b"http"
        };
        put(b"x-forwarded-proto", scheme, b"");
        put(b"x-request-id", self.request_id, b"");
        if self.via {
            // The version is that of the message received.
            let version: &[u8] = match self.inbound.head.version() {
                Version::Http10 => b"1.0",
                Version::Http11 => b"1.1",
                Version::Http2 => b"2.0",
            };
            put(b"via", version, b" holysheep-proxy");
        }
    }
}

/// The key that a protocol is which a WebSocket's client offers: how browsers send one, which cannot set fields.
pub fn key_in(protocol: &[u8]) -> Option<&[u8]> {
    protocol.strip_prefix(b"openai-insecure-api-key.")
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

/// Gives every field of a response that passes to the client; without upstream's limits if the client has its own.
pub fn response_fields<D: Downstream>(head: &HeadView<'_>, client: &mut D, has_limits: bool) {
    let named = ConnectionOptions::of(head);
    client.fields(head, |name, text, _| match name {
        FieldName::XRequestId | FieldName::XHolysheepError => false,
        FieldName::XRateLimit if has_limits => false,
        name => !name.is_hop_by_hop() && !named.contains(text),
    });
    // The client's id is the one in our log; upstream's is kept beside it.
    for id in head.values(FieldName::XRequestId) {
        client.field(b"x-upstream-request-id", id);
    }
}
