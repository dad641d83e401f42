//! The vendors' own clients through the proxy: the scripts in `sdk` against an emulator, as an application would.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::report::Outcome;
use super::{cargo, script};
use crate::command;
use crate::process::{Group, bound_to_us};
use crate::services::{self, Emulator};
use crate::tools::{node, venv};
use crate::workspace::Workspace;

/// Far more than the checks of one script take.
const LIMIT: Duration = Duration::from_secs(120);

/// Between two tokens of a stream: long enough to be told from none, and to leave in between.
const TOKEN_INTERVAL_MS: u32 = 5;

/// What the application has as its key; it must never reach upstream.
const CLIENT_KEY: &str = "sk-client-0123456789";

/// The settings of a proxy whose clients may spend less than one request costs.
const POOR: &str = "limits: {per_client: {usd_per_day: 0.0000001}}\n";

pub(super) fn run(workspace: &Workspace) -> Result<Outcome> {
    cargo::build_programs(workspace)?;

    let scratch = workspace.scratch("xtask")?;
    let log = scratch.join("sdk-proxy.log");
    let mut group = Group::new()?;
    let mut binary = bound_to_us(workspace.binary("debug", "holysheep-emulator"));
    binary.args(["--token-rate", &(1000 / TOKEN_INTERVAL_MS).to_string()]);
    let emulator = Emulator::start_by(&mut group, binary, &scratch.join("sdk-ca.pem"), |_| {})?;
    let mut start = |log: &Path, settings: &[&OsStr]| {
        start_proxy(workspace, &mut group, &emulator, (log, settings)).with_context(|| tail(log))
    };
    let url = start(&log, &[])?;
    let poor = scratch.join("sdk-poor.yaml");
    fs::write(&poor, POOR)?;
    let settings = ["--config".as_ref(), poor.as_os_str()];
    let poor_url = start(&scratch.join("sdk-poor-proxy.log"), &settings)?;

    let scripts = workspace.root().join("xtask/src/test/sdk");
    let mut node = bound_to_us("node");
    node.arg(scripts.join("main.mjs"))
        .env("PACKAGES", node::SDKS.directory(workspace)?)
        .env("NODE_EXTRA_CA_CERTS", &emulator.ca);
    let mut python = bound_to_us(venv::SDKS.program(workspace, "python")?);
    python.arg("-B").arg(scripts.join("main.py"));
    let mut outcome = Outcome::default();
    // Python's last check looks back at what upstream has seen of all clients.
    for (name, mut script) in [("Node", node), ("Python", python)] {
        script
            .env("PROXY_URL", &url)
            .env("POOR_PROXY_URL", &poor_url)
            .env("EMULATOR_ORIGIN", emulator.origin())
            .env("EMULATOR_CA", &emulator.ca)
            .env("TOKEN_INTERVAL_MS", TOKEN_INTERVAL_MS.to_string())
            .env("CLIENT_KEY", CLIENT_KEY)
            .env("UPSTREAM_KEY", &emulator.key)
            // Everything is on this machine; a developer's web proxy must not be asked.
            .env("NO_PROXY", "*");
        outcome.add(script::follow(&mut group, &mut script, LIMIT)?, name);
    }
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
    (log, settings): (&Path, &[&OsStr]),
) -> Result<String> {
    let (listen, admin) = (services::free_address()?, services::free_address()?);
    let binary = workspace.binary("debug", "holysheep-proxy");
    let mut proxy = services::serve(&binary, listen, admin);
    command::without_settings(&mut proxy);
    emulator.as_upstream_of(&mut proxy);
    command::log_to(proxy.args(["--workers", "1"]).args(settings), log)?;
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
