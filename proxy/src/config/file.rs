//! The configuration file as it is written: every key optional, none unknown.
//!
//! Command line and environment are laid over it by [`crate::cli`] before
//! [`super::Config::build`] checks the whole; [`super::document`] says where in the file something is wrong.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serializer};
use serde_json::json;

use super::dns::DnsFile;
use super::models::TargetFile;
use super::prices::PriceFile;
use super::probes::ProbesFile;
use super::resilience::{BreakerFile, EjectionFile, HedgingFile, RetriesFile};
use super::routes::{ResponsesFile, RouteFile};
use super::shapes::{self, Address, Positive, Share};
use super::tree::{self, Misfit};
pub use super::upstream::UpstreamFile;
use super::webhook::WebhookFile;
use super::{
    Auth, ClientLimits, ClientLimitsFile, ConfigError, EbpfMode, Limits, LogFormat, Problem,
    RedisFile, Timeouts, TracesFile,
};

/// Configuration of holysheep-proxy.
///
/// Every key is optional. Secrets have no place here, only the paths of the files they are in.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ConfigFile {
    /// The data port.
    #[schemars(with = "Option<Address>")]
    pub listen: Option<SocketAddr>,
    /// The admin port: metrics, status, readiness.
    #[schemars(with = "Option<Address>")]
    pub admin_listen: Option<SocketAddr>,
    /// A second data port with TLS; off unless this is there.
    pub tls: TlsFile,
    /// Worker threads; unless set, as many as the CPUs the cgroup allows.
    #[schemars(range(min = 1, max = 512), example = 4)]
    pub workers: Option<usize>,
    /// A Unix socket where listening sockets pass to the next process, see operations.md.
    #[schemars(example = &"/run/holysheep-proxy/take-over.sock")]
    pub take_over: Option<PathBuf>,
    /// Kernel programs, see kernel.md.
    pub ebpf: Option<EbpfMode>,
    /// Their messages in the log, for debugging.
    pub ebpf_log: Option<bool>,
    /// `Server-Timing` in answers to requests with an x-holysheep-timing field.
    pub timing_header: Option<bool>,
    /// Who may use the data port. It has to be said where others than this machine reach it.
    pub auth: Option<Auth>,
    /// With `auth: clients`, see clients.md.
    pub clients: ClientsSection,
    /// Directory for what has to outlive the process: what clients cost, see limits.md.
    #[schemars(example = &"/var/lib/holysheep-proxy")]
    pub state_dir: Option<PathBuf>,
    /// Where requests go, with which keys, and how connections are kept; of several upstreams, the first.
    pub upstream: UpstreamFile,
    /// Further ones: `name`, `base_url` and keys, and what else is above but `tcp`; 16 with the first.
    ///
    /// What one does not set of `min_idle`, `max_idle`, `idle_timeout` and `via` is as with the first.
    #[schemars(transform = shapes::further_upstreams)]
    pub upstreams: Vec<UpstreamFile>,
    /// Which upstreams serve which models, by a name or its beginning and `*`; unless set, all, in their order.
    #[schemars(transform = shapes::models)]
    pub models: BTreeMap<String, Vec<TargetFile>>,
    /// When a request may be sent again, see resilience.md.
    pub retries: RetriesFile,
    /// A second request beside a first one that has no answer.
    pub hedging: HedgingFile,
    /// When one of an upstream's addresses gets no requests.
    pub ejection: EjectionFile,
    /// When an upstream as a whole gets none.
    pub breaker: BreakerFile,
    /// How names of upstreams are resolved.
    pub dns: DnsFile,
    /// Time limits.
    pub timeouts: TimeoutsFile,
    /// How responses are passed on, see streams.md.
    pub responses: ResponsesFile,
    /// What is otherwise for one route, by its path, as metrics name it.
    #[schemars(transform = shapes::routes, example = json!({
        "/v1/embeddings": {"hedge_after": "200ms"},
        "/v1/responses": {
            "first_byte": "5m", "idle": "5m", "total": "30m", "client_leaves": {"drain_for": "30s"}, "keep_alive": "15s",
        },
    }))]
    pub routes: BTreeMap<String, RouteFile>,
    /// Size and number limits.
    pub limits: LimitsFile,
    /// Health probes, see probes.md.
    pub probes: ProbesFile,
    /// Notices of payments, see webhook.md; off unless this is there.
    pub webhook: WebhookFile,
    /// Spans of requests for an OTLP receiver, see traces.md; off unless there is an endpoint.
    pub traces: TracesFile,
    /// The model list's cache.
    pub models_cache: ModelsCacheFile,
    /// The counting of tokens, see usage.md.
    pub usage: UsageFile,
    /// US dollars for a million tokens, besides and instead of what is built in, see costs.md; by a model's name in
    /// metrics and bills.
    #[schemars(transform = shapes::prices, example = json!({
        "gpt-4.1-mini": {
            "input": 0.40, "output": 1.60, "cached_input": 0.10, "cache_write": 0.40, "cache_write_1h": 0.40,
            "aliases": ["gpt-4.1-mini-2025-04-14"], "source": "https://platform.openai.com/docs/pricing",
            "date": "2026-11-26",
        },
    }))]
    pub prices: BTreeMap<String, PriceFile>,
    /// Logs, see access-log.md.
    pub log: LogFile,
}

