//! The steps that are cargo commands and need more than their exit code.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use super::report::Outcome;
use crate::command;
use crate::workspace::Workspace;

/// `cargo test`, counting tests.
pub(super) fn test(workspace: &Workspace) -> Result<Outcome> {
    let mut cargo = workspace.cargo(["test", "--workspace", "--no-fail-fast"]);
    command::without_settings(&mut cargo).stdout(Stdio::piped());
    println!("$ {}", command::shown(&cargo));
    let mut child = cargo.spawn().context("cannot start cargo")?;
    let output = child.stdout.take().context("cargo has no output")?;
    let mut tests = Tests::default();
    for line in BufReader::new(output).lines() {
        let line = line?;
        println!("{line}");
        tests.line(&line);
    }
    let status = child.wait()?;
    if !status.success() && tests.outcome.failed == 0 {
        tests.fail(format!("the tests did not all build or run ({status})"));
    }
    Ok(tests.outcome)
}

/// Counts tests by the lines of their programs.
#[derive(Debug, Default)]
pub(crate) struct Tests {
    pub(crate) outcome: Outcome,
    /// Tests of the running program that passed because they could not run here.
    skipped: BTreeSet<String>,
}

impl Tests {
    /// Takes in one line of output.
    pub(crate) fn line(&mut self, line: &str) {
        let failed = line.strip_prefix("test ");
        if let Some(name) = failed.and_then(|rest| rest.strip_suffix(" ... FAILED")) {
            self.outcome.note(format!("{name} failed"));
        } else if let Some(reason) = line.strip_prefix("SKIPPED: ") {
            self.skip(reason);
        } else if let Some(result) = line.strip_prefix("test result: ") {
            self.result(result);
        }
    }

    /// Counts a failure that is not one of a test.
    pub(crate) fn fail(&mut self, reason: String) {
        self.outcome.fail(reason);
    }

    /// Counts a test that says by itself that it cannot run: `NAME: REASON`, several times perhaps.
    fn skip(&mut self, line: &str) {
        let name = line.split_once(": ").map_or(line, |(name, _)| name);
        if self.skipped.insert(name.to_owned()) {
            self.outcome.skip(line.to_owned());
        }
    }

    /// Adds the numbers of a program, e.g. `ok. 3 passed; 0 failed; 1 ignored; …`.
    fn result(&mut self, result: &str) {
        for part in result.split([';', '.']) {
            let Some((number, what)) = part.trim().split_once(' ') else {
                continue;
            };
            let number: usize = number.parse().unwrap_or(0);
            match what {
                // The harness takes those for passed that only said that they cannot run.
                "passed" => self.outcome.passed += number.saturating_sub(self.skipped.len()),
                "failed" => self.outcome.failed += number,
                "ignored" if number > 0 => {
                    self.outcome.skipped += number;
                    let note = format!("{number} tests are marked `#[ignore]`");
                    self.outcome.note(note);
                }
                _ => {}
            }
        }
        self.skipped.clear();
    }
}

/// `cargo doc`, with warnings as errors.
pub(super) fn doc(workspace: &Workspace) -> Result<Outcome> {
    let mut cargo = workspace.cargo(["doc", "--workspace", "--no-deps"]);
    command::run(
        cargo.env("RUSTDOCFLAGS", "-D warnings"),
        "what it found is above",
    )?;
    Ok(Outcome::passed(1))
}

/// Builds all programs for a step that runs them. The whole workspace, as `cargo test` does, so that both use the same builds of
/// dependencies.
pub(super) fn build_programs(workspace: &Workspace) -> Result<()> {
    let mut cargo = workspace.cargo(["build", "--workspace", "--bins"]);
    command::run(&mut cargo, "the compiler's message is above")
}

/// `cargo deny check advisories`, where the database can be had.
pub(super) fn advisories(workspace: &Workspace) -> Result<Outcome> {
    let fetched = workspace
        .cargo(["deny", "fetch", "db"])
        .output()
        .context("cannot start cargo deny")?;
    if !fetched.status.success() {
        let message = String::from_utf8_lossy(&fetched.stderr).into_owned();
        let reason = "the advisory database cannot be downloaded here";
        println!("SKIPPED: {reason}; known vulnerabilities were NOT looked for.\n{message}");
        return Ok(Outcome::skipped(reason.to_owned()));
    }
    let mut check = workspace.cargo(["deny", "check", "--disable-fetch", "advisories"]);
    println!("$ {}", command::shown(&check));
    if !check.status()?.success() {
        bail!("there are advisories against dependencies, see above");
    }
    Ok(Outcome::passed(1))
}

#[cfg(test)]
mod tests;
