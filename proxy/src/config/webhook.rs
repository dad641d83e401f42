//! `webhook:`: whether notices of payments are taken, how they are signed, and where they go.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Uri;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use super::file::{Size, Span, as_text};
use super::shapes::{Positive, UrlWithQuery};
use super::{BaseUrl, Problem, Secret};

/// How deliveries are signed. One has to be said: a secret that were good for both would let a message of the one pass
/// as another message of the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WebhookScheme {
    /// Standard Webhooks: `webhook-id`, `webhook-timestamp`, `webhook-signature: v1,<base64>`.
    #[default]
    Standard,
    /// One field, `t=<seconds>,v1=<hex>`, as Stripe's.
    Timestamped,
}

impl WebhookScheme {
    /// As written in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Timestamped => "timestamped",
        }
    }
}

/// The address deliveries are forwarded to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardTo {
    /// Scheme, host and port.
    pub url: BaseUrl,
    /// Path and query.
    pub path: String,
}

impl ForwardTo {
    /// Parses a URL; `expected` is what an error says that it should be.
    pub(super) fn parse(text: &str, expected: &str) -> Result<Self, String> {
        // The address is not shown: its query may have a token in it.
        let uri: Uri = text
            .parse()
            .map_err(|_| format!("it is no URL; {expected}"))?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(format!("it is no URL; {expected}"));
        };
        let url = BaseUrl::parse(&format!("{scheme}://{authority}"))
            .map_err(|error| format!("{}; {expected}", error.reason()))?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let path = path.to_owned();
        Ok(Self { url, path })
    }
}

impl fmt::Display for ForwardTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.url.tls() { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.url.authority())?;
        match self.path.split_once('?') {
            Some((path, _)) => write!(f, "{path}?…"),
            None => f.write_str(&self.path),
        }
    }
}

impl Serialize for ForwardTo {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Where the secrets are that deliveries are signed with.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum WebhookSecrets {
    /// In a file, one a line; read again when it changes.
    File(PathBuf),
    /// One, in the environment.
    Given(Secret),
}

/// Notices of payments, if they are taken.
#[derive(Clone, Debug, Serialize)]
pub struct Webhook {
    /// What deliveries are signed with.
    #[serde(rename = "secret_file")]
    pub secrets: WebhookSecrets,
    /// How deliveries are signed.
    pub scheme: WebhookScheme,
    /// The field with the signature; of `timestamped` only.
    pub signature_header: String,
    /// Where deliveries go.
    pub forward_to: ForwardTo,
    /// Certificates trusted there in addition to the public web's.
    pub ca_file: Option<PathBuf>,
    /// By how much a delivery's time may differ from ours.
    #[serde(serialize_with = "as_text")]
    pub tolerance: Duration,
    /// Bytes of a delivery's body.
    pub max_body: u64,
    /// How long a delivery's body may take to come, and how long it may take to forward it.
    #[serde(serialize_with = "as_text")]
    pub timeout: Duration,
    /// Deliveries forwarded at once.
    pub max_concurrent: usize,
}

/// `webhook:`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("dependencies" = {
    "secret_file": ["forward_to"], "scheme": ["forward_to"], "signature_header": ["forward_to"], "ca_file": ["forward_to"],
    "tolerance": ["forward_to"], "max_body": ["forward_to"], "timeout": ["forward_to"], "max_concurrent": ["forward_to"],
}))]
pub struct WebhookFile {
    /// File with the secrets, one a line; read again when it changes.
    #[schemars(example = &"/etc/holysheep/webhook/webhook-secret")]
    pub secret_file: Option<PathBuf>,
    /// Set from the environment only: it does not belong in this file.
    #[serde(skip)]
    pub secret: Option<Secret>,
    /// How deliveries are signed.
    pub scheme: Option<WebhookScheme>,
    /// The field with the signature, with timestamped only.
    pub signature_header: Option<String>,
    /// Where deliveries go.
    // Its query may have a token in it.
    #[schemars(
        with = "Option<UrlWithQuery>",
        extend("writeOnly" = true),
        example = &"http://billing.shop.svc.cluster.local:8080/payments"
    )]
    pub forward_to: Option<String>,
    /// Certificates trusted there besides the public web's.
    #[schemars(example = &"/etc/ssl/billing.pem")]
    pub ca_file: Option<PathBuf>,
    /// By how much the time of one may differ from ours; 1s to 1h.
    #[schemars(with = "Option<Positive>")]
    pub tolerance: Option<Span>,
    /// Bytes of one; 1 to 1MiB.
    #[schemars(range(min = 1, max = LARGEST_BODY))]
    pub max_body: Option<Size>,
    /// For the body of one to come, and again to forward it.
    #[schemars(with = "Option<Positive>")]
    pub timeout: Option<Span>,
    /// Deliveries forwarded at once; more are refused with 503.
    #[schemars(range(min = 1, max = MOST))]
    pub max_concurrent: Option<usize>,
}

