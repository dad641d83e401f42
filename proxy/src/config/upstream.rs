//! `upstream:` and `upstreams:`: where requests go, with which keys, and how connections are kept.

use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::file::{Span, as_text};
use super::shapes::{Positive, Url};
use super::tcp::{Tcp, TcpFile};
use super::{BaseUrl, DEFAULT_BASE_URL, Problem, Secret};
use crate::route::Dialect;

/// HTTP version spoken to upstream.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum UpstreamProtocol {
    /// HTTP/1.1 over a pool of connections.
    #[default]
    Http1,
    /// h2 over one connection for each worker.
    Http2,
}

/// Whose API an upstream has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dialects {
    /// All of it, as HolySheep does.
    #[default]
    All,
    /// OpenAI's alone.
    OpenAi,
    /// Anthropic's alone.
    Anthropic,
}

impl Dialects {
    /// Whether paths of this dialect can be served.
    pub const fn speak(self, dialect: Dialect) -> bool {
        matches!(
            (self, dialect),
            (Self::All, _)
                | (Self::OpenAi, Dialect::OpenAi)
                | (Self::Anthropic, Dialect::Anthropic)
        )
    }
}

/// A key of several, and its name in metrics and logs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeySource {
    /// Its name in metrics and logs.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The file it is in; read again when it changes.
    pub file: PathBuf,
}

/// An upstream and how connections to it are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Upstream {
    /// Name in metrics and logs.
    pub name: String,
    /// Where requests go.
    pub base_url: BaseUrl,
    /// Whose API it has.
    pub dialect: Dialects,
    /// File with the key; read again when it changes.
    pub api_key_file: Option<PathBuf>,
    /// Several keys instead, in the order in which they are used.
    pub api_keys: Vec<KeySource>,
    /// The key itself, when given in the environment.
    pub api_key: Option<Secret>,
    /// Certificates trusted in addition to the public web's.
    pub ca_file: Option<PathBuf>,
    /// HTTP version.
    pub protocol: UpstreamProtocol,
    /// Idle connections each worker opens ahead of need.
    pub min_idle: usize,
    /// Idle connections each worker keeps at most.
    pub max_idle: usize,
    /// Age at which an idle connection is replaced, below the peer's keep-alive.
    #[serde(serialize_with = "as_text")]
    pub idle_timeout: Duration,
    /// Whether requests carry a `Via` field.
    pub via: bool,
    /// How much connections may send at once.
    pub tcp: Tcp,
}

/// `upstream:`, and each of `upstreams:`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamFile {
    /// Its name in metrics, logs and `models`.
    pub name: Option<String>,
    /// Base URL of the API, with or without /v1.
    #[schemars(with = "Option<Url>")]
    pub base_url: Option<String>,
    /// Whose paths it has.
    pub dialect: Option<Dialects>,
    /// File with the key; read again when it changes.
    ///
    /// There is no setting for the key itself: it does not belong in this file.
    #[schemars(example = &"/etc/holysheep/key")]
    pub api_key_file: Option<PathBuf>,
    /// Several keys instead, in the order in which they are used.
    #[schemars(length(max = MOST_KEYS), example = json!([{"name": "team-a", "file": "/etc/holysheep/keys/team-a"}]))]
    pub api_keys: Vec<KeySource>,
    /// Set from the environment only.
    #[serde(skip)]
    pub api_key: Option<Secret>,
    /// Certificates trusted besides the public web's, PEM.
    #[schemars(example = &"/etc/ssl/extra.pem")]
    pub ca_file: Option<PathBuf>,
    /// HTTP version.
    pub protocol: Option<UpstreamProtocol>,
    /// Connections each worker opens ahead of need; no more than `max_idle`.
    pub min_idle: Option<usize>,
    /// Connections each worker keeps.
    pub max_idle: Option<usize>,
    /// Connections are replaced at this age, before the peer closes them.
    #[schemars(with = "Option<Positive>")]
    pub idle_timeout: Option<Span>,
    /// Whether to send Via: 1.1 holysheep-proxy (2.0 for a request that came in h2).
    pub via: Option<bool>,
    /// How much connections may send at once, see long-prompts.md.
    pub tcp: TcpFile,
}

/// Most upstreams: they are numbered in a byte, and each has series of its own.
pub const MOST_UPSTREAMS: usize = 16;
/// Most keys of one.
const MOST_KEYS: usize = 64;

