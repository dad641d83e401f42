//! Everything the proxy itself can answer a request with instead of
//! upstream's response: one enum, one exhaustive mapping to status, code,
//! type, when the client may try again, and whether the proxy may.

mod remedy;

use std::borrow::Cow;
use std::time::Duration;

use crate::limits::Limit;
use crate::route::Dialect;

/// A request the proxy could not, or would not, let upstream answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// No client key, or an unknown one.
    #[error("no valid API key was given")]
    InvalidApiKey,
    /// The right key of a client whose time is over.
    #[error("this API key has expired; the proxy's operator has to renew it")]
    ClientExpired,
    /// The right key of a client that is switched off.
    #[error("this API key is disabled; the proxy's operator has to enable it")]
    ClientDisabled,
    /// The path is not one that this client may use.
    #[error("this API key may not use this path")]
    RouteNotAllowed,
    /// The model is not one that this client may use.
    #[error("this API key may not use the model {0}")]
    ModelNotAllowed(Box<str>),
    /// This client may use some models only, and the request names none where it can be seen.
    #[error(
        "this API key may use some models only, and which one this request is for cannot be seen: \
         it has to be named once, in plain JSON"
    )]
    ModelNotKnown,
    /// The path is none of the API's.
    #[error("there is no such path; the API's paths are listed in the proxy's documentation")]
    UnknownRoute,
    /// The path exists with other methods only.
    #[error("this path does not support the method; allowed: {allow}")]
    MethodNotAllowed {
        /// The value for the `Allow` field.
        allow: &'static str,
    },
    /// The body is longer than the limit.
    #[error("the request body is larger than {limit} bytes")]
    RequestTooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// The head is longer than the limit, or has too many fields.
    #[error("the request head is larger than {limit} bytes or has more than 100 fields")]
    HeadersTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The request is not valid HTTP.
    #[error("the request is malformed: {0}")]
    InvalidRequest(Cow<'static, str>),
    /// The client stopped sending in the middle of its request.
    #[error("the request did not arrive in time")]
    RequestTimeout,
    /// The client has had as much of late as it may.
    #[error("the limit of {} is reached; try again in {}", .limit.in_words(), humantime::format_duration(whole_millis(*.retry_after)))]
    RateLimited {
        /// Which limit.
        limit: Limit,
        /// Until there is as much again.
        retry_after: Duration,
    },
    /// The client has cost as much as it may.
    #[error("the budget of this API key in {} is spent; it begins anew in {}", .limit.in_words(), humantime::format_duration(Duration::from_secs(.retry_after.as_secs())))]
    InsufficientQuota {
        /// For a day or a month.
        limit: Limit,
        /// Until the next begins.
        retry_after: Duration,
    },
    /// What is left of the client's budget is what its requests under way are thought to cost.
    #[error("what is left of the budget of this API key in {} may be spent by its requests under way; try again when they have ended", .0.in_words())]
    QuotaReserved(Limit),
    /// Upstream refuses the key the proxy adds.
    #[error("upstream refused the proxy's API key; its owner has to renew it")]
    UpstreamInvalidApiKey,
    /// The proxy has no key to add.
    #[error("the proxy has no upstream API key; its operator has to configure one")]
    UpstreamKeyMissing,
    /// No TCP or TLS connection could be made.
    #[error("no connection to upstream: {0}")]
    UpstreamConnectFailed(Cow<'static, str>),
    /// Upstream's name has no address.
    #[error("upstream's name could not be resolved: {0}")]
    UpstreamDnsFailed(Cow<'static, str>),
    /// Upstream's certificate has expired.
    #[error("upstream's certificate has expired")]
    UpstreamCertificateExpired,
    /// Upstream's certificate is not valid for another reason.
    #[error("upstream's certificate is not valid: {0}")]
    UpstreamCertificateInvalid(Cow<'static, str>),
    /// Connecting took too long.
    #[error("connecting to upstream took longer than {}", humantime::format_duration(*.0))]
    UpstreamConnectTimeout(Duration),
    /// No response head came.
    #[error("upstream did not begin to answer within {}", humantime::format_duration(*.0))]
    UpstreamFirstByteTimeout(Duration),
    /// The response stopped in the middle.
    #[error("upstream sent nothing for {} in the middle of its answer", humantime::format_duration(*.0))]
    UpstreamIdleTimeout(Duration),
    /// The request took longer than it may in all.
    #[error("the request was not complete within {}", humantime::format_duration(*.0))]
    TotalTimeout(Duration),
    /// Upstream closed the connection before its answer was complete.
    #[error("upstream closed the connection before its answer was complete")]
    UpstreamClosed,
    /// Upstream answered with something that is not HTTP.
    #[error("upstream's answer is malformed: {0}")]
    UpstreamInvalidResponse(Cow<'static, str>),
    /// Every upstream that could serve the request has failed of late, and is left alone for so many seconds.
    #[error("upstream has failed repeatedly and is not asked at the moment")]
    UpstreamUnavailable {
        /// When it is tried again.
        retry_after: u32,
    },
    /// No upstream has the API that the path belongs to.
    #[error("none of the proxy's upstreams has this API")]
    NoUpstream,
    /// The proxy is at its own cap.
    #[error("the proxy is at its limit of concurrent requests")]
    Overloaded,
    /// The proxy stops, and its drain is over.
    #[error("the proxy is stopping, and the time for running requests is over; send it again")]
    Stopping,
    /// A delivery to the webhook is not signed with a secret the proxy has.
    #[error("the delivery's signature is not right: {0}")]
    WebhookBadSignature(&'static str),
    /// A delivery was signed too long ago, or for a time to come.
    #[error("the delivery's time differs from the proxy's by more than {}", humantime::format_duration(*.0))]
    WebhookStale(Duration),
    /// A delivery that is under way, or has been taken.
    #[error("this delivery has come before")]
    WebhookRepeated,
    /// The receiver did not take a delivery. Why is the operator's business, and in the log.
    #[error("the delivery could not be handed on; send it again later")]
    WebhookForwardFailed,
    /// The client went away; nobody reads the answer.
    #[error("the client closed the connection")]
    ClientClosed,
}

/// What the mapping says of one error.
#[derive(Debug, Clone, Copy)]
pub struct ErrorClass {
    /// HTTP status code.
    pub status: u16,
    /// `x-holysheep-error`, the `code` of the body, and the metric label.
    pub code: &'static str,
    /// The `type` OpenAI's API gives such an error.
    pub openai_type: &'static str,
    /// The `type` Anthropic's API gives such an error.
    pub anthropic_type: &'static str,
    /// Seconds for `retry-after`: where the proxy knows.
    pub retry_after: Option<u32>,
    /// Whether another attempt of the proxy's may follow.
    pub retry: Retry,
}

/// Whether, and when, the proxy may try a request again that ended with an
/// error. The rule behind it: never what upstream may have begun to work on,
/// as it would be billed twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Never: it would fail again, or upstream may have had the request.
    Never,
    /// On another connection, as long as upstream has certainly had nothing of it.
    Unread,
    /// Wherever one likes: it has not been sent.
    Unsent,
}

const fn class(
    status: u16,
    code: &'static str,
    types: (&'static str, &'static str),
    retry: Retry,
) -> ErrorClass {
    ErrorClass {
        status,
        code,
        openai_type: types.0,
        anthropic_type: types.1,
        retry_after: None,
        retry,
    }
}

const INVALID: (&str, &str) = ("invalid_request_error", "invalid_request_error");
/// What they call a key that may not do something.
const PERMISSION: (&str, &str) = ("invalid_request_error", "permission_error");
/// What OpenAI and Anthropic call their own 5xx.
const SERVER: (&str, &str) = ("server_error", "api_error");
const OVERLOADED: (&str, &str) = ("server_error", "overloaded_error");

impl ErrorClass {
    /// The same of an error that is over in so many seconds.
    const fn again(self, retry_after: u32) -> Self {
        Self {
            retry_after: Some(retry_after),
            ..self
        }
    }
}

/// Rounded up, so that whoever waits so long waits long enough.
const fn whole_seconds(time: Duration) -> u32 {
    let seconds = time.as_millis().div_ceil(1000);
    // A month, which is what a budget is for at most.
    if seconds > 2_678_400 {
        2_678_400
    } else {
        seconds as u32
    }
}

fn whole_millis(time: Duration) -> Duration {
    Duration::from_millis(u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX))
}

impl ProxyError {
    /// The one mapping from error to everything others derive from it.
    pub const fn class(&self) -> ErrorClass {
        use Retry::{Never, Unread, Unsent};
        match self {
            Self::InvalidApiKey | Self::ClientExpired | Self::ClientDisabled => {
                let types = ("invalid_request_error", "authentication_error");
                class(401, "invalid_api_key", types, Never)
            }
            Self::RouteNotAllowed => class(403, "route_not_allowed", PERMISSION, Never),
            Self::ModelNotAllowed(_) | Self::ModelNotKnown => {
                class(403, "model_not_allowed", PERMISSION, Never)
            }
            Self::UnknownRoute => {
                let types = ("invalid_request_error", "not_found_error");
                class(404, "unknown_route", types, Never)
            }
            Self::MethodNotAllowed { .. } => class(405, "method_not_allowed", INVALID, Never),
            Self::RequestTooLarge { .. } => {
                let types = ("invalid_request_error", "request_too_large");
                class(413, "request_too_large", types, Never)
            }
            Self::HeadersTooLarge { .. } => class(431, "headers_too_large", INVALID, Never),
            Self::InvalidRequest(_) => class(400, "invalid_request", INVALID, Never),
            Self::RequestTimeout => class(408, "request_timeout", INVALID, Never),
            Self::RateLimited { limit, retry_after } => {
                let types = (limit.as_str(), "rate_limit_error");
                class(429, "rate_limit_exceeded", types, Never).again(whole_seconds(*retry_after))
            }
            Self::InsufficientQuota { retry_after, .. } => {
                let types = ("insufficient_quota", "rate_limit_error");
                let seconds = whole_seconds(*retry_after);
                class(429, "insufficient_quota", types, Never).again(seconds)
            }
            Self::QuotaReserved(_) => {
                let types = ("insufficient_quota", "rate_limit_error");
                class(429, "insufficient_quota", types, Never).again(1)
            }
            Self::UpstreamInvalidApiKey | Self::UpstreamKeyMissing => {
                class(502, "upstream_invalid_api_key", SERVER, Unsent)
            }
            Self::UpstreamConnectFailed(_) => class(502, "upstream_connect_failed", SERVER, Unsent),
            Self::UpstreamDnsFailed(_) => class(502, "upstream_dns_failed", SERVER, Unsent),
            Self::UpstreamCertificateExpired => {
                class(502, "upstream_certificate_expired", SERVER, Unsent)
            }
            Self::UpstreamCertificateInvalid(_) => {
                class(502, "upstream_certificate_invalid", SERVER, Unsent)
            }
            Self::UpstreamConnectTimeout(_) => {
                class(504, "upstream_connect_timeout", SERVER, Unsent)
            }
            Self::UpstreamFirstByteTimeout(_) => {
                class(504, "upstream_first_byte_timeout", SERVER, Unread)
            }
            Self::UpstreamIdleTimeout(_) => class(504, "upstream_idle_timeout", SERVER, Never),
            Self::TotalTimeout(_) => class(504, "total_timeout", SERVER, Never),
            Self::UpstreamClosed => class(502, "upstream_closed", SERVER, Unread),
            Self::UpstreamInvalidResponse(_) => {
                class(502, "upstream_invalid_response", SERVER, Never)
            }
            Self::UpstreamUnavailable { retry_after } => {
                class(503, "upstream_unavailable", OVERLOADED, Never).again(*retry_after)
            }
            Self::NoUpstream => {
                let types = ("invalid_request_error", "not_found_error");
                class(404, "unknown_route", types, Never)
            }
            Self::Overloaded => class(503, "overloaded", OVERLOADED, Never).again(1),
            Self::Stopping => class(503, "proxy_stopping", OVERLOADED, Never).again(1),
            Self::WebhookBadSignature(_) => {
                let types = ("invalid_request_error", "authentication_error");
                class(401, "webhook_bad_signature", types, Never)
            }
            Self::WebhookStale(_) => class(400, "webhook_stale", INVALID, Never),
            Self::WebhookRepeated => class(409, "webhook_repeated", INVALID, Never),
            Self::WebhookForwardFailed => class(502, "webhook_forward_failed", SERVER, Never),
            Self::ClientClosed => class(499, "client_closed", INVALID, Never),
        }
    }

    /// The JSON body in the dialect of the route.
    pub fn body(&self, dialect: Dialect) -> String {
        let class = self.class();
        // The only part that may need escaping.
        let message = serde_json::Value::from(self.to_string());
        match dialect {
            Dialect::OpenAi => format!(
                r#"{{"error":{{"message":{message},"type":"{}","param":null,"code":"{}"}}}}"#,
                class.openai_type, class.code
            ),
            Dialect::Anthropic => format!(
                r#"{{"type":"error","error":{{"type":"{}","message":{message}}}}}"#,
                class.anthropic_type
            ),
        }
    }

    /// The event that tells of an error after a stream has begun. The stream
    /// ends after it, without `[DONE]`.
    pub fn stream_event(&self, dialect: Dialect) -> String {
        match dialect {
            Dialect::OpenAi => format!("data: {}\n\n", self.body(dialect)),
            Dialect::Anthropic => format!("event: error\ndata: {}\n\n", self.body(dialect)),
        }
    }
}

#[cfg(test)]
mod tests;
