//! Spans as OTLP has them in JSON: `ExportTraceServiceRequest`, with ids in hexadecimal digits and 64-bit numbers as text.
//!
//! Names of spans and attributes are those of OpenTelemetry's semantic conventions for HTTP and for generative AI, where
//! there are some. Nothing of a prompt or an answer is among them.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::attempt::{Attempt, Came};
use super::finished::Finished;
use crate::config::Traces;
use crate::http1::head::Version;
use crate::route::Operation;
use crate::upstream::SharedLinks;

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
    resource: Value,
    links: SharedLinks,
}

/// Attributes of a span; what is not known is left out.
#[derive(Default)]
struct Attributes(Vec<Value>);

impl Attributes {
    #[expect(
        clippy::needless_pass_by_value,
        reason = "what is borrowed and what was made for it go in alike"
    )]
    fn text(mut self, key: &str, value: Option<impl AsRef<str>>) -> Self {
        if let Some(value) = value
            .as_ref()
            .map(AsRef::as_ref)
            .filter(|text| !text.is_empty())
        {
            self.0
                .push(json!({"key": key, "value": {"stringValue": value}}));
        }
        self
    }

    fn number(mut self, key: &str, value: Option<u64>) -> Self {
        if let Some(value) = value {
            let value = value.to_string();
            self.0
                .push(json!({"key": key, "value": {"intValue": value}}));
        }
        self
    }

    fn seconds(mut self, key: &str, value: Option<f64>) -> Self {
        if let Some(value) = value {
            self.0
                .push(json!({"key": key, "value": {"doubleValue": value}}));
        }
        self
    }

    fn flag(mut self, key: &str, value: bool) -> Self {
        if value {
            self.0
                .push(json!({"key": key, "value": {"boolValue": true}}));
        }
        self
    }
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
            .text("service.name", Some(&settings.service_name))
            .text("service.version", version);
        for (name, value) in &settings.attributes {
            attributes = attributes.text(name, Some(value));
        }
        Self {
            resource: json!({"attributes": attributes.0}),
            links: Arc::clone(links),
        }
    }

    /// The body of a request with all spans of these requests.
    pub(super) fn body(&self, requests: &[Finished]) -> Vec<u8> {
        let clock = Clock(Instant::now(), SystemTime::now());
        let mut spans = Vec::new();
        for request in requests {
            spans.push(server(request, clock));
            let attempts = request.trace.attempts.iter().enumerate();
            spans.extend(
                attempts.map(|(index, attempt)| self.client(request, index, attempt, clock)),
            );
        }
        let scope = json!({"name": "holysheep-proxy", "version": env!("CARGO_PKG_VERSION")});
        let scope_spans = json!([{"scope": scope, "spans": spans}]);
        let body = json!({
            "resourceSpans": [{"resource": self.resource, "scopeSpans": scope_spans}]
        });
        body.to_string().into_bytes()
    }

    fn client(&self, request: &Finished, index: usize, attempt: &Attempt, clock: Clock) -> Value {
        let is_last = index + 1 == request.trace.attempts.len();
        let (ended, came) = match attempt.end {
            Some((at, came)) => (at, Some(came)),
            None => request.last_end(),
        };
        let links = self.links.load();
        let upstream = links.iter().find(|link| link.slot == attempt.upstream);
        // Of one that is no longer there only the name is known.
        let url = upstream.map(|link| &link.settings.base_url);
        let kernel = attempt.kernel;
        let secs = |time: Option<std::time::Duration>| time.map(|time| time.as_secs_f64());
        let mut attributes = Attributes::default()
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
            .text("error.type", came.map(Came::error_type))
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
            );
        if let Some(operation) = request.operation() {
            let provider = links.name(attempt.upstream);
            attributes = gen_ai(attributes, request, operation, provider, is_last);
        }
        let name = match (request.operation(), &request.model) {
            (Some(operation), Some(model)) => format!("{} {model}", operation.as_str()),
            (Some(operation), None) => operation.as_str().to_owned(),
            (None, _) => method(&request.method).to_owned(),
        };
        let mut events = attempt.events(ended);
        if let Some(first) = request.first_token.filter(|_| is_last) {
            events.push(("gen_ai.first_token", first.min(ended)));
        }
        let events = events
            .into_iter()
            .map(|(name, at)| json!({"name": name, "timeUnixNano": clock.nanos(at)}));
        json!({
            "traceId": request.trace.id(),
            "spanId": format!("{:016x}", attempt.span),
            "parentSpanId": format!("{:016x}", request.trace.span),
            "traceState": request.trace.context.state,
            "flags": 0x101,
            "name": name,
            "kind": CLIENT,
            "startTimeUnixNano": clock.nanos(attempt.started),
            "endTimeUnixNano": clock.nanos(ended),
            "attributes": attributes.0,
            "events": events.collect::<Vec<_>>(),
            "status": status(came.is_some_and(Came::is_error)),
        })
    }
}

/// What a request asks of a model, and what the last of its attempts brought.
fn gen_ai(
    attributes: Attributes,
    request: &Finished,
    operation: Operation,
    provider: Option<&str>,
    is_last: bool,
) -> Attributes {
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

fn server(request: &Finished, clock: Clock) -> Value {
    let context = &request.trace.context;
    let template = request.route.map(|route| route.get().template);
    let name = match template {
        Some(template) => format!("{} {template}", method(&request.method)),
        None => method(&request.method).to_owned(),
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
    let other = (method(&request.method) == "_OTHER").then_some(&request.method);
    let attributes = Attributes::default()
        .text("http.request.method", Some(method(&request.method)))
        .text("http.request.method_original", other)
        .text("http.route", template)
        .text("url.scheme", Some(scheme))
        .text("url.path", Some(&request.path))
        .number("http.response.status_code", Some(u64::from(request.status)))
        .text("network.protocol.version", Some(version))
        .text("client.address", Some(&request.peer))
        .text("user_agent.original", Some(&request.user_agent))
        .text("error.type", error)
        .text("holysheep.request_id", Some(&request.request_id))
        .text("holysheep.client", Some(&request.client))
        .text("holysheep.end", Some(request.end.as_str()));
    let parent = match context.parent {
        0 => String::new(),
        parent => format!("{parent:016x}"),
    };
    json!({
        "traceId": request.trace.id(),
        "spanId": format!("{:016x}", request.trace.span),
        "parentSpanId": parent,
        "traceState": context.state,
        // Sampled; it is known whether the parent is elsewhere, and it is if there is one.
        "flags": if context.parent == 0 { 0x101 } else { 0x301 },
        "name": name,
        "kind": SERVER,
        "startTimeUnixNano": clock.nanos(request.started),
        "endTimeUnixNano": clock.nanos(request.ended),
        "attributes": attributes.0,
        "status": status(is_error),
    })
}

fn status(is_error: bool) -> Value {
    match is_error {
        true => json!({"code": ERROR}),
        false => json!({}),
    }
}

fn method(sent: &str) -> &str {
    METHODS
        .into_iter()
        .find(|known| *known == sent)
        .unwrap_or("_OTHER")
}