/// `tls:`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("dependencies" = {
    "listen": ["certificate", "key"], "certificate": ["listen", "key"], "key": ["listen", "certificate"],
}))]
pub struct TlsFile {
    /// Its address.
    #[schemars(with = "Option<Address>", example = &"127.0.0.1:8443")]
    pub listen: Option<SocketAddr>,
    /// PEM certificate chain; read again when it changes.
    #[schemars(example = &"/etc/tls/tls.crt")]
    pub certificate: Option<PathBuf>,
    /// PEM private key; likewise.
    #[schemars(example = &"/etc/tls/tls.key")]
    pub key: Option<PathBuf>,
}

/// `clients:`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClientsSection {
    /// Clients and their keys; read again when it changes. Only with `auth: clients`.
    #[schemars(example = &"/etc/holysheep/clients/clients.yaml")]
    pub file: Option<PathBuf>,
}

/// `timeouts:`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TimeoutsFile {
    /// For name, TCP and TLS towards upstream.
    #[schemars(with = "Option<Positive>")]
    pub connect: Option<Span>,
    /// From the request's end to the response head.
    #[schemars(with = "Option<Positive>")]
    pub first_byte: Option<Span>,
    /// Between two pieces of a response.
    #[schemars(with = "Option<Positive>")]
    pub idle: Option<Span>,
    /// From a request's head to the end of its response; 0s sets no limit.
    pub total: Option<Span>,
    /// For a request's head, and a client's TLS handshake.
    #[schemars(with = "Option<Positive>")]
    pub client_header: Option<Span>,
    /// Between two pieces of a request, or of a response the client reads.
    #[schemars(with = "Option<Positive>")]
    pub client_body: Option<Span>,
    /// Between two requests of a connection.
    #[schemars(with = "Option<Positive>")]
    pub client_idle: Option<Span>,
    /// After SIGTERM everything is served as before for so long.
    pub drain_delay: Option<Span>,
    /// For running requests, after SIGTERM and `drain_delay`.
    pub drain: Option<Span>,
}

impl TimeoutsFile {
    pub(super) fn checked(&self) -> Timeouts {
        let or = |given: Option<Span>, seconds| given.map_or(Duration::from_secs(seconds), |d| d.0);
        Timeouts {
            connect: or(self.connect, 10),
            first_byte: or(self.first_byte, 60),
            idle: or(self.idle, 60),
            total: or(self.total, 0),
            client_header: or(self.client_header, 10),
            client_body: or(self.client_body, 60),
            client_idle: or(self.client_idle, 75),
            drain_delay: or(self.drain_delay, 0),
            drain: or(self.drain, 25),
        }
    }
}

/// Bounds of [`LimitsFile::headers`].
pub(super) const LEAST_HEADERS: usize = 1024;
pub(super) const MOST_HEADERS: usize = 1024 * 1024;

