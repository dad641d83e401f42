//! An answer before it is sent, and the error shapes of both dialects.

use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;

use super::sse::EventStream;
use crate::bill::Use;
use crate::body::Source;
use crate::fault::RetryHints;
use crate::routes::Dialect;

const JSON: &str = "application/json";
const EVENT_STREAM: &str = "text/event-stream; charset=utf-8";

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) content_type: &'static str,
    pub(crate) hints: RetryHints,
    pub(crate) source: Source,
    /// What it is billed for, if its tokens are counted.
    pub(crate) used: Option<Use>,
}

impl Answer {
    pub(crate) fn json(value: &impl Serialize) -> Self {
        // Fails for maps with keys that are not strings, of which there are none here.
        let bytes = serde_json::to_vec(value).unwrap_or_default();
        Self::json_source(Source::Whole(Bytes::from(bytes)))
    }

    pub(crate) fn json_source(source: Source) -> Self {
        Self {
            status: StatusCode::OK,
            content_type: JSON,
            hints: RetryHints::default(),
            source,
            used: None,
        }
    }

    pub(crate) fn events(stream: EventStream) -> Self {
        Self {
            content_type: EVENT_STREAM,
            ..Self::json_source(Source::Events(Box::new(stream)))
        }
    }

    pub(crate) fn bytes(content_type: &'static str, bytes: &'static [u8]) -> Self {
        Self {
            content_type,
            ..Self::json_source(Source::Whole(Bytes::from_static(bytes)))
        }
    }

    pub(crate) fn bad_request(dialect: Dialect, message: &str) -> Self {
        Self::error(dialect, StatusCode::BAD_REQUEST, None, message)
    }

    /// The error a fault asked for.
    pub(crate) fn status(dialect: Dialect, status: u16, hints: RetryHints) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let code = match status {
            StatusCode::UNAUTHORIZED => Some("invalid_api_key"),
            StatusCode::PAYMENT_REQUIRED => Some("insufficient_quota"),
            StatusCode::TOO_MANY_REQUESTS => Some("rate_limit_exceeded"),
            _ => None,
        };
        let reason = status.canonical_reason().unwrap_or("Error");
        let message = format!("{reason} (a fault of the emulator)");
        Self {
            hints,
            ..Self::error(dialect, status, code, &message)
        }
    }

    /// An error body with the four keys of OpenAI, or in the envelope of Anthropic.
    pub(crate) fn error(
        dialect: Dialect,
        status: StatusCode,
        code: Option<&str>,
        message: &str,
    ) -> Self {
        let kind = kind(dialect, status);
        let answer = match dialect {
            Dialect::OpenAi => Self::json(&OpenAiError {
                error: OpenAiErrorBody {
                    message,
                    kind,
                    param: (),
                    code,
                },
            }),
            Dialect::Anthropic => Self::json(&AnthropicError {
                kind: "error",
                error: AnthropicErrorBody { kind, message },
            }),
        };
        Self { status, ..answer }
    }

    pub(crate) fn is_stream(&self) -> bool {
        matches!(self.source, Source::Events(_))
    }
}

#[derive(Serialize)]
struct OpenAiError<'a> {
    error: OpenAiErrorBody<'a>,
}

#[derive(Serialize)]
struct OpenAiErrorBody<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    param: (),
    code: Option<&'a str>,
}

#[derive(Serialize)]
struct AnthropicError<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    error: AnthropicErrorBody<'a>,
}

#[derive(Serialize)]
struct AnthropicErrorBody<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    message: &'a str,
}

/// The `type` of an error: both dialects derive it from the status.
fn kind(dialect: Dialect, status: StatusCode) -> &'static str {
    match (dialect, status.as_u16()) {
        (Dialect::OpenAi, 402) => "insufficient_quota",
        (Dialect::OpenAi, 429) => "rate_limit_error",
        (Dialect::OpenAi, 500..) => "server_error",
        (Dialect::OpenAi, _) => "invalid_request_error",
        (Dialect::Anthropic, 401) => "authentication_error",
        (Dialect::Anthropic, 402) => "billing_error",
        (Dialect::Anthropic, 403) => "permission_error",
        (Dialect::Anthropic, 404) => "not_found_error",
        (Dialect::Anthropic, 413) => "request_too_large",
        (Dialect::Anthropic, 429) => "rate_limit_error",
        (Dialect::Anthropic, 529) => "overloaded_error",
        (Dialect::Anthropic, 500..) => "api_error",
        (Dialect::Anthropic, _) => "invalid_request_error",
    }
}
