//! What became of one request.

use std::time::Duration;

use super::timing::Timing;

/// One request.
#[derive(Debug)]
pub(super) struct Sample {
    /// The round it belongs to.
    pub(super) round: usize,
    /// From when it was due until it was begun: this program's own delay, which latencies have in them.
    pub(super) late: Duration,
    /// Whether it waited for a connection to be opened.
    pub(super) is_on_new_connection: bool,
    pub(super) outcome: Result<Answer, Failure>,
}

/// A 2xx answer that came whole. Times are since the request was due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    /// Until its head was there.
    pub(super) first_byte: Duration,
    /// Until its last byte was.
    pub(super) whole: Duration,
    /// What the kernel told of the connection afterwards.
    pub(super) kernel: Option<Kernel>,
    /// What the proxy told, if it was one.
    pub(super) timing: Option<Timing>,
    /// Whether it came out of a cache (`Age`).
    pub(super) is_from_cache: bool,
}

/// From the client's socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kernel {
    /// Smoothed round trip.
    pub(super) rtt: Duration,
    /// Smallest round trip of the connection.
    pub(super) min_rtt: Option<Duration>,
    /// Segments sent again during the request.
    pub(super) retransmits: u32,
}

/// Why there is no good answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Another status than 2xx, and what the proxy calls it, if it was one.
    Status(u16, Option<String>),
    /// The name has no address.
    Name(String),
    /// No TCP connection.
    Connect(String),
    /// No TLS.
    Tls(String),
    /// It took longer than the limit.
    Timeout(Duration),
    /// The connection broke before the answer was whole, or what came is not HTTP.
    Broken(String),
    /// So many requests were waiting already that this one was not sent.
    Crowded,
}

impl Failure {
    /// What it is counted as.
    pub(super) fn code(&self) -> String {
        match self {
            Self::Status(status, _) => status.to_string(),
            Self::Name(_) => "dns".to_owned(),
            Self::Connect(_) => "connect".to_owned(),
            Self::Tls(_) => "tls".to_owned(),
            Self::Timeout(_) => "timeout".to_owned(),
            Self::Broken(_) => "broken".to_owned(),
            Self::Crowded => "not_sent".to_owned(),
        }
    }

    /// The reason, in words.
    pub(super) fn detail(&self) -> String {
        match self {
            Self::Status(status, told) => {
                let told = told.as_deref().map(|code| format!(" ({code})"));
                format!("answered {status}{}", told.unwrap_or_default())
            }
            Self::Name(reason) | Self::Connect(reason) => reason.clone(),
            Self::Tls(reason) => format!("TLS: {reason}"),
            Self::Timeout(limit) => {
                format!(
                    "no whole answer within {}",
                    humantime::format_duration(*limit)
                )
            }
            Self::Broken(reason) => reason.clone(),
            Self::Crowded => "too many requests were waiting for answers".to_owned(),
        }
    }

    /// What to do about it, where that can be said.
    pub(super) fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Status(401 | 403, _) => {
                Some("give the key this target takes: --api-key-file NAME=FILE")
            }
            Self::Status(404 | 405, _) => {
                Some("look at the URL, which usually ends in /v1, and at --path")
            }
            Self::Status(429, _) => Some("its limit is reached: a lower --rate, or later"),
            Self::Name(_) => Some("look at the name, and at the pod's DNS"),
            Self::Connect(_) => {
                Some("look at host and port, and whether a NetworkPolicy lets this pod out")
            }
            Self::Tls(_) => Some("a private CA is given with --ca-file"),
            _ => None,
        }
    }
}
