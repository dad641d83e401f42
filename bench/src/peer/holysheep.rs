//! The product, as `serve` runs it in production, with one worker.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{Launch, Site, free_port, version};

/// Moves the shell to the cgroup named first and becomes the program named second.
const IN_CGROUP: &str = r#"echo $$ > "$0/cgroup.procs" && exec "$@""#;

/// The product with its access log on, in JSON, to standard output, and with kernel programs as `ebpf` says.
pub(super) fn launch(site: &Site<'_>, port: u16, name: &str, ebpf: &str) -> Result<Launch> {
    let binary = match site.proxy_binary {
        Some(path) => absolute(path)?,
        None => built()?,
    };
    let version = version(&binary, "version", "cargo xtask build")?;
    let mut command = match site.cgroup {
        // Kernel programs are attached to a cgroup: the bench's own packets are not the product's to pay for.
        Some(cgroup) => {
            let mut shell = Command::new("sh");
            shell.args(["-c", IN_CGROUP]);
            shell.arg(cgroup.of(name)?).arg(&binary);
            shell
        }
        None => Command::new(&binary),
    };
    // Settings of the developer's own environment must not change what is measured.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("HOLYSHEEP_") {
            command.env_remove(name);
        }
    }
    let admin = free_port()?;
    command
        .arg("serve")
        .args(["--listen", &format!("127.0.0.1:{port}")])
        .args(["--admin-listen", &format!("127.0.0.1:{admin}")])
        .args([
            "--upstream",
            &format!("https://localhost:{}/v1", site.upstream_port),
        ])
        .arg("--upstream-ca")
        .arg(site.ca)
        .args(["--workers", "1", "--ebpf", ebpf, "--log-format", "json"])
        .env("HOLYSHEEP_API_KEY", "cr_bench");
    if let Some(source) = site.probe_source {
        command.args(["--probe-source", &source.to_string()]);
    }
    Ok(Launch {
        command,
        admin: Some(admin),
        version: format!("{version} ({})", profile(&binary)),
    })
}

/// The optimised build if there is one; this program lies in a sibling directory.
fn built() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let target = own
        .parent()
        .and_then(Path::parent)
        .context("no target directory")?;
    for profile in ["dist", "release"] {
        let candidate = target.join(profile).join("holysheep-proxy");
        if candidate.is_file() {
            return Ok(candidate);
        }
    }
    bail!("holysheep-proxy is not built (cargo build --profile dist -p holysheep-proxy)")
}

fn absolute(path: &Path) -> Result<PathBuf> {
    path.canonicalize()
        .with_context(|| format!("no program {}", path.display()))
}

/// The directory's name, which is the build profile's.
fn profile(binary: &Path) -> String {
    let directory = binary
        .parent()
        .and_then(Path::file_name)
        .unwrap_or_default();
    format!("{} build", directory.to_string_lossy())
}
