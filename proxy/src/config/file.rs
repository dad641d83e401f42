//! The configuration file as it is written: every key optional, none unknown.
//!
//! Command line and environment are laid over it by [`crate::cli`] before
//! [`super::Config::build`] checks the whole; [`super::document`] says where in the file something is wrong.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer};

use super::dns::DnsFile;
use super::models::TargetFile;
use super::prices::PriceFile;
use super::probes::ProbesFile;
use super::resilience::{BreakerFile, EjectionFile, HedgingFile, RetriesFile};
use super::routes::{ResponsesFile, RouteFile};
use super::tree::{self, Misfit};
pub use super::upstream::UpstreamFile;
use super::webhook::WebhookFile;
use super::{
    Auth, ClientLimits, ClientLimitsFile, ConfigError, EbpfMode, Limits, LogFormat, Problem,
    RedisFile, Timeouts, TracesFile,
};

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConfigFile {
    /// Data port address.
    pub listen: Option<SocketAddr>,
    /// Admin port address.
    pub admin_listen: Option<SocketAddr>,
    /// TLS data port.
    pub tls: TlsFile,
    /// Worker threads.
    pub workers: Option<usize>,
    /// See [`super::Config::take_over`].
    pub take_over: Option<PathBuf>,
    /// Kernel programs.
    pub ebpf: Option<EbpfMode>,
    /// Their messages.
    pub ebpf_log: Option<bool>,
    /// `Server-Timing` on request.
    pub timing_header: Option<bool>,
    /// Who may use the data port.
    pub auth: Option<Auth>,
    /// Its clients, with `auth: clients`.
    pub clients: ClientsSection,
    /// Directory for what has to outlive the process.
    pub state_dir: Option<PathBuf>,
    /// The upstream; of several, the first.
    pub upstream: UpstreamFile,
    /// The others.
    pub upstreams: Vec<UpstreamFile>,
    /// Which of them serve which models.
    pub models: BTreeMap<String, Vec<TargetFile>>,
    /// When a request may be sent again.
    pub retries: RetriesFile,
    /// When a request goes to two endpoints.
    pub hedging: HedgingFile,
    /// When an endpoint gets no requests.
    pub ejection: EjectionFile,
    /// When an upstream gets none.
    pub breaker: BreakerFile,
    /// How names are resolved.
    pub dns: DnsFile,
    /// Time limits.
    pub timeouts: TimeoutsFile,
    /// How responses are passed on.
    pub responses: ResponsesFile,
    /// What is otherwise for one route, by its path.
    pub routes: BTreeMap<String, RouteFile>,
    /// Size and number limits.
    pub limits: LimitsFile,
    /// Health probes.
    pub probes: ProbesFile,
    /// Notices of payments.
    pub webhook: WebhookFile,
    /// Spans of requests.
    pub traces: TracesFile,
    /// The model list's cache.
    pub models_cache: ModelsCacheFile,
    /// The counting of tokens.
    pub usage: UsageFile,
    /// What models cost, besides and instead of what is built in.
    pub prices: BTreeMap<String, PriceFile>,
    /// Logs.
    pub log: LogFile,
}

/// `tls:`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsFile {
    /// Address; without it there is no TLS listener.
    pub listen: Option<SocketAddr>,
    /// PEM certificate chain.
    pub certificate: Option<PathBuf>,
    /// PEM private key.
    pub key: Option<PathBuf>,
}

/// `clients:`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClientsSection {
    /// The file with their keys, which is read by [`crate::clients::file`].
    pub file: Option<PathBuf>,
}

/// `timeouts:`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TimeoutsFile {
    /// See [`Timeouts::connect`].
    pub connect: Option<Span>,
    /// See [`Timeouts::first_byte`].
    pub first_byte: Option<Span>,
    /// See [`Timeouts::idle`].
    pub idle: Option<Span>,
    /// See [`Timeouts::total`].
    pub total: Option<Span>,
    /// See [`Timeouts::client_header`].
    pub client_header: Option<Span>,
    /// See [`Timeouts::client_body`].
    pub client_body: Option<Span>,
    /// See [`Timeouts::client_idle`].
    pub client_idle: Option<Span>,
    /// See [`Timeouts::drain_delay`].
    pub drain_delay: Option<Span>,
    /// See [`Timeouts::drain`].
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

/// `limits:`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsFile {
    /// See [`Limits::body`].
    pub body: Option<Size>,
    /// See [`Limits::headers`].
    pub headers: Option<Size>,
    /// See [`Limits::in_flight`].
    pub in_flight: Option<usize>,
    /// See [`Limits::per_client`].
    pub per_client: ClientLimitsFile,
    /// See [`super::Config::redis`].
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
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelsCacheFile {
    /// How long the list is fresh; `0s` turns the cache off.
    pub ttl: Option<Span>,
}

/// `usage:`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UsageFile {
    /// See [`super::Config::count_usage`].
    pub count: Option<bool>,
    /// See [`super::Config::add_usage`].
    pub add_to_streams: Option<bool>,
}

/// `log:`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogFile {
    /// `json` or `text`.
    pub format: Option<LogFormat>,
    /// Filter of the application log.
    pub level: Option<String>,
    /// `stdout`, `off`, or a file.
    pub access: Option<String>,
    /// See [`super::Sampling::share`].
    pub sample: Option<f64>,
    /// See [`super::Sampling::slow`].
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
