//! `traces:` where spans go, and of which requests.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::file::{self, Span};
use super::shapes::{Positive, Share, Url};
use super::{ForwardTo, Problem, Secret};

/// As it is written.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TracesFile {
    /// OTLP over HTTP; /v1/traces is added.
    #[schemars(with = "Option<Url>", example = &"http://collector:4318")]
    pub endpoint: Option<String>,
    /// Share of the requests whose clients have not decided.
    #[schemars(with = "Option<Share>")]
    pub sample: Option<f64>,
    /// Upstream is told the trace (traceparent, tracestate).
    pub propagate: Option<bool>,
    /// Name of this service in spans.
    pub service_name: Option<String>,
    /// More about where it runs: attributes of the resource.
    #[schemars(example = [("deployment.environment.name", "production")].into_iter().collect::<BTreeMap<_, _>>())]
    pub attributes: BTreeMap<String, String>,
    /// Fields for the receiver, `name: value`, one a line; read at the start.
    #[schemars(example = &"/etc/holysheep/otlp-headers")]
    pub headers_file: Option<PathBuf>,
    /// Set from the environment only: they may be secret.
    #[serde(skip)]
    pub headers: Vec<(String, Secret)>,
    /// Certificates trusted there besides the public web's.
    #[schemars(example = &"/etc/ssl/collector.pem")]
    pub ca_file: Option<PathBuf>,
    /// For one batch of spans to be received.
    #[schemars(with = "Option<Positive>")]
    pub timeout: Option<Span>,
}

/// Where spans go, and of which requests.
#[derive(Clone, Debug, Serialize)]
pub struct Traces {
    /// The receiver, OTLP over HTTP; the path is `/v1/traces` below what was given.
    pub endpoint: ForwardTo,
    /// Of requests that no client has decided about, the share that is traced: 0 to 1.
    pub sample: f64,
    /// Whether upstream is told the trace, in `traceparent` and `tracestate`.
    pub propagate: bool,
    /// `service.name` of the resource.
    pub service_name: String,
    /// Further attributes of the resource.
    pub attributes: BTreeMap<String, String>,
    /// Fields for the receiver, a line each (`name: value`); read at the start.
    pub headers_file: Option<PathBuf>,
    /// The same from the environment.
    pub headers: Vec<(String, Secret)>,
    /// Certificates to trust besides the public web's (PEM).
    pub ca_file: Option<PathBuf>,
    /// How long one batch may take to be received.
    #[serde(serialize_with = "file::as_text")]
    pub timeout: Duration,
}

/// What the receiver's path is, below the endpoint.
const PATH: &str = "/v1/traces";

impl TracesFile {
    pub(super) fn checked(&self, problems: &mut Vec<Problem>) -> Option<Traces> {
        let mut wrong = |field: &'static str, message: String| {
            problems.push(Problem {
                field: field.into(),
                message,
            });
        };
        // Other settings may stand there while it is off: the endpoint comes from the environment, too.
        let given = self.endpoint.as_deref()?;
        let endpoint = endpoint(given).map_err(|message| wrong("traces.endpoint", message));
        let sample = self.sample.unwrap_or(1.0);
        if !(0.0..=1.0).contains(&sample) {
            let message = format!("{sample} is out of range; expected 0 to 1, such as 0.1");
            wrong("traces.sample", message);
        }
        let timeout = self.timeout.map_or(Duration::from_secs(10), |span| span.0);
        if timeout.is_zero() {
            let message = "0s would end everything at once; expected such as 10s";
            wrong("traces.timeout", message.to_owned());
        }
        for (name, _) in &self.headers {
            if HeaderName::from_bytes(name.as_bytes()).is_err() {
                let message = format!("{name:?} is no name of a field");
                wrong("OTEL_EXPORTER_OTLP_HEADERS", message);
            }
        }
        let service_name = self.service_name.clone();
        Some(Traces {
            endpoint: endpoint.ok()?,
            sample,
            propagate: self.propagate.unwrap_or(false),
            service_name: service_name.unwrap_or_else(|| "holysheep-proxy".to_owned()),
            attributes: self.attributes.clone(),
            headers_file: self.headers_file.clone(),
            headers: self.headers.clone(),
            ca_file: self.ca_file.clone(),
            timeout,
        })
    }
}

fn endpoint(given: &str) -> Result<ForwardTo, String> {
    const EXPECTED: &str = "expected such as http://collector:4318";
    if given.contains('?') {
        return Err(format!("it has a query; {EXPECTED}"));
    }
    let base = given.trim_end_matches('/');
    let base = base.strip_suffix(PATH).unwrap_or(base);
    ForwardTo::parse(&format!("{base}{PATH}"), EXPECTED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, ConfigFile};

    fn build(yaml: &str) -> Result<Option<Traces>, String> {
        let built = Config::build(ConfigFile::parse(yaml)?);
        Ok(built.map_err(|error| error.to_string())?.traces)
    }

    #[test]
    fn there_are_none_without_an_endpoint() {
        assert!(build("workers: 1").unwrap().is_none());
        assert!(build("traces: {sample: 0.5}").unwrap().is_none());
    }

    #[test]
    fn the_path_is_added_once() {
        for given in ["http://c:4318", "http://c:4318/", "http://c:4318/v1/traces"] {
            let traces = build(&format!("traces: {{endpoint: '{given}'}}"));
            let endpoint = traces.unwrap().unwrap().endpoint;
            assert_eq!(endpoint.to_string(), "http://c:4318/v1/traces");
        }
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (yaml, expected) in [
            (
                "{endpoint: 'collector:4318'}",
                "traces.endpoint: it is no URL",
            ),
            ("{endpoint: 'ftp://c'}", "traces.endpoint: the scheme"),
            (
                "{endpoint: 'http://u:secret@c'}",
                "traces.endpoint: user info",
            ),
            (
                "{endpoint: 'http://c/?key=secret'}",
                "traces.endpoint: it has a query",
            ),
            ("{endpoint: 'http://c', sample: 1.5}", "traces.sample: 1.5"),
            ("{endpoint: 'http://c', sample: -1}", "traces.sample: -1"),
            ("{endpoint: 'http://c', timeout: 0s}", "traces.timeout: 0s"),
            (
                "{endpoint: 'http://c', headers: {a: secret}}",
                "traces.headers",
            ),
        ] {
            let error = build(&format!("traces: {yaml}")).unwrap_err();
            assert!(error.contains(expected), "{yaml}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
