//! `cargo xtask soak`: builds the proxy and the bench as they are released, and has everything happen at once for a while.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use clap::Args;

use crate::workspace::Workspace;
use crate::{build_ebpf, command};

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
    build_ebpf::if_possible(workspace)?;
    let packages = ["-p", "holysheep-bench", "-p", "holysheep-proxy"];
    let mut cargo = workspace.cargo(["build", "--release"]);
    command::run(cargo.args(packages), "the compiler's message is above")?;
    let proxy = workspace.binary("release", "holysheep-proxy");
    let mut soak = Command::new(workspace.binary("release", "holysheep-bench"));
    soak.arg("soak").current_dir(workspace.root());
    soak.args(with_proxy(&options.arguments, &proxy));
    println!("$ {}", command::shown(&soak));
    // It takes this process' place, and with it Ctrl-C and the exit code.
    let error = soak.exec();
    Err(error).context("the soak cannot be started")
}

/// The flags, with the program that was just built unless they name another.
fn with_proxy(arguments: &[String], proxy: &Path) -> Vec<String> {
    let mut flags = Vec::new();
    if !arguments.iter().any(|flag| flag.starts_with("--proxy-bin")) {
        flags.extend(["--proxy-bin".to_owned(), proxy.display().to_string()]);
    }
    flags.extend(arguments.iter().cloned());
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_build_is_soaked_unless_another_is_named() {
        let of = |line: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            with_proxy(&words, Path::new("built")).join(" ")
        };
        assert_eq!(of("--minutes 2"), "--proxy-bin built --minutes 2");
        assert_eq!(of("--proxy-bin=other"), "--proxy-bin=other");
    }
}
