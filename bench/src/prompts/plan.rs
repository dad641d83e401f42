//! What is to be measured: sizes, situations, numbers of samples, and which requests take turns.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;

/// The smallest body that is still a chat completion.
const SMALLEST: usize = 200;
/// The proxies' usual limit for bodies.
const LARGEST: usize = 10_000_000;

/// Pauses before requests that do not depend on how long the connection has been idle.
const PAUSE: Duration = Duration::from_secs(1);
/// Requests of a cell that follow each other before others have their turn.
const BLOCK: usize = 8;
/// Samples of a cell, at least.
const LEAST: usize = 2;
/// Share of a pause that requests of others may take together: some take longer than expected.
const ROOM: f64 = 0.9;
/// A pause may become this many times as long as it should be because others took longer. After 0.1 s that is still
/// less than the least time after which the kernel takes a connection for idle, its retransmission timeout of 200 ms.
const LONGEST: f64 = 1.5;

/// Length of a request's body, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Size(pub(super) usize);

impl FromStr for Size {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit: usize = match &text[digits.len()..] {
            "" | "B" => 1,
            "KB" => 1_000,
            "MB" => 1_000_000,
            other => bail!("no unit {other:?}; there are B, KB and MB"),
        };
        let number: usize = digits
            .trim()
            .parse()
            .context("expected a size such as 40KB")?;
        let bytes = number.saturating_mul(unit);
        ensure!(
            (SMALLEST..=LARGEST).contains(&bytes),
            "sizes are between {SMALLEST} B and {LARGEST} B"
        );
        Ok(Self(bytes))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, unit) = match self.0 {
            bytes if bytes.is_multiple_of(1_000_000) => (bytes / 1_000_000, "MB"),
            bytes if bytes.is_multiple_of(1_000) => (bytes / 1_000, "KB"),
            bytes => (bytes, "B"),
        };
        formatter.pad(&format!("{number} {unit}"))
    }
}

/// What a request finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) enum Situation {
    /// A new connection of the client; a proxy has its pool.
    Fresh,
    /// The same, and the connection to upstream has carried no request before.
    Cold,
    /// The client's connection, and with it the proxy's, has been idle for so long.
    Idle(Duration),
}

impl Situation {
    /// From the end of a request to the beginning of the next, at least.
    pub(super) fn pause(self) -> Duration {
        match self {
            Self::Fresh | Self::Cold => PAUSE,
            Self::Idle(time) => time,
        }
    }

    /// The longest pause that still counts; none where nothing depends on it, since no connection is used again.
    pub(super) fn longest_pause(self) -> Option<Duration> {
        match self {
            Self::Cold => None,
            Self::Fresh | Self::Idle(_) => Some(self.pause().mul_f64(LONGEST)),
        }
    }

    /// Requests before those of a round that are not measured: windows and pools become a steady user's.
    pub(super) fn warm_up(self, size: Size) -> usize {
        match self {
            // One is enough to take what is kept away.
            Self::Cold => 1,
            Self::Fresh | Self::Idle(_) if size.0 > 1_000_000 => 1,
            Self::Fresh | Self::Idle(_) => 2,
        }
    }
}

impl fmt::Display for Situation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fresh => formatter.pad("fresh"),
            Self::Cold => formatter.pad("cold"),
            Self::Idle(time) => formatter.pad(&format!("idle {} s", time.as_secs_f64())),
        }
    }
}

/// Samples of a cell where `usual` is the number for short requests and short pauses: fewer of what takes long.
pub(super) fn samples(usual: usize, size: Size, situation: Situation) -> usize {
    let by_size = match size.0 {
        0..=100_000 => 1.0,
        100_001..=1_000_000 => 0.5,
        1_000_001.. => 0.15,
    };
    let by_pause = match situation.pause() {
        pause if pause > Duration::from_secs(5) => 0.3,
        _ => 1.0,
    };
    let least = usual.min(LEAST);
    ((usual as f64 * by_size * by_pause).round() as usize).max(least)
}

/// How many of `count` samples of a cell come in each of its rounds; between them, all others have theirs.
pub(super) fn rounds(count: usize) -> Vec<usize> {
    let rounds = count.div_ceil(BLOCK);
    let upto = |round| count * round / rounds;
    (0..rounds)
        .map(|round| upto(round + 1) - upto(round))
        .collect()
}

/// Requests that take turns: while one is served, the others pause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    /// Indices of what takes turns.
    pub(super) members: Vec<usize>,
    /// How long one request of each takes, together, and that which takes least.
    busy: Duration,
    least: Duration,
}

impl Group {
    fn of(members: &[(usize, Duration)]) -> Self {
        Self {
            members: members.iter().map(|(index, _)| *index).collect(),
            busy: members.iter().map(|(_, takes)| *takes).sum(),
            least: members
                .iter()
                .map(|(_, takes)| *takes)
                .min()
                .unwrap_or_default(),
        }
    }

    fn with(&self, other: &Self) -> Self {
        Self {
            members: [&self.members[..], &other.members[..]].concat(),
            busy: self.busy + other.busy,
            least: self.least.min(other.least),
        }
    }

    /// Whether each one's pause is long enough for the requests of all others.
    fn fits(&self, room: Duration) -> bool {
        self.busy - self.least <= room
    }
}

/// Puts requests together as long as each one's pause is not longer than it should be.
///
/// `families` are requests that are compared with each other, each with how long it takes: they stay together if
/// that is possible at all.
pub(super) fn groups(families: &[Vec<(usize, Duration)>], situation: Situation) -> Vec<Group> {
    let room = match situation.longest_pause() {
        Some(_) => situation.pause().mul_f64(ROOM),
        None => Duration::MAX,
    };
    let mut groups: Vec<Group> = Vec::new();
    for family in families {
        let whole = Group::of(family);
        let parts = match whole.fits(room) {
            true => vec![whole],
            false => family.iter().map(|one| Group::of(&[*one])).collect(),
        };
        for part in parts {
            let together = |group: &Group| Some(group.with(&part)).filter(|all| all.fits(room));
            let found = groups
                .iter_mut()
                .find_map(|group| Some((together(group)?, group)));
            match found {
                Some((all, group)) => *group = all,
                None => groups.push(part),
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests;
