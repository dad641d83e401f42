//! The checked configuration every other part works with.
//!
//! Settings come from four places, the first that has one wins: command line,
//! environment, file, default. The first two are [`crate::cli`]'s (clap reads
//! the environment), the file's shape is in [`ConfigFile`], and [`Config::build`]
//! puts them together and checks them. Nothing after it checks again.

mod build;
mod client_limits;
mod decimal;
pub mod dns;
pub mod document;
pub mod file;
pub mod live;
pub mod models;
pub mod prices;
pub mod probes;
mod redis;
pub mod resilience;
pub mod routes;
mod sampling;
pub mod secret;
pub mod shapes;
pub mod tcp;
pub mod traces;
pub mod tree;
pub mod upstream;
pub mod url;
pub mod webhook;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cost::Catalogue;
pub use client_limits::{ClientLimits, ClientLimitsFile};
pub use dns::Dns;
pub use document::{Found, Origin};
pub use file::ConfigFile;
pub use live::{Live, differences};
pub use models::{ModelMap, Target};
pub use probes::{ProbeSource, Probes};
pub use redis::{Redis, RedisFile};
pub use resilience::{Breaker, Ejection, Hedging, Retries};
pub use routes::{ClientLeaves, Treatment, Treatments};
pub use sampling::Sampling;
pub use secret::Secret;
pub use tcp::{AfterIdle, InitialWindow, Tcp};
pub use traces::{Traces, TracesFile};
pub use upstream::{Dialects, KeySource, MOST_UPSTREAMS, Upstream, UpstreamProtocol};
pub use url::BaseUrl;
pub use webhook::{ForwardTo, Webhook, WebhookScheme, WebhookSecrets};

/// Who may use the data port.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// Everyone who can reach it; requests get the proxy's upstream key.
    Open,
    /// Everyone; each request keeps the key its client sent.
    Passthrough,
    /// Clients with a key of their own; requests get the proxy's upstream key instead of it.
    Clients,
}

impl Auth {
    /// As written in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Passthrough => "passthrough",
            Self::Clients => "clients",
        }
    }

    /// Whether requests get the proxy's own upstream key in place of what their clients sent.
    pub const fn injects_key(self) -> bool {
        !matches!(self, Self::Passthrough)
    }
}

/// Whether kernel programs are loaded.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum EbpfMode {
    /// Where possible; the log says what is off and why.
    #[default]
    Auto,
    /// Refuse to start without them.
    Required,
    /// Never.
    Off,
}

/// Form of the application log and the access log.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For a terminal.
    Text,
}

/// Where access log lines go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AccessLog {
    /// Standard output.
    Stdout,
    /// Nowhere.
    Off,
    /// A file, appended to.
    File(PathBuf),
}

/// A TLS listener on the data port's side.
#[derive(Clone, Debug, Serialize)]
pub struct TlsListen {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// PEM certificate chain; read again when it changes.
    pub certificate: PathBuf,
    /// PEM private key; read again when it changes.
    pub key: PathBuf,
}

/// Time limits.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Timeouts {
    /// Name resolution, TCP and TLS towards upstream.
    #[serde(serialize_with = "file::as_text")]
    pub connect: Duration,
    /// From the request's end to the response head.
    #[serde(serialize_with = "file::as_text")]
    pub first_byte: Duration,
    /// Between two pieces of a response.
    #[serde(serialize_with = "file::as_text")]
    pub idle: Duration,
    /// From a request's head to the end of its response; zero sets no limit.
    #[serde(serialize_with = "file::as_text")]
    pub total: Duration,
    /// From a request's first byte to the end of its head.
    #[serde(serialize_with = "file::as_text")]
    pub client_header: Duration,
    /// Between two pieces of a request body, and of a response a client reads.
    #[serde(serialize_with = "file::as_text")]
    pub client_body: Duration,
    /// Between two requests on one client connection.
    #[serde(serialize_with = "file::as_text")]
    pub client_idle: Duration,
    /// How long everything is served as before after a stop was asked for.
    #[serde(serialize_with = "file::as_text")]
    pub drain_delay: Duration,
    /// How long running requests may go on after that.
    #[serde(serialize_with = "file::as_text")]
    pub drain: Duration,
}

