//! `cargo xtask soak`: builds the bench, and the proxy as it is in the image, and has everything happen at once for a while.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use clap::Args;

use crate::workspace::Workspace;
use crate::{bench, command};

/// Options of the command.
#[derive(Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Options {
    /// Its flags, e.g. `--minutes 2`; `--help` shows them all [default: half an hour]
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "FLAGS"
    )]
    arguments: Vec<String>,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    bench::build_bench(workspace)?;
    if bench::measures_proxy(&options.arguments) {
        bench::build_proxy(workspace)?;
    }
    let mut soak = Command::new(workspace.binary("release", "holysheep-bench"));
    soak.arg("soak").args(&options.arguments);
    soak.current_dir(workspace.root());
    println!("$ {}", command::shown(&soak));
    // It takes this process' place, and with it Ctrl-C and the exit code.
    let error = soak.exec();
    Err(error).context("the soak cannot be started")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_built_for_a_question_or_another_build() {
        let of = |line: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            bench::measures_proxy(&words)
        };
        assert!(of("--minutes 2"));
        assert!(!of("--minutes 2 --proxy-bin=other"));
        assert!(!of("--help"));
    }
}
