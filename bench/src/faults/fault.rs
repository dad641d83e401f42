//! What can happen to one of the endpoints.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Result, anyhow};
use holysheep_emulator::{Fault as Answered, Malformation};
use serde::Serialize;

/// By how much a slow endpoint is slower.
const SLOW: Duration = Duration::from_millis(200);
/// How long a restart takes.
const RESTART: Duration = Duration::from_secs(2);
/// Bytes after which answers are cut: more than a head, less than the shortest answer.
const CUT: u64 = 100;

/// One of the things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Fault {
    /// The process is gone; its host refuses connections.
    Killed,
    /// The same, and another is there after a while.
    Restarted,
    /// Packets of both directions are lost, and nobody is told.
    Blackhole,
    /// Every answer takes longer.
    Slow,
    /// What is answered is no HTTP.
    Malformed,
    /// Answers end in their middle.
    Cut,
    /// Every answer is a 503.
    Refusing,
}

impl Fault {
    /// All, in the order of the table.
    pub(super) const ALL: [Self; 7] = [
        Self::Killed,
        Self::Restarted,
        Self::Blackhole,
        Self::Slow,
        Self::Malformed,
        Self::Cut,
        Self::Refusing,
    ];

    /// The name in options.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Restarted => "restarted",
            Self::Blackhole => "blackhole",
            Self::Slow => "slow",
            Self::Malformed => "malformed",
            Self::Cut => "cut",
            Self::Refusing => "503",
        }
    }

    /// In words.
    pub(super) const fn described(self) -> &'static str {
        match self {
            Self::Killed => "its process is gone for good, connections are refused",
            Self::Restarted => "its process is gone for 2 s",
            Self::Blackhole => "its path is cut: packets are lost, nobody is told",
            Self::Slow => "each of its answers takes 200 ms longer",
            Self::Malformed => "its answers are not HTTP",
            Self::Cut => "its answers end after 100 bytes of the body",
            Self::Refusing => "it answers 503",
        }
    }

    /// For how long, if others take `usual`.
    pub(super) fn lasts(self, usual: Duration) -> Duration {
        match self {
            Self::Restarted => RESTART,
            _ => usual,
        }
    }

    /// Whether the endpoint is well again afterwards.
    pub(super) const fn heals(self) -> bool {
        !matches!(self, Self::Killed)
    }

    /// What the endpoint does to requests that reach it, if it does anything.
    pub(super) const fn answered(self) -> Option<Answered> {
        match self {
            Self::Killed | Self::Restarted | Self::Blackhole => None,
            Self::Slow => Some(Answered::StallBeforeHeaders { pause: Some(SLOW) }),
            Self::Malformed => Some(Answered::Malformed(Malformation::StatusLine)),
            Self::Cut => Some(Answered::Cut { after: CUT }),
            Self::Refusing => Some(Answered::Status {
                status: 503,
                hints: holysheep_emulator::RetryHints {
                    after: None,
                    after_ms: None,
                    should_retry: None,
                },
            }),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl FromStr for Fault {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let known = Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|fault| fault.name() == text);
        found.ok_or_else(|| anyhow!("no fault {text:?}; there are {known}"))
    }
}
