//! Checks that are a script: it prints `ok NAME` or `FAIL NAME: REASON` for each, and they are counted.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::report::Outcome;
use crate::process::{Event, Group};

/// The script's name in its group.
const NAME: &str = "script";

/// Starts a script and counts its checks until it ends; if anything else of the group ends, that is an error.
pub(super) fn follow(group: &mut Group, script: &mut Command, limit: Duration) -> Result<Outcome> {
    group.start(NAME, script.stdin(Stdio::null()).stdout(Stdio::piped()))?;
    let deadline = Instant::now() + limit;
    let mut outcome = Outcome::default();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match group.next(left) {
            Some(Event::Line { name: NAME, line }) => {
                println!("{line}");
                count(&line, &mut outcome);
            }
            Some(Event::Exited { name: NAME, status }) => {
                if outcome.failed == 0 && (!status.success() || outcome.passed == 0) {
                    outcome.fail(format!("the script ended early ({status})"));
                }
                return Ok(outcome);
            }
            Some(Event::Line { .. }) => {}
            Some(Event::Exited { name, status }) => bail!("the {name} ended by itself ({status})"),
            Some(Event::Stop { .. }) => bail!("interrupted"),
            None => bail!("the script did not end within {} s", limit.as_secs()),
        }
    }
}

/// Counts a line `ok NAME` or `FAIL NAME: REASON`.
fn count(line: &str, outcome: &mut Outcome) {
    if line.starts_with("ok ") {
        outcome.passed += 1;
    } else if let Some(failure) = line.strip_prefix("FAIL ") {
        outcome.fail(failure.trim().to_owned());
    }
}

#[cfg(test)]
mod tests;
