//! The vendors' own clients through the proxy: `sdk.py` against an emulator, as an application would.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::report::Outcome;
use super::{cargo, script};
use crate::command;
use crate::process::{Group, bound_to_us};
use crate::services::{self, Emulator};
use crate::tools::venv;
use crate::workspace::Workspace;

/// Far more than the checks take.
const LIMIT: Duration = Duration::from_secs(120);

/// What the application has as its key; it must never reach upstream.
const CLIENT_KEY: &str = "sk-client-0123456789";

pub(super) fn run(workspace: &Workspace) -> Result<Outcome> {
    cargo::build_programs(workspace)?;

    let scratch = workspace.scratch("xtask")?;
    let log = scratch.join("sdk-proxy.log");
    let mut group = Group::new()?;
    let binary = workspace.binary("debug", "holysheep-emulator");
    let emulator = Emulator::start(&mut group, &binary, &scratch.join("sdk-ca.pem"))?;
    let url = start_proxy(workspace, &mut group, &emulator, &log).with_context(|| tail(&log))?;

    let mut python = bound_to_us(venv::SDKS.program(workspace, "python")?);
    python
        .arg(workspace.root().join("xtask/src/test/sdk.py"))
        .env("PROXY_URL", url)
        .env("EMULATOR_ORIGIN", emulator.origin())
        .env("EMULATOR_CA", &emulator.ca)
        .env("CLIENT_KEY", CLIENT_KEY)
        .env("UPSTREAM_KEY", &emulator.key)
        // Everything is on this machine; a developer's web proxy must not be asked.
        .env("NO_PROXY", "*")
        // That a vendor retires a model does not matter to the emulator.
        .env("PYTHONWARNINGS", "ignore::DeprecationWarning");
    let outcome = script::follow(&mut group, &mut python, LIMIT)?;
    if outcome.failed > 0 {
        println!("{}", tail(&log));
    }
    Ok(outcome)
}

/// Starts the proxy and gives back where applications find it.
fn start_proxy(
    workspace: &Workspace,
    group: &mut Group,
    emulator: &Emulator,
    log: &Path,
) -> Result<String> {
    let (listen, admin) = (services::free_address()?, services::free_address()?);
    let binary = workspace.binary("debug", "holysheep-proxy");
    let mut proxy = services::serve(&binary, listen, admin);
    command::without_settings(&mut proxy);
    emulator.as_upstream_of(&mut proxy);
    command::log_to(proxy.args(["--workers", "1"]), log)?;
    group.start("proxy", &mut proxy)?;
    services::wait_until_ready(group, admin)?;
    Ok(format!("http://{listen}"))
}

/// The end of the proxy's log, for whoever has to find out.
fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    let last = lines
        .get(lines.len().saturating_sub(20)..)
        .unwrap_or_default();
    format!(
        "the proxy's log ends so ({}):\n{}",
        log.display(),
        last.join("\n")
    )
}