/// What a receiver's URL looks like.
const EXPECTED: &str = "expected such as http://billing.shop.svc.cluster.local:8080/payments";
/// Where the signature is looked for unless another field is named.
const SIGNATURE_HEADER: &str = "x-holysheep-signature";
/// The longest tolerance: deliveries are remembered for twice as long.
const LONGEST_TOLERANCE: Duration = Duration::from_secs(60 * 60);
/// The largest body: it is held in memory until its signature is known to be right.
const LARGEST_BODY: u64 = 1024 * 1024;
/// The most forwarded at once.
const MOST: usize = 1024;

impl WebhookFile {
    /// Whether nothing is set: there is no webhook then.
    const fn is_unset(&self) -> bool {
        let Self {
            secret_file,
            secret,
            scheme,
            signature_header,
            forward_to,
            ca_file,
            tolerance,
            max_body,
            timeout,
            max_concurrent,
        } = self;
        secret_file.is_none()
            && secret.is_none()
            && scheme.is_none()
            && signature_header.is_none()
            && forward_to.is_none()
            && ca_file.is_none()
            && tolerance.is_none()
            && max_body.is_none()
            && timeout.is_none()
            && max_concurrent.is_none()
    }

    pub(super) fn checked(&self, problems: &mut Vec<Problem>) -> Option<Webhook> {
        if self.is_unset() {
            return None;
        }
        let mut wrong = |field: &'static str, message: String| {
            problems.push(Problem {
                field: field.into(),
                message,
            });
        };
        let secrets = match (self.secret_file.clone(), self.secret.clone()) {
            (Some(path), _) => Some(WebhookSecrets::File(path)),
            (None, secret) => secret.map(WebhookSecrets::Given),
        };
        if secrets.is_none() {
            let message = "missing; expected the path of a file with the secret deliveries are signed with \
                           (or HOLYSHEEP_WEBHOOK_SECRET)";
            wrong("webhook.secret_file", message.to_owned());
        }
        if (self.secret_file.as_deref()).is_some_and(looks_like_secret) {
            let message = "looks like a secret, not like a path; write the secret to a file and name the file";
            wrong("webhook.secret_file", message.to_owned());
        }
        let forward_to = match self
            .forward_to
            .as_deref()
            .map(|url| ForwardTo::parse(url, EXPECTED))
        {
            Some(Ok(forward_to)) => Some(forward_to),
            Some(Err(message)) => {
                wrong("webhook.forward_to", message);
                None
            }
            None => {
                let message = "missing; expected the URL that deliveries go on to";
                wrong("webhook.forward_to", message.to_owned());
                None
            }
        };
        let scheme = self.scheme.unwrap_or_default();
        let signature_header = self.signature_header(scheme, &mut wrong);
        let tolerance = or(self.tolerance, 300);
        if !(Duration::from_secs(1)..=LONGEST_TOLERANCE).contains(&tolerance) {
            let given = humantime::format_duration(tolerance);
            let message = format!("{given} is out of range; expected 1s to 1h");
            wrong("webhook.tolerance", message);
        }
        let max_body = self.max_body.map_or(64 * 1024, |size| size.0);
        if !(1..=LARGEST_BODY).contains(&max_body) {
            let message = format!("{max_body} is out of range; expected 1 to {LARGEST_BODY}");
            wrong("webhook.max_body", message);
        }
        let timeout = or(self.timeout, 10);
        if timeout.is_zero() {
            let message = "0s would end everything at once; expected such as 10s";
            wrong("webhook.timeout", message.to_owned());
        }
        let max_concurrent = self.max_concurrent.unwrap_or(32);
        if !(1..=MOST).contains(&max_concurrent) {
            let message = format!("{max_concurrent} is out of range; expected 1 to {MOST}");
            wrong("webhook.max_concurrent", message);
        }
        Some(Webhook {
            secrets: secrets?,
            scheme,
            signature_header,
            forward_to: forward_to?,
            ca_file: self.ca_file.clone(),
            tolerance,
            max_body,
            timeout,
            max_concurrent,
        })
    }

    fn signature_header(
        &self,
        scheme: WebhookScheme,
        wrong: &mut impl FnMut(&'static str, String),
    ) -> String {
        const FIELD: &str = "webhook.signature_header";
        let Some(name) = &self.signature_header else {
            return SIGNATURE_HEADER.to_owned();
        };
        if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
            let message =
                format!("{name:?} is no name of a field; expected such as {SIGNATURE_HEADER}");
            wrong(FIELD, message);
        }
        if scheme == WebhookScheme::Standard {
            let message = "the scheme `standard` has fields of its own; expected it with `scheme: timestamped`";
            wrong(FIELD, message.to_owned());
        }
        name.clone()
    }
}

