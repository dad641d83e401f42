//! Spans as OTLP has them in JSON: `ExportTraceServiceRequest`, with ids in hexadecimal digits and 64-bit numbers as text.
//!
//! Names of spans and attributes are those of OpenTelemetry's semantic conventions for HTTP and for generative AI, where
//! there are some. Nothing of a prompt or an answer is among them.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::attempt::{Attempt, Came};
use super::finished::Finished;
use super::shape::{
    Attributes, Event, Export, Resource, ResourceSpans, Scope, ScopeSpans, Span, Status,
};
use crate::config::Traces;
use crate::http1::head::Version;
use crate::route::Operation;
use crate::upstream::{Links, SharedLinks};

/// `SPAN_KIND_SERVER` and `SPAN_KIND_CLIENT`.
const SERVER: u8 = 2;
const CLIENT: u8 = 3;
/// `STATUS_CODE_ERROR`
const ERROR: u8 = 2;
/// Methods that a span's name and attributes may have; any text can come as another.
const METHODS: [&str; 8] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT",
];

/// What is the same for all spans.
#[derive(Debug)]
pub(super) struct Encoder {
    resource: Resource,
    links: SharedLinks,
}

/// The wall clock, to tell what an [`Instant`] was.
#[derive(Clone, Copy)]
struct Clock(Instant, SystemTime);

impl Clock {
    fn nanos(self, at: Instant) -> String {
        let before = self.0.saturating_duration_since(at);
        let after = at.saturating_duration_since(self.0);
        let unix = self.1.duration_since(UNIX_EPOCH).unwrap_or_default();
        (unix + after).saturating_sub(before).as_nanos().to_string()
    }
}

impl Encoder {
    pub(super) fn new(settings: &Traces, links: &SharedLinks) -> Self {
        let version = Some(env!("CARGO_PKG_VERSION"));
        let mut attributes = Attributes::default()
            .text("service.name", Some(settings.service_name.clone()))
            .text("service.version", version);
        for (name, value) in &settings.attributes {
            attributes = attributes.text(name.clone(), Some(value.clone()));
        }
        Self {
            resource: Resource { attributes },
            links: Arc::clone(links),
        }
    }

    /// The body of a request with all spans of these requests.
    pub(super) fn body(&self, requests: &[Finished]) -> Vec<u8> {
        let clock = Clock(Instant::now(), SystemTime::now());
        let links = self.links.load_full();
        let mut spans = Vec::new();
        for request in requests {
            spans.push(server(request, clock));
            let attempts = request.trace.attempts.iter().enumerate();
            spans.extend(
                attempts.map(|(index, attempt)| client(request, (index, attempt), &links, clock)),
            );
        }
        let scope = Scope {
            name: "holysheep-proxy",
            version: env!("CARGO_PKG_VERSION"),
        };
        let export = Export {
            resource_spans: [ResourceSpans {
                resource: &self.resource,
                scope_spans: [ScopeSpans { scope, spans }],
            }],
        };
        // Nothing in it is a map with keys that are no text, which is all that can fail.
        serde_json::to_vec(&export).unwrap_or_default()
    }
}

/// One attempt.
fn client<'a>(
    request: &'a Finished,
    (index, attempt): (usize, &Attempt),
    links: &'a Links,
    clock: Clock,
) -> Span<'a> {
    let is_last = index + 1 == request.trace.attempts.len();
    let (ended, came) = match attempt.end {
        Some((at, came)) => (at, Some(came)),
        None => request.last_end(),
    };
    let mut attributes =
        transport(request, (index, attempt), links).text("error.type", came.map(Came::error_type));
    if let Some(operation) = request.operation() {
        let provider = links.name(attempt.upstream);
        attributes = gen_ai(attributes, request, operation, provider, is_last);
    }
    let name = match (request.operation(), &request.model) {
        (Some(operation), Some(model)) => format!("{} {model}", operation.as_str()).into(),
        (Some(operation), None) => operation.as_str().into(),
        (None, _) => method(&request.method).into(),
    };
    let mut events = attempt.events(ended);
    if let Some(first) = request.first_token.filter(|_| is_last) {
        events.push(("gen_ai.first_token", first.min(ended)));
    }
    let event = |(name, at)| Event {
        name,
        time_unix_nano: clock.nanos(at),
    };
    Span {
        trace_id: request.trace.id(),
        span_id: format!("{:016x}", attempt.span),
        parent_span_id: format!("{:016x}", request.trace.span),
        trace_state: &request.trace.context.state,
        flags: 0x101,
        name,
        kind: CLIENT,
        start_time_unix_nano: clock.nanos(attempt.started),
        end_time_unix_nano: clock.nanos(ended),
        attributes,
        events: events.into_iter().map(event).collect(),
        status: status(came.is_some_and(Came::is_error)),
    }
}

