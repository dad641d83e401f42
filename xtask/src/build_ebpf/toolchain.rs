//! A compiler that can compile for the kernel: rustup's nightly with `rust-src`, or Debian's own with core for BPF.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;
use crate::{apt, command};

/// Debian's compiler, and core built for BPF.
const PACKAGES: [&str; 2] = ["rustc-web", "libstd-rust-web-dev-bpf"];
/// Where Debian puts it.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// A compiler.
#[derive(Debug)]
pub(super) struct Toolchain {
    kind: Kind,
    version: String,
    /// Major version of its LLVM.
    pub(super) llvm: u32,
}

#[derive(Debug)]
enum Kind {
    /// rustup's, by the name it has there; compiles core itself.
    Rustup(String),
    /// Debian's; core is there.
    Debian,
}

/// The compiler that is there, or Debian's, installed now.
pub(super) fn find_or_install() -> Result<Toolchain> {
    if let Some(toolchain) = find()? {
        return Ok(toolchain);
    }
    println!(
        "compiler    missing: neither a nightly toolchain with rust-src nor Debian's packages are here"
    );
    if !apt::is_possible() {
        bail!("no compiler for kernel programs; {}", by_hand());
    }
    println!(
        "compiler    installing Debian's packages {}",
        PACKAGES.join(", ")
    );
    apt::install(&PACKAGES).with_context(by_hand)?;
    find()?.with_context(|| {
        format!(
            "the packages are installed, but {DEBIAN_RUSTC} has no core for BPF; {}",
            by_hand()
        )
    })
}

/// Whether [`find_or_install`] has something to find or to try.
pub(super) fn can_be_had() -> Result<bool> {
    Ok(apt::is_possible() || find()?.is_some())
}

/// What a person can do.
pub(super) fn by_hand() -> String {
    format!(
        "either `rustup toolchain install nightly --component rust-src`, or on Debian 12 with its security updates `{}`; \
         then `cargo xtask build-ebpf` again. Without, the proxy builds and runs, but without kernel programs",
        apt::by_hand(&PACKAGES)
    )
}

fn find() -> Result<Option<Toolchain>> {
    let kind = match nightly_with_source() {
        Some(name) => Kind::Rustup(name),
        None if debian_has_core() => Kind::Debian,
        None => return Ok(None),
    };
    let rustc = kind.rustc().context("the compiler has vanished")?;
    let output = Command::new(&rustc).arg("-vV").output();
    let output = output.with_context(|| format!("cannot run {}", rustc.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let llvm = llvm_of(&text).context("`rustc -vV` does not tell its LLVM's version")?;
    Ok(Some(Toolchain {
        kind,
        version: text.lines().next().unwrap_or_default().to_owned(),
        llvm,
    }))
}

/// The major version in `LLVM version: 22.1.8`.
fn llvm_of(version: &str) -> Option<u32> {
    let line = version
        .lines()
        .find_map(|line| line.strip_prefix("LLVM version: "))?;
    line.split('.').next()?.parse().ok()
}

/// A nightly toolchain that has core's source. Asks only what is installed: naming one that is not would make rustup
/// download it.
fn nightly_with_source() -> Option<String> {
    let output = Command::new("rustup")
        .args(["toolchain", "list"])
        .output()
        .ok()?;
    let list = String::from_utf8_lossy(&output.stdout).into_owned();
    let names = list
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    names
        .filter(|name| name.starts_with("nightly"))
        .find(|name| {
            let rustc = rustup_rustc(name);
            rustc.as_deref().and_then(sysroot).is_some_and(|sysroot| {
                sysroot
                    .join("lib/rustlib/src/rust/library/core/Cargo.toml")
                    .is_file()
            })
        })
        .map(str::to_owned)
}

fn rustup_rustc(toolchain: &str) -> Option<PathBuf> {
    let which = ["which", "--toolchain", toolchain, "rustc"];
    command::first_line(Command::new("rustup").args(which)).map(PathBuf::from)
}

/// `…/bin/rustc` lies in it.
fn sysroot(rustc: &Path) -> Option<&Path> {
    rustc.parent()?.parent()
}

fn debian_has_core() -> bool {
    let print = ["--print", "target-libdir", "--target", super::TARGET];
    let Some(directory) = command::first_line(Command::new(DEBIAN_RUSTC).args(print)) else {
        return false;
    };
    let is_core = |name: &str| name.starts_with("libcore-") && name.ends_with(".rlib");
    std::fs::read_dir(directory).is_ok_and(|mut files| {
        files.any(|file| file.is_ok_and(|file| is_core(&file.file_name().to_string_lossy())))
    })
}

impl Kind {
    fn rustc(&self) -> Option<PathBuf> {
        match self {
            Self::Rustup(name) => rustup_rustc(name),
            Self::Debian => Some(DEBIAN_RUSTC.into()),
        }
    }
}

impl Toolchain {
    /// Cargo, set up to use this compiler.
    pub(super) fn cargo(&self, workspace: &Workspace) -> Command {
        match &self.kind {
            Kind::Rustup(name) => {
                let mut cargo = Command::new("rustup");
                cargo.args(["run", name, "cargo"]);
                // Those of the toolchain this program was built with.
                for name in ["RUSTC", "CARGO", "RUSTUP_TOOLCHAIN"] {
                    cargo.env_remove(name);
                }
                cargo
            }
            Kind::Debian => {
                let mut cargo = workspace.cargo([]);
                // aya-ebpf uses inline assembly, which is not stable for BPF; Debian has no nightly.
                cargo.env("RUSTC", DEBIAN_RUSTC).env("RUSTC_BOOTSTRAP", "1");
                cargo
            }
        }
    }

    /// What to add to `cargo build`.
    pub(super) fn arguments(&self) -> &'static [&'static str] {
        match self.kind {
            Kind::Rustup(_) => &["-Zbuild-std=core"],
            Kind::Debian => &[],
        }
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = match &self.kind {
            Kind::Rustup(name) => format!("rustup's {name} with rust-src"),
            Kind::Debian => format!("Debian's {DEBIAN_RUSTC} with core for BPF"),
        };
        write!(f, "{} (LLVM {}), {from}", self.version, self.llvm)
    }
}

#[cfg(test)]
mod tests;