/// Whether somebody put a secret where the path to its file belongs.
fn looks_like_secret(path: &Path) -> bool {
    path.to_string_lossy().starts_with("whsec_")
}

fn or(given: Option<Span>, seconds: u64) -> Duration {
    given.map_or(Duration::from_secs(seconds), |span| span.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, ConfigFile};

    fn build(yaml: &str) -> Result<Option<Webhook>, String> {
        let file = ConfigFile::parse(yaml)?;
        let built = Config::build(file).map_err(|error| error.to_string())?;
        Ok(built.webhook)
    }

    #[test]
    fn there_is_none_unless_it_is_configured() {
        assert!(build("workers: 1").unwrap().is_none());
        let webhook = build("webhook: {secret_file: /s, forward_to: 'http://a:81/v1?token=x'}");
        let webhook = webhook.unwrap().unwrap();
        assert_eq!(webhook.forward_to.path, "/v1?token=x");
        assert_eq!(webhook.forward_to.url.authority(), "a:81");
        assert_eq!(webhook.scheme, WebhookScheme::Standard);
        assert_eq!(webhook.tolerance, Duration::from_secs(300));
        assert_eq!(webhook.max_body, 65_536);
        let shown = serde_json::to_string(&webhook).unwrap();
        assert!(shown.contains("http://a:81/v1?…") && !shown.contains("token"));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (yaml, expected) in [
            ("{forward_to: 'http://a'}", "webhook.secret_file: missing"),
            ("{secret_file: /s}", "webhook.forward_to: missing"),
            (
                "{secret_file: whsec_x, forward_to: 'http://a'}",
                "webhook.secret_file: looks like",
            ),
            (
                "{secret_file: /s, forward_to: 'ftp://a'}",
                "webhook.forward_to: the scheme",
            ),
            (
                "{secret_file: /s, forward_to: '/path'}",
                "webhook.forward_to: it is no URL",
            ),
            (
                "{secret_file: /s, forward_to: 'http://u:p@a/'}",
                "webhook.forward_to: user info",
            ),
            (
                "{secret_file: /s, forward_to: 'http://a', tolerance: 0s}",
                "webhook.tolerance: 0s",
            ),
            (
                "{secret_file: /s, forward_to: 'http://a', tolerance: 2h}",
                "webhook.tolerance: 2h",
            ),
            (
                "{secret_file: /s, forward_to: 'http://a', max_body: 2MiB}",
                "webhook.max_body: 2",
            ),
            (
                "{secret_file: /s, forward_to: 'http://a', timeout: 0s}",
                "webhook.timeout: 0s",
            ),
            (
                "{secret_file: /s, forward_to: 'http://a', max_concurrent: 0}",
                "webhook.max_concurrent: 0",
            ),
            (
                "{secret_file: /s, forward_to: 'http://a', signature_header: x-s}",
                "webhook.signature_header: the scheme",
            ),
            (
                "{secret_file: /s, forward_to: 'http://a', scheme: timestamped, signature_header: 'x s'}",
                "webhook.signature_header: \"x s\"",
            ),
            ("{secret: whsec_never}", "webhook.secret"),
            ("{tolerance: whsec_never}", "webhook.tolerance"),
        ] {
            let error = build(&format!("webhook: {yaml}")).unwrap_err();
            assert!(error.contains(expected), "{yaml}: {error}");
            assert!(
                !error.contains("u:p") && !error.contains("never"),
                "{error}"
            );
        }
    }
}