/// What an attempt is, as HTTP and TCP see it.
fn transport<'a>(
    request: &'a Finished,
    (index, attempt): (usize, &Attempt),
    links: &'a Links,
) -> Attributes<'a> {
    let upstream = links.iter().find(|link| link.slot == attempt.upstream);
    // Of one that is no longer there only the name is known.
    let url = upstream.map(|link| &link.settings.base_url);
    let kernel = attempt.kernel;
    let secs = |time: Option<std::time::Duration>| time.map(|time| time.as_secs_f64());
    Attributes::default()
        .text("http.request.method", Some(method(&request.method)))
        .text("server.address", url.map(|url| url.host()))
        .number("server.port", url.map(|url| u64::from(url.port())))
        .text(
            "network.peer.address",
            attempt.endpoint.map(|at| at.ip().to_string()),
        )
        .number(
            "network.peer.port",
            attempt.endpoint.map(|at| u64::from(at.port())),
        )
        .number(
            "http.response.status_code",
            attempt.head.map(|(_, status)| u64::from(status)),
        )
        .number(
            "http.request.resend_count",
            (index > 0).then_some(index as u64),
        )
        .seconds("holysheep.kernel.connect_seconds", secs(kernel.connect))
        .seconds("holysheep.kernel.rtt_seconds", secs(kernel.rtt))
        .seconds(
            "holysheep.kernel.first_byte_seconds",
            secs(kernel.first_byte),
        )
        .seconds(
            "holysheep.kernel.wakeup_lag_seconds",
            secs(kernel.wakeup_lag),
        )
        .number(
            "holysheep.kernel.retransmits",
            kernel.retransmits.map(u64::from),
        )
}

/// What a request asks of a model, and what the last of its attempts brought.
fn gen_ai<'a>(
    attributes: Attributes<'a>,
    request: &'a Finished,
    operation: Operation,
    provider: Option<&'a str>,
    is_last: bool,
) -> Attributes<'a> {
    let attributes = attributes
        .text("gen_ai.operation.name", Some(operation.as_str()))
        .text("gen_ai.provider.name", provider)
        .text("gen_ai.request.model", request.model.as_deref())
        .flag("gen_ai.request.stream", request.is_stream);
    if !is_last {
        return attributes;
    }
    let cached = request.cached_tokens;
    attributes
        .text("gen_ai.response.model", request.response_model.as_deref())
        .number("gen_ai.usage.input_tokens", request.input_tokens)
        .number("gen_ai.usage.output_tokens", request.output_tokens)
        .number("gen_ai.usage.cache_read.input_tokens", cached)
}

/// The request as its client sees it.
fn server(request: &Finished, clock: Clock) -> Span<'_> {
    let context = &request.trace.context;
    let template = request.route.map(|route| route.get().template);
    let name = match template {
        Some(template) => format!("{} {template}", method(&request.method)).into(),
        None => method(&request.method).into(),
    };
    // A server is not to blame for what its client did wrong, or when it left.
    let is_error = request.status >= 500 || request.error.is_some() && request.status < 400;
    let is_error = is_error && request.error != Some("client_closed");
    let error = match request.error {
        Some(code) => Some(code.to_owned()),
        None => (request.status >= 500).then(|| request.status.to_string()),
    };
    let version = match request.version {
        Version::Http10 => "1.0",
        Version::Http11 => "1.1",
        Version::Http2 => "2",
    };
    let scheme = match request.trace.is_https {
        true => "https",
        false => "http",
    };
    let other = (method(&request.method) == "_OTHER").then_some(&*request.method);
    let attributes = Attributes::default()
        .text("http.request.method", Some(method(&request.method)))
        .text("http.request.method_original", other)
        .text("http.route", template)
        .text("url.scheme", Some(scheme))
        .text("url.path", Some(&*request.path))
        .number("http.response.status_code", Some(u64::from(request.status)))
        .text("network.protocol.version", Some(version))
        .text("client.address", Some(&*request.peer))
        .text("user_agent.original", Some(&*request.user_agent))
        .text("error.type", error)
        .text("holysheep.request_id", Some(&*request.request_id))
        .text("holysheep.client", Some(&*request.client))
        .text("holysheep.end", Some(request.end.as_str()));
    let parent = match context.parent {
        0 => String::new(),
        parent => format!("{parent:016x}"),
    };
    Span {
        trace_id: request.trace.id(),
        span_id: format!("{:016x}", request.trace.span),
        parent_span_id: parent,
        trace_state: &context.state,
        // Sampled; it is known whether the parent is elsewhere, and it is if there is one.
        flags: if context.parent == 0 { 0x101 } else { 0x301 },
        name,
        kind: SERVER,
        start_time_unix_nano: clock.nanos(request.started),
        end_time_unix_nano: clock.nanos(request.ended),
        attributes,
        events: Vec::new(),
        status: status(is_error),
    }
}

fn status(is_error: bool) -> Status {
    Status {
        code: is_error.then_some(ERROR),
    }
}

fn method(sent: &str) -> &str {
    METHODS
        .into_iter()
        .find(|known| *known == sent)
        .unwrap_or("_OTHER")
}
