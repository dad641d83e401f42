//! `cargo xtask setup`: installs what `cargo xtask test` needs, and does nothing the second time.

use std::process::ExitCode;

use anyhow::Result;

use crate::tools;
use crate::workspace::Workspace;

pub(crate) fn run(workspace: &Workspace) -> Result<ExitCode> {
    let missing = tools::ensure(workspace, tools::ALL.iter());
    if missing.is_empty() {
        println!("\nEverything is there. Next: `cargo xtask run`, or `cargo xtask test`.");
        return Ok(ExitCode::SUCCESS);
    }
    println!("\nStill missing:");
    for lack in &missing {
        println!("  {}: {}", lack.tool.name, lack.reason);
    }
    if missing.iter().all(|lack| lack.tool.optional) {
        println!("`cargo xtask test` runs without, and says which checks it skips.");
        return Ok(ExitCode::SUCCESS);
    }
    println!("Install these by hand, then run `cargo xtask setup` again.");
    Ok(ExitCode::FAILURE)
}