/// Size and number limits.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Limits {
    /// Bytes of a request body.
    pub body: u64,
    /// Bytes of a request head.
    pub headers: usize,
    /// Requests in flight over all workers; more are refused with 503.
    pub in_flight: usize,
    /// What each client may ask for, where nothing else holds for it.
    pub per_client: ClientLimits,
}

/// Everything `serve` needs to know.
#[derive(Clone, Debug, Serialize)]
pub struct Config {
    /// Data port.
    pub listen: SocketAddr,
    /// Admin port.
    pub admin_listen: SocketAddr,
    /// TLS data port.
    pub tls: Option<TlsListen>,
    /// Worker threads.
    pub workers: usize,
    /// Where this process asks another for its listening sockets, and offers its own.
    pub take_over: Option<PathBuf>,
    /// Kernel programs.
    pub ebpf: EbpfMode,
    /// Whether their messages go to the log.
    pub ebpf_log: bool,
    /// Whether requests with an `x-holysheep-timing` field get a `Server-Timing` field back.
    pub timing_header: bool,
    /// Who may use the data port.
    pub auth: Auth,
    /// The file of its clients.
    pub clients_file: Option<PathBuf>,
    /// Where what has to outlive the process is kept.
    pub state_dir: Option<PathBuf>,
    /// The upstream; of several, the first.
    pub upstream: Upstream,
    /// The others.
    pub upstreams: Vec<Upstream>,
    /// Which of them serve which models.
    pub models: ModelMap,
    /// When a request may be sent again.
    pub retries: Retries,
    /// When a request goes to two endpoints.
    pub hedging: Hedging,
    /// When an endpoint gets no requests for a while.
    pub ejection: Ejection,
    /// When an upstream gets none.
    pub breaker: Breaker,
    /// How names are resolved.
    pub dns: Dns,
    /// Time limits.
    pub timeouts: Timeouts,
    /// How requests are treated, by route where that differs.
    #[serde(flatten)]
    pub routes: Treatments,
    /// Size and number limits.
    pub limits: Limits,
    /// Where replicas count together what clients have had.
    pub redis: Option<Redis>,
    /// Health probes.
    pub probes: Probes,
    /// Notices of payments, if they are taken.
    pub webhook: Option<Webhook>,
    /// Where spans go, if there are any.
    pub traces: Option<Traces>,
    /// How long the model list is served from the cache.
    #[serde(serialize_with = "file::as_text")]
    pub models_ttl: Duration,
    /// Whether responses are looked at for what they used, and asked for uncompressed so that they can be.
    pub count_usage: bool,
    /// Whether upstream is asked to say at the end of each stream what it used.
    pub add_usage: bool,
    /// What models cost.
    pub prices: Catalogue,
    /// Form of both logs.
    pub log_format: LogFormat,
    /// Filter of the application log, as `info` or `holysheep_proxy=debug`.
    pub log_level: String,
    /// Access log.
    pub access_log: AccessLog,
    /// Which requests have a line there.
    pub sampling: Sampling,
}

/// One setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Path of the field, as in the file.
    pub field: Cow<'static, str>,
    /// What was given, and what was expected.
    pub message: String,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the configuration file {path}: {reason}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// Settings that cannot be used, all of them.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Invalid(Vec<Found>),
}

impl ConfigError {
    /// Of settings that cannot be used, wherever they come from.
    pub fn invalid(problems: Vec<Problem>) -> Self {
        Self::Invalid(problems.into_iter().map(Found::from).collect())
    }
}

impl Config {
    /// All upstreams, the first one first.
    pub fn all_upstreams(&self) -> impl Iterator<Item = &Upstream> {
        std::iter::once(&self.upstream).chain(&self.upstreams)
    }
}

/// The base URL of the HolySheep API.
pub const DEFAULT_BASE_URL: &str = "https://api.holysheep.ai/v1";

#[cfg(test)]
mod tests;
