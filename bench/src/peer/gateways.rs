//! AI gateways: LiteLLM's proxy (Python) and Portkey's gateway (Node), as lean relays.
//!
//! `cargo xtask bench NAME --gateways` installs both below `tools` of the target directory, where they are looked for here.
//! Nothing of a developer's environment reaches them, and neither tells anybody anything: LiteLLM's fetch of prices is off,
//! and Portkey's gateway asks nobody by itself.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Args;

use super::{Kind, Launch, Site, configure, version};
use crate::load::Target;

/// What to do when one is not there.
const REMEDY: &str = "cargo xtask bench NAME --gateways";

/// Where the programs are, below the tools, and the list of what is there.
const LITELLM: &str = "venv-gateways/bin/python";
const PORTKEY: &str = "node-gateways/node_modules/@portkey-ai/gateway";

/// The flag that benches have for them.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Gateways {
    /// LiteLLM and Portkey, too, which `cargo xtask bench` installs below the target directory. They start slowly: each
    /// round takes up to a minute more.
    #[arg(long)]
    gateways: bool,
}

impl Gateways {
    /// These peers, and the gateways behind them if they are wanted and not there.
    pub(crate) fn after(self, mut kinds: Vec<Kind>) -> Vec<Kind> {
        for kind in Kind::GATEWAYS.into_iter().filter(|_| self.gateways) {
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        kinds
    }
}

/// LiteLLM with one worker, which its documents advise for a container of one CPU (one worker a pod, more pods).
///
/// Its access log goes to standard output, as its server has it.
pub(super) fn litellm(site: &Site<'_>, directory: &Path, port: u16) -> Result<Launch> {
    let python = tools()?.join(LITELLM);
    let script = "import importlib.metadata as m; print('LiteLLM', m.version('litellm'), '/ uvicorn', \
                  m.version('uvicorn'), '/ Python', __import__('platform').python_version())";
    let version = said(&python, &["-c", script])?;
    let configuration = directory.join("litellm.yaml");
    configure(
        &configuration,
        include_str!("litellm.yaml"),
        &[
            ("HOST", host(site)),
            ("UPSTREAM_PORT", site.upstream.port().to_string()),
            ("CA", site.ca.display().to_string()),
        ],
    )?;
    let mut command = bare(&python.with_file_name("litellm"));
    let connections = (2 * site.clients + 96).to_string();
    command
        .arg("--config")
        .arg(&configuration)
        .args(["--host", "127.0.0.1", "--port", &port.to_string()])
        .args(["--num_workers", "1"])
        .args(["--telemetry", "False"])
        // Clients come back; uvicorn's own 5 s are less than a bench leaves a connection alone.
        .args(["--keepalive_timeout", "600"])
        // Otherwise it reads a file of the current directory for its settings.
        .env("LITELLM_MODE", "PRODUCTION")
        // Prices from the package instead of from the network.
        .env("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        // Its messages; the access log is its server's.
        .env("LITELLM_LOG", "ERROR")
        // As many connections as there are clients: 500 to one host would make streams wait.
        .env("AIOHTTP_CONNECTOR_LIMIT", &connections)
        .env("AIOHTTP_CONNECTOR_LIMIT_PER_HOST", &connections);
    Ok(Launch {
        command,
        version,
        admin: None,
        target: Some(Target::gateway(port, "")),
    })
}

/// Portkey's gateway, which has one thread for requests and no configuration: where a request goes is in its fields.
///
/// It writes no access log, and passes the client's key on.
pub(super) fn portkey(site: &Site<'_>, directory: &Path, port: u16) -> Result<Launch> {
    let node = Path::new("node");
    let package = tools()?.join(PORTKEY);
    let list = package.join("package.json");
    let list = std::fs::read_to_string(&list).with_context(|| missing(&list))?;
    let list: serde_json::Value = serde_json::from_str(&list).context("Portkey's package.json")?;
    let own = list["version"].as_str().unwrap_or("unknown");
    let version = format!(
        "Portkey {own} / Node {}",
        version(node, "--version", REMEDY)?
    );
    let preload = directory.join("portkey.cjs");
    std::fs::write(&preload, include_str!("portkey.cjs"))
        .with_context(|| preload.display().to_string())?;
    let mut command = bare(node);
    command
        .arg("--require")
        .arg(&preload)
        .arg(package.join("build/start-server.js"))
        .arg(format!("--port={port}"))
        // Neither its page nor the stream of requests for it.
        .arg("--headless")
        .env("NODE_ENV", "production")
        .env("NODE_EXTRA_CA_CERTS", site.ca)
        // It refuses private addresses that it has not been told of.
        .env("TRUSTED_CUSTOM_HOSTS", host(site));
    let fields = format!(
        "x-portkey-provider: openai\r\nx-portkey-custom-host: https://{}:{}/v1\r\n",
        host(site),
        site.upstream.port()
    );
    Ok(Launch {
        command,
        version,
        admin: None,
        target: Some(Target::gateway(port, &fields)),
    })
}

/// Upstream's name: one where there is one to be resolved, as for the product.
fn host(site: &Site<'_>) -> String {
    match site.upstream.ip() {
        ip if ip.is_loopback() => "localhost".to_owned(),
        ip => ip.to_string(),
    }
}

/// A program with no more of the environment than it takes to be found: both read keys, proxies and settings from it.
fn bare(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear();
    for name in ["PATH", "HOME", "TMPDIR", "LANG"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// What `cargo xtask` has installed; this program lies in a sibling directory.
fn tools() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let target = own.parent().and_then(Path::parent);
    Ok(target.context("no target directory")?.join("tools"))
}

fn missing(path: &Path) -> String {
    format!("{} is not installed; try: {REMEDY}", path.display())
}

/// What a program prints.
fn said(program: &Path, arguments: &[&str]) -> Result<String> {
    let output = bare(program).args(arguments).output();
    let output = output.with_context(|| missing(program))?;
    ensure!(output.status.success(), missing(program));
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gateways_come_last_and_once() {
        let wanted = Gateways { gateways: true };
        let kinds = wanted.after(vec![Kind::LiteLlm, Kind::Nginx]);
        assert_eq!(kinds, [Kind::LiteLlm, Kind::Nginx, Kind::Portkey]);
        let kinds = Gateways { gateways: false }.after(vec![Kind::Nginx]);
        assert_eq!(kinds, [Kind::Nginx]);
    }

    #[test]
    fn every_setting_of_litellm_has_its_reason() {
        let lines = include_str!("litellm.yaml").lines();
        let settings = lines.filter(|line| line.contains(": ") && !line.trim().starts_with('#'));
        for line in settings {
            assert!(line.contains(" # "), "{line}");
        }
    }
}
