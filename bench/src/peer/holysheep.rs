//! The product, as `serve` runs it in production, with one worker.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::feature::{Feature, Grown, Prepared};
use super::{Launch, Site, free_port, version};
use crate::cgroup::Cgroup;

/// Moves the shell to the cgroup named first and becomes the program named second.
const IN_CGROUP: &str = r#"echo $$ > "$0/cgroup.procs" && exec "$@""#;

/// Connections that it keeps without being told to.
const KEPT: usize = 128;

/// The configuration file of [`Variant::SystemWindow`].
const SYSTEM_WINDOW: &str = include_str!("holysheep-off.yaml");

/// That of [`Variant::Limits`].
const LIMITS: &str = include_str!("holysheep-limits.yaml");

/// How the product differs from the usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Variant {
    /// Not at all.
    Usual,
    /// Without kernel programs.
    NoEbpf,
    /// Windows of connections to upstream as the system has them.
    SystemWindow,
    /// Limits for its clients.
    Limits,
    /// h2 to upstream.
    Http2,
    /// One thing more.
    With(Feature),
    /// So many of something.
    Grown(Grown),
}

impl Variant {
    /// Whether keys for upstream come from a configuration file.
    fn has_keys(self) -> bool {
        match self {
            Self::With(feature) => feature == Feature::Keys,
            Self::Grown(grown) => grown.has_keys(),
            _ => false,
        }
    }
}

/// The product with its access log on, in JSON, to standard output. `place` is its directory's name, and its cgroup's.
pub(super) fn launch(site: &Site<'_>, port: u16, place: &str, variant: Variant) -> Result<Launch> {
    let (mut command, version) = product(site.proxy_binary, site.cgroup, place)?;
    let admin = free_port()?;
    let ebpf = match variant {
        Variant::NoEbpf => "off",
        _ => "auto",
    };
    // A name where there is one to be resolved, as in production.
    let host = match site.upstream.ip() {
        ip if ip.is_loopback() => "localhost".to_owned(),
        ip => ip.to_string(),
    };
    command
        .arg("serve")
        .args(["--listen", &format!("127.0.0.1:{port}")])
        .args(["--admin-listen", &format!("127.0.0.1:{admin}")])
        .args([
            "--upstream",
            &format!("https://{host}:{}/v1", site.upstream.port()),
        ])
        .arg("--upstream-ca")
        .arg(site.ca)
        .args(["--workers", "1", "--ebpf", ebpf, "--log-format", "json"]);
    // Several keys would be too many with one more.
    if !variant.has_keys() {
        command.env("HOLYSHEEP_API_KEY", "cr_bench");
    }
    // Not beside its output, which would wake whoever watches the directory all the time.
    let directory = site.directory.join(place).join("configuration");
    std::fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    let prepared = match variant {
        Variant::Usual | Variant::NoEbpf if site.pool > KEPT => {
            Prepared::configured(format!("upstream: {{max_idle: {}}}\n", site.pool))
        }
        Variant::Usual | Variant::NoEbpf => Prepared::default(),
        Variant::SystemWindow => Prepared::configured(SYSTEM_WINDOW),
        Variant::Limits => Prepared::configured(LIMITS),
        Variant::Http2 => Prepared::configured("upstream: {protocol: http2}\n"),
        Variant::With(feature) => feature.prepare(site, port, &directory)?,
        Variant::Grown(grown) => grown.prepare(site, port, &directory)?,
    };
    if !prepared.configuration.is_empty() {
        let file = directory.join("holysheep.yaml");
        std::fs::write(&file, prepared.configuration)
            .with_context(|| file.display().to_string())?;
        command.arg("--config").arg(file);
    }
    if let Some(source) = site.probe_source {
        command.args(["--probe-source", &source.to_string()]);
    }
    Ok(Launch {
        command,
        admin: Some(admin),
        target: prepared.target,
        version,
    })
}

/// A command that runs the product, without arguments so far, in a cgroup of its own if there can be one; and its version.
///
/// # Errors
/// When it is not built.
pub(crate) fn product(
    binary: Option<&Path>,
    cgroup: Option<&Cgroup>,
    place: &str,
) -> Result<(Command, String)> {
    let binary = self::binary(binary)?;
    let version = version(&binary, "version", "cargo xtask build")?;
    let mut command = match cgroup {
        // Kernel programs are attached to a cgroup: the bench's own packets are not the product's to pay for.
        Some(cgroup) => {
            let mut shell = Command::new("sh");
            shell.args(["-c", IN_CGROUP]);
            shell.arg(cgroup.of(place)?).arg(&binary);
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
    Ok((command, format!("{version} ({})", profile(&binary))))
}

/// The program that was named, or the build that there is.
///
/// # Errors
/// When there is none.
pub(super) fn binary(named: Option<&Path>) -> Result<PathBuf> {
    match named {
        Some(path) => absolute(path),
        None => built(),
    }
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
    bail!("holysheep-proxy is not built (cargo xtask build --dist)")
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
