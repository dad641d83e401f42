//! `cargo xtask emulate`: the emulator alone, for a proxy or a client started by hand.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use clap::Args;

use crate::command;
use crate::workspace::Workspace;

/// Options of the command.
#[derive(Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Options {
    /// Flags of the emulator, e.g. `--profile article`; `--help` shows them all
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "FLAGS"
    )]
    flags: Vec<String>,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let mut cargo = workspace.cargo(["build", "--release", "-p", "holysheep-emulator"]);
    command::run(&mut cargo, "the compiler's message is above")?;
    let binary = workspace.binary("release", "holysheep-emulator");
    println!(
        "Next: point a proxy at it with `--upstream URL --upstream-ca CA` and HOLYSHEEP_API_KEY=KEY, \
         as printed below. Ctrl-C stops it."
    );
    // In our place, so that signals and the exit code are its own.
    let error = Command::new(&binary).args(&options.flags).exec();
    Err(error).with_context(|| format!("cannot start {}", workspace.short(&binary)))
}