/// Checks the first upstream and the others.
pub(super) fn checked(
    first: &UpstreamFile,
    others: &[UpstreamFile],
    problems: &mut Vec<Problem>,
) -> (Upstream, Vec<Upstream>) {
    let main = one(first, None, "upstream", problems);
    let others = others.iter().enumerate();
    let others: Vec<_> = others
        .map(|(index, raw)| one(raw, Some(&main), &format!("upstreams[{index}]"), problems))
        .collect();
    let mut names = vec![main.name.as_str()];
    for (index, other) in others.iter().enumerate() {
        if names.contains(&other.name.as_str()) {
            problems.push(Problem {
                field: format!("upstreams[{index}].name").into(),
                message: format!("{:?} is the name of another upstream", other.name),
            });
        }
        names.push(&other.name);
    }
    if names.len() > MOST_UPSTREAMS {
        problems.push(Problem {
            field: "upstreams".into(),
            message: format!(
                "there are {}; expected at most {MOST_UPSTREAMS} in all",
                names.len()
            ),
        });
    }
    (main, others)
}

/// What the others do not set is as with the `main` one, but for what makes an upstream.
fn one(
    raw: &UpstreamFile,
    main: Option<&Upstream>,
    path: &str,
    problems: &mut Vec<Problem>,
) -> Upstream {
    let mut wrong = |field: &str, message: String| {
        problems.push(Problem {
            field: format!("{path}.{field}").into(),
            message,
        });
    };
    let text = match (&raw.base_url, main) {
        (Some(text), _) => text,
        (None, None) => DEFAULT_BASE_URL,
        (None, Some(_)) => {
            wrong(
                "base_url",
                "missing; expected such as https://api.openai.com/v1".to_owned(),
            );
            DEFAULT_BASE_URL
        }
    };
    let base_url = BaseUrl::parse(text).unwrap_or_else(|error| {
        wrong("base_url", error.to_string());
        BaseUrl::placeholder()
    });
    if main.is_some() && raw.name.is_none() {
        wrong("name", "missing; metrics and logs need one".to_owned());
    }
    if main.is_some() && !raw.tcp.is_unset() {
        let message =
            "the kernel programs have one set of windows for all; expected it in upstream.tcp";
        wrong("tcp", message.to_owned());
    }
    keys(raw, &mut wrong);
    let defaults = || main.map(|main| (main.min_idle, main.max_idle, main.idle_timeout));
    let (min, max, timeout) = defaults().unwrap_or((2, 128, Duration::from_secs(50)));
    let (min_idle, max_idle) = (raw.min_idle.unwrap_or(min), raw.max_idle.unwrap_or(max));
    if min_idle > max_idle {
        let message = format!("{min_idle} is more than {path}.max_idle, which is {max_idle}");
        wrong("min_idle", message);
    }
    let idle_timeout = raw.idle_timeout.map_or(timeout, |d| d.0);
    if idle_timeout.is_zero() {
        let message = "0s would end everything at once; expected such as 10s";
        wrong("idle_timeout", message.to_owned());
    }
    Upstream {
        name: raw.name.clone().unwrap_or_else(|| "holysheep".to_owned()),
        base_url,
        dialect: raw.dialect.unwrap_or_default(),
        api_key_file: raw.api_key_file.clone(),
        api_keys: raw.api_keys.clone(),
        api_key: raw.api_key.clone(),
        ca_file: raw.ca_file.clone(),
        protocol: raw.protocol.unwrap_or_default(),
        min_idle,
        max_idle,
        idle_timeout,
        via: raw.via.unwrap_or_else(|| main.is_some_and(|main| main.via)),
        tcp: match main {
            Some(main) => main.tcp.clone(),
            None => raw.tcp.checked(problems),
        },
    }
}

fn keys(raw: &UpstreamFile, wrong: &mut impl FnMut(&str, String)) {
    // What it is must not be shown.
    let no_path = || {
        "looks like a key, not like a path; write the key to a file and name the \
         file, or give the key itself in HOLYSHEEP_API_KEY"
            .to_owned()
    };
    if raw.api_key_file.as_deref().is_some_and(looks_like_key) {
        wrong("api_key_file", no_path());
    }
    let is_one = raw.api_key_file.is_some() || raw.api_key.is_some();
    if is_one && !raw.api_keys.is_empty() {
        wrong(
            "api_keys",
            "there is an api_key_file, too; expected one of the two".to_owned(),
        );
    }
    if raw.api_keys.len() > MOST_KEYS {
        let count = raw.api_keys.len();
        wrong(
            "api_keys",
            format!("there are {count}; expected at most {MOST_KEYS}"),
        );
    }
    for (index, key) in raw.api_keys.iter().enumerate() {
        if looks_like_key(&key.file) {
            wrong(&format!("api_keys[{index}].file"), no_path());
        }
        let earlier = raw.api_keys.iter().take(index);
        if key.name.is_empty() || earlier.clone().any(|other| other.name == key.name) {
            let message = "empty, or the name of another; metrics need to tell them apart";
            wrong(&format!("api_keys[{index}].name"), message.to_owned());
        }
    }
}

/// Whether somebody put a key where the path to its file belongs.
fn looks_like_key(path: &Path) -> bool {
    let text = path.to_string_lossy();
    let is_name = !text.contains(['/', '.']) && !path.exists();
    is_name && (text.starts_with("cr_") || text.starts_with("sk-") || text.len() >= 24)
}
