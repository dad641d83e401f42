//! What to do about each error, for whoever looks at `/status` or its page. `docs/errors.md` says the same; a test holds the two
//! together.

use super::ProxyError;

impl ProxyError {
    /// What the operator, or the client's owner, can do about it.
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::InvalidRequest(_) => "mend the client",
            Self::WebhookStale(_) => "check both clocks (webhook.md)",
            Self::WebhookBadSignature(_) => "compare secrets and webhook.scheme with the sender's",
            Self::InvalidApiKey | Self::ClientExpired | Self::ClientDisabled => {
                "send a key that is known; ask the proxy's operator for one"
            }
            Self::RouteNotAllowed => "use another key, or have it added",
            Self::ModelNotAllowed(_) | Self::ModelNotKnown => {
                "name it once, in plain JSON; or have it added"
            }
            Self::UnknownRoute | Self::NoUpstream => {
                "check the path and the client's base URL: OpenAI's clients want /v1 at its end, Anthropic's do not"
            }
            Self::MethodNotAllowed { .. } => "send it with one of the methods in Allow",
            Self::RequestTimeout => {
                "see what holds the client up; raise timeouts.client_body for slow ones"
            }
            Self::WebhookRepeated => "nothing: the first one counts",
            Self::RequestTooLarge { .. } => {
                "send less, or raise limits.body; webhook.max_body for deliveries"
            }
            Self::RateLimited { .. } => "wait, or raise limits.per_client",
            Self::InsufficientQuota { .. } | Self::QuotaReserved(_) => {
                "wait, or raise usd_per_day, usd_per_month"
            }
            Self::HeadersTooLarge { .. } => "send less, or raise limits.headers",
            Self::UpstreamInvalidApiKey | Self::UpstreamKeyMissing => {
                "renew the key; holysheep-proxy check"
            }
            Self::UpstreamConnectFailed(_) => "check egress: network policies, firewalls, proxies",
            Self::UpstreamDnsFailed(_) => "check the pod's DNS",
            Self::UpstreamCertificateExpired => "check the clock; else upstream has to renew",
            Self::UpstreamCertificateInvalid(_) => {
                "set upstream.ca_file if a proxy of yours intercepts TLS"
            }
            Self::UpstreamClosed => "send it again; if it goes on, ask upstream",
            Self::UpstreamInvalidResponse(_) => "see what answers there: holysheep-proxy check",
            Self::WebhookForwardFailed => "the log has the reason; the sender tries again",
            Self::UpstreamUnavailable { .. } => "see what failed before",
            Self::Overloaded => {
                "scale out, or raise limits.in_flight; webhook.max_concurrent for deliveries"
            }
            Self::Stopping => "send it again; raise timeouts.drain for long answers",
            Self::UpstreamConnectTimeout(_) => {
                "check egress; raise timeouts.connect for far networks"
            }
            Self::UpstreamFirstByteTimeout(_) => {
                "raise timeouts.first_byte for models that think long without streaming"
            }
            Self::UpstreamIdleTimeout(_) => "raise timeouts.idle for models that pause long",
            Self::TotalTimeout(_) => "raise timeouts.total for long answers",
            Self::ClientClosed => "nothing: the client left",
        }
    }
}
