//! `cargo xtask build`: the proxy as it is run in production.

use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;

use crate::workspace::Workspace;
use crate::{command, dist};

/// Options of the command.
#[derive(Args)]
pub(crate) struct Options {
    /// As in the image: slower to build, a tenth faster to run
    #[arg(long)]
    dist: bool,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let binary = match options.dist {
        true => dist::build(workspace)?,
        false => {
            let mut cargo = workspace.cargo(["build", "--release", "-p", "holysheep-proxy"]);
            command::run(&mut cargo, "the compiler's message is above")?;
            workspace.binary("release", "holysheep-proxy")
        }
    };
    let size = fs::metadata(&binary)
        .with_context(|| format!("no {} after the build", binary.display()))?
        .len();
    let path = workspace.short(&binary);
    println!("{path}  {}.{} MB", size / 1_000_000, size / 100_000 % 10);
    println!("Next: `{path} serve` starts it, `{path} check` tries the way to upstream.");
    Ok(ExitCode::SUCCESS)
}
