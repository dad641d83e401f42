//! `cargo xtask bench`: builds what is measured and what measures, then measures.

use std::process::{Command, ExitCode};

use anyhow::Result;
use clap::Args;

use crate::workspace::Workspace;
use crate::{apt, command};

/// Options of the command.
#[derive(Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Options {
    /// Which bench, and its flags [default: cpu], e.g. `cpu --quick`; `--help` shows them all
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "BENCH"
    )]
    arguments: Vec<String>,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let arguments = match options.arguments.as_slice() {
        [] => &["cpu".to_owned()],
        given => given,
    };
    let mut cargo = workspace.cargo(["build", "--release", "-p", "holysheep-bench"]);
    command::run(&mut cargo, "the compiler's message is above")?;
    if measures_proxy(arguments) {
        install_peers()?;
        // The bench takes this build by itself, unless `--proxy-bin` names another.
        let mut cargo = workspace.cargo(["build", "--profile", "dist", "-p", "holysheep-proxy"]);
        command::run(&mut cargo, "the compiler's message is above")?;
    }
    let mut bench = Command::new(workspace.binary("release", "holysheep-bench"));
    bench.args(arguments).current_dir(workspace.root());
    command::run(&mut bench, "its message is above; `--help` shows its flags")?;
    println!(
        "\nNext: `cargo xtask bench cpu --help` shows how to measure longer, or against others."
    );
    Ok(ExitCode::SUCCESS)
}

/// Whether this is a run against peers: not one end of the rig, not a question, not another build.
fn measures_proxy(arguments: &[String]) -> bool {
    let is_end = |first: &String| ["load", "upstream", "help"].contains(&first.as_str());
    let asks = |argument: &String| {
        argument == "--help" || argument == "-h" || argument.starts_with("--proxy-bin")
    };
    !arguments.first().is_some_and(is_end) && !arguments.iter().any(asks)
}

fn install_peers() -> Result<()> {
    let missing: Vec<_> = ["nginx", "haproxy"]
        .into_iter()
        .filter(|name| !apt::has_program(name))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    if !apt::is_possible() {
        println!(
            "Not installed: {names}; the bench goes on without. To compare: {}",
            apt::by_hand(&missing)
        );
        return Ok(());
    }
    println!(
        "Installing what the proxy is compared with: {names}. Where Debian starts them as services, \
         `systemctl disable --now {names}` ends those; the bench starts its own."
    );
    apt::install(&missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn only_a_run_against_peers_builds_the_proxy() {
        assert!(measures_proxy(&words("cpu --quick")));
        assert!(!measures_proxy(&words("cpu --help")));
        assert!(!measures_proxy(&words("cpu --proxy-bin=target/x")));
        assert!(!measures_proxy(&words("upstream --port 1")));
    }
}
