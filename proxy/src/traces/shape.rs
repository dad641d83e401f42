//! The shapes of OTLP's JSON mapping, as far as spans need them: `opentelemetry/proto/trace/v1/trace.proto`. Written once,
//! straight into text; trees of values in between took ten times as long as the requests that they told of.

use std::borrow::Cow;

use serde::{Serialize, Serializer};

/// `ExportTraceServiceRequest`
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Export<'a> {
    pub(super) resource_spans: [ResourceSpans<'a>; 1],
}

/// `ResourceSpans`
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ResourceSpans<'a> {
    pub(super) resource: &'a Resource,
    pub(super) scope_spans: [ScopeSpans<'a>; 1],
}

/// `Resource`
#[derive(Debug, Serialize)]
pub(super) struct Resource {
    pub(super) attributes: Attributes<'static>,
}

/// `ScopeSpans`
#[derive(Serialize)]
pub(super) struct ScopeSpans<'a> {
    pub(super) scope: Scope,
    pub(super) spans: Vec<Span<'a>>,
}

/// `InstrumentationScope`
#[derive(Serialize)]
pub(super) struct Scope {
    pub(super) name: &'static str,
    pub(super) version: &'static str,
}

/// `Span`
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Span<'a> {
    pub(super) trace_id: String,
    pub(super) span_id: String,
    pub(super) parent_span_id: String,
    pub(super) trace_state: &'a str,
    pub(super) flags: u32,
    pub(super) name: Cow<'a, str>,
    pub(super) kind: u8,
    pub(super) start_time_unix_nano: String,
    pub(super) end_time_unix_nano: String,
    pub(super) attributes: Attributes<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) events: Vec<Event>,
    pub(super) status: Status,
}

/// `Span.Event`
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Event {
    pub(super) name: &'static str,
    pub(super) time_unix_nano: String,
}

/// `Status`
#[derive(Serialize)]
pub(super) struct Status {
    /// Nothing where nothing went wrong: whoever asked says whether that is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<u8>,
}

/// `KeyValue`
#[derive(Debug, Serialize)]
struct KeyValue<'a> {
    key: Cow<'a, str>,
    value: AnyValue<'a>,
}

/// `AnyValue`
#[derive(Debug, Serialize)]
enum AnyValue<'a> {
    #[serde(rename = "stringValue")]
    Text(Cow<'a, str>),
    /// A number of 64 bits is text in JSON.
    #[serde(rename = "intValue", serialize_with = "as_text")]
    Number(u64),
    #[serde(rename = "doubleValue")]
    Seconds(f64),
    #[serde(rename = "boolValue")]
    Flag(bool),
}

fn as_text<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(number)
}

/// Attributes of a span; what is not known is left out.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub(super) struct Attributes<'a>(Vec<KeyValue<'a>>);

impl<'a> Attributes<'a> {
    fn with(mut self, key: impl Into<Cow<'a, str>>, value: AnyValue<'a>) -> Self {
        let key = key.into();
        self.0.push(KeyValue { key, value });
        self
    }

    pub(super) fn text(
        self,
        key: impl Into<Cow<'a, str>>,
        value: Option<impl Into<Cow<'a, str>>>,
    ) -> Self {
        match value.map(Into::into).filter(|text| !text.is_empty()) {
            Some(text) => self.with(key, AnyValue::Text(text)),
            None => self,
        }
    }

    pub(super) fn number(self, key: &'static str, value: Option<u64>) -> Self {
        match value {
            Some(number) => self.with(key, AnyValue::Number(number)),
            None => self,
        }
    }

    pub(super) fn seconds(self, key: &'static str, value: Option<f64>) -> Self {
        match value {
            Some(seconds) => self.with(key, AnyValue::Seconds(seconds)),
            None => self,
        }
    }

    pub(super) fn flag(self, key: &'static str, value: bool) -> Self {
        match value {
            true => self.with(key, AnyValue::Flag(true)),
            false => self,
        }
    }
}
