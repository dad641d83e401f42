//! The steps that are cargo commands and need more than their exit code.

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
    let mut outcome = Outcome::default();
    for line in BufReader::new(output).lines() {
        let line = line?;
        println!("{line}");
        count(&line, &mut outcome);
    }
    let status = child.wait()?;
    if !status.success() && outcome.failed == 0 {
        outcome.fail(format!("the tests did not all build or run ({status})"));
    }
    if outcome.skipped > 0 {
        outcome.note(format!("{} tests are marked `#[ignore]`", outcome.skipped));
    }
    Ok(outcome)
}

/// Adds the numbers of a line such as `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
fn count(line: &str, outcome: &mut Outcome) {
    if let Some(name) = line
        .strip_prefix("test ")
        .and_then(|rest| rest.strip_suffix(" ... FAILED"))
    {
        outcome.note(format!("{name} failed"));
    }
    let Some(result) = line.strip_prefix("test result: ") else {
        return;
    };
    for part in result.split([';', '.']) {
        match part.trim().split_once(' ') {
            Some((number, "passed")) => outcome.passed += number.parse().unwrap_or(0),
            Some((number, "failed")) => outcome.failed += number.parse().unwrap_or(0),
            Some((number, "ignored")) => outcome.skipped += number.parse().unwrap_or(0),
            _ => {}
        }
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
mod tests {
    use super::*;

    #[test]
    fn results_of_several_programs_add_up() {
        let mut outcome = Outcome::default();
        for line in [
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "test some::thing ... ok",
            "test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.23s",
        ] {
            count(line, &mut outcome);
        }
        assert_eq!((outcome.passed, outcome.failed, outcome.skipped), (7, 2, 1));
    }
}
