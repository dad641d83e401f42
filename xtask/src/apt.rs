//! Debian packages, installed where we may.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::command;

/// Whether packages can be installed: Debian or a child of it, and we are root.
pub(crate) fn is_possible() -> bool {
    has_program("apt-get") && rustix::process::geteuid().is_root()
}

/// Installs packages; the caller has said why.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    let remedy = format!("install by hand: {}", by_hand(packages));
    // Images often come without package lists.
    command::run(apt_get().args(["update", "--quiet"]), &remedy)?;
    let install = ["install", "--yes", "--quiet", "--no-install-recommends"];
    command::run(apt_get().args(install).args(packages), &remedy)
}

/// What a person without our rights types.
pub(crate) fn by_hand(packages: &[&str]) -> String {
    format!(
        "sudo apt-get install --no-install-recommends {}",
        packages.join(" ")
    )
}

/// Whether a program is on the path, or where Debian puts servers.
pub(crate) fn has_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).any(|directory| directory.join(name).is_file());
    on_path || Path::new("/usr/sbin").join(name).is_file()
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}
