//! `cargo xtask stats`: measures the code against the limits it was agreed to keep.
//!
//! [`source`] reads a file, [`census`] adds the files up, [`limits`] compares. Limits that are broken
//! fail; targets that are missed are only said.

mod census;
mod functions;
mod limits;
pub(crate) mod source;

use std::process::ExitCode;

use anyhow::Result;

use crate::test::Outcome;
use crate::workspace::Workspace;
use census::Census;

pub(crate) fn run(workspace: &Workspace) -> Result<ExitCode> {
    let outcome = check(workspace)?;
    if outcome.failed == 0 {
        println!("\nAll limits are kept. Next: `cargo xtask test` runs every check.");
        return Ok(ExitCode::SUCCESS);
    }
    println!("\nSplit or mend what is named above, then `cargo xtask stats` again.");
    Ok(ExitCode::FAILURE)
}

/// The same as a step of `cargo xtask test`: each limit is a check.
pub(crate) fn check(workspace: &Workspace) -> Result<Outcome> {
    let census = Census::take(workspace)?;
    let mut outcome = Outcome::default();
    println!("{:<38} {:>16}  {:<12}", "", "measured", "target");
    for row in limits::rows(&census) {
        let mark = row.mark();
        println!(
            "{:<38} {:>16}  {:<12} {mark}",
            row.name, row.measured, row.target
        );
        for offender in &row.offenders {
            println!("    {offender}");
        }
        if row.is_limit && row.is_met {
            outcome.passed += 1;
        } else if row.is_limit {
            outcome.fail(format!(
                "{}: {}, at most {}",
                row.name, row.measured, row.target
            ));
        }
    }
    Ok(outcome)
}