/// `limits:`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsFile {
    /// Bytes of a request's body.
    pub body: Option<Size>,
    /// Bytes of a request's head, 1KiB to 1MiB.
    #[schemars(range(min = LEAST_HEADERS, max = MOST_HEADERS))]
    pub headers: Option<Size>,
    /// Requests in flight over all workers; more are refused with 503.
    #[schemars(range(min = 1))]
    pub in_flight: Option<usize>,
    /// What each client may ask for, where the file of clients says nothing else; see limits.md.
    pub per_client: ClientLimitsFile,
    /// Where replicas count together what clients have had; off unless this is there.
    pub redis: RedisFile,
}

impl LimitsFile {
    pub(super) fn checked(&self, auth: Auth, problems: &mut Vec<Problem>) -> Limits {
        let others = ClientLimits::default_of(auth);
        let path = "limits.per_client";
        let headers = self.headers.map_or(32 * 1024, |size| size.0);
        Limits {
            // The article's `client_max_body_size 10M`.
            body: self.body.map_or(10 * 1024 * 1024, |size| size.0),
            headers: usize::try_from(headers).unwrap_or(usize::MAX),
            in_flight: self.in_flight.unwrap_or(10_000),
            per_client: self.per_client.checked(&others, path, problems),
        }
    }
}

/// `models_cache:`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ModelsCacheFile {
    /// How long the list is fresh; then the old one is served while a newer one is fetched. 0s turns the cache off.
    pub ttl: Option<Span>,
}

/// `usage:`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UsageFile {
    /// Responses are looked at for the tokens they used, and asked for uncompressed.
    pub count: Option<bool>,
    /// Upstream is asked for the usage of streams whose clients did not ask for it.
    pub add_to_streams: Option<bool>,
}

/// `log:`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogFile {
    /// Form of both logs; unless set, json where `PROXY_MODE` is production.
    pub format: Option<LogFormat>,
    /// The application log's level, or levels by module, as `info,holysheep_proxy::upstream=debug`.
    pub level: Option<String>,
    /// The access log: stdout, off, or a file.
    pub access: Option<String>,
    /// Share of the requests that went well with a line there; all others have one.
    #[schemars(with = "Option<Share>")]
    pub sample: Option<f64>,
    /// Requests that took so long have one, too.
    pub slow: Option<Span>,
}

/// Longest duration that can be set.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A duration as people write it: `10s`, `500ms`, `5m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let span = humantime::parse_duration(text).map_err(|error| {
            format!("{text:?} is no duration ({error}); expected such as 10s, 500ms or 5m")
        })?;
        if span > LONGEST {
            // Far beyond it, a deadline could not be computed.
            return Err(format!("{text:?} is too long; expected at most 365d"));
        }
        Ok(Self(span))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A number of bytes as people write it: `10MB`, `32KiB`, or digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeVisitor)
    }
}

struct SizeVisitor;

impl serde::de::Visitor<'_> for SizeVisitor {
    type Value = Size;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a size such as 10MB or 32KiB, or a number of bytes")
    }

    fn visit_u64<E: serde::de::Error>(self, bytes: u64) -> Result<Size, E> {
        Ok(Size(bytes))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Size, E> {
        let size = text.parse::<bytesize::ByteSize>().map_err(|error| {
            E::custom(format!(
                "{text:?} is no size ({error}); expected such as 10MB, 32KiB or a number of bytes"
            ))
        })?;
        Ok(Size(size.as_u64()))
    }
}

/// Writes a duration as it would be read.
///
/// # Errors
/// Only the serializer's own.
pub fn as_text<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_duration(*duration))
}

impl ConfigFile {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn text(path: &Path) -> Result<String, ConfigError> {
        std::fs::read_to_string(path).map_err(|reason| ConfigError::Read {
            path: path.to_owned(),
            reason,
        })
    }

    /// Parses the text of a file that has no name.
    ///
    /// # Errors
    /// All that does not fit, a line each: path and reason.
    pub fn parse(text: &str) -> Result<Self, String> {
        let line = |misfit: &Misfit| format!("{}: {}", misfit.path, misfit.message);
        let reading = tree::read(text).map_err(|misfit| misfit.message)?;
        match reading.value {
            Some(file) if reading.misfits.is_empty() => Ok(file),
            _ => {
                let lines: Vec<_> = reading.misfits.iter().map(line).collect();
                Err(lines.join("\n"))
            }
        }
    }
}

#[cfg(test)]
mod tests;
