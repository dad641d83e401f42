//! The status page in a browser, while clients are served: the scripts in `page` against a real proxy, as a person would look.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::report::Outcome;
use super::{cargo, script};
use crate::process::{Group, bound_to_us};
use crate::services::{self, Emulator};
use crate::tools::{self, node};
use crate::workspace::Workspace;
use crate::{apt, command};

/// Far more than the checks take: a browser on two slow cores needs seconds for each picture.
const LIMIT: Duration = Duration::from_secs(600);

/// Discard's port, where nobody listens.
const NOWHERE: &str = "https://127.0.0.1:9/v1";

/// The settings: clients with limits, the second upstream out of reach, and probes from an address of loopback.
const CONFIGURATION: &str = "\
limits: {per_client: {requests_per_minute: 6000, burst: 30, tokens_per_minute: 10000000, concurrent: 500, usd_per_day: 100, usd_per_month: 1000}}
probes: {sources: [127.0.0.2/32]}
log: {sample: 0.5}
";

/// Who sends requests.
const CLIENTS: [&str; 2] = ["team-a", "team-b"];

pub(super) fn run(workspace: &Workspace) -> Result<Outcome> {
    cargo::build_programs(workspace)?;

    let scratch = workspace.scratch("page")?;
    let mut group = Group::new()?;
    let mut binary = bound_to_us(workspace.binary("debug", "holysheep-emulator"));
    binary.args(["--profile", "fixed:20", "--token-rate", "500"]);
    let emulator = Emulator::start_by(&mut group, binary, &scratch.join("ca.pem"), |_| {})?;
    let (clients, keys) = clients(workspace, &scratch)?;
    let (data, admin) = (services::free_address()?, services::free_address()?);
    let mut proxy = proxy(workspace, data, admin);
    emulator.as_upstream_of(&mut proxy);
    let key = scratch.join("key");
    fs::write(&key, &emulator.key)?;
    let far = format!(
        "upstreams: [{{name: far, base_url: '{NOWHERE}', api_key_file: '{}'}}]\n",
        key.display()
    );
    let settings = scratch.join("proxy.yaml");
    fs::write(&settings, format!("{CONFIGURATION}{far}"))?;
    proxy.args(["--auth", "clients", "--workers", "2"]);
    proxy.arg("--clients-file").arg(clients);
    proxy.arg("--config").arg(settings);
    let log = scratch.join("proxy.log");
    command::log_to(&mut proxy, &log)?;
    group.start("proxy", &mut proxy)?;
    services::wait_until_ready(&mut group, admin)
        .with_context(|| format!("see {}", log.display()))?;
    let bare = start_bare(workspace, &mut group, &scratch)?;

    let pictures = scratch.join("pictures");
    fs::create_dir_all(&pictures)?;
    let mut node = bound_to_us("node");
    node.arg(workspace.root().join("xtask/src/test/page/main.mjs"))
        .env("PACKAGES", node::PAGE.directory(workspace)?)
        .env("CHROMIUM", browser()?)
        .env("PROXY_URL", format!("http://{data}"))
        .env("ADMIN_URL", format!("http://{admin}"))
        .env("BARE_ADMIN_URL", format!("http://{bare}"))
        .env("KEY_A", &keys[0])
        .env("KEY_B", &keys[1])
        .env("DOCUMENT", workspace.root().join("docs/status.md"))
        .env("SCREENSHOTS", &pictures)
        // Everything is on this machine; a developer's web proxy must not be asked.
        .env("NO_PROXY", "*");
    let outcome = script::follow(&mut group, &mut node, LIMIT)?;
    println!("     pictures are in {}", pictures.display());
    Ok(outcome)
}

/// Where Debian's browser is, and where others have it.
fn browser() -> Result<PathBuf> {
    let found = ["chromium", "chromium-browser"]
        .iter()
        .find_map(|name| apt::program(name));
    found.with_context(|| format!("{} is not on the PATH", tools::CHROMIUM))
}

fn proxy(workspace: &Workspace, data: SocketAddr, admin: SocketAddr) -> Command {
    let mut proxy = services::serve(&workspace.binary("debug", "holysheep-proxy"), data, admin);
    command::without_settings(&mut proxy);
    proxy
}

/// A proxy that has nothing to show: neither key nor upstream.
fn start_bare(workspace: &Workspace, group: &mut Group, scratch: &Path) -> Result<SocketAddr> {
    let (data, admin) = (services::free_address()?, services::free_address()?);
    let mut bare = proxy(workspace, data, admin);
    bare.args(["--upstream", NOWHERE, "--workers", "1", "--ebpf", "off"]);
    command::log_to(&mut bare, &scratch.join("bare.log"))?;
    group.start("proxy without upstream", &mut bare)?;
    services::wait_until_up(group, admin)?;
    Ok(admin)
}

/// A file of clients, and the key of each.
fn clients(workspace: &Workspace, scratch: &Path) -> Result<(PathBuf, Vec<String>)> {
    let file = scratch.join("clients.yaml");
    if file.exists() {
        fs::remove_file(&file)?;
    }
    let mut keys = Vec::new();
    for name in CLIENTS {
        let mut program = Command::new(workspace.binary("debug", "holysheep-proxy"));
        command::without_settings(&mut program);
        let output = program.args(["client", "add", name, "--file"]).arg(&file);
        let output = output.output()?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "no key was made: {told}");
        keys.push(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Ok((file, keys))
}
