//! Prometheus and its promtool: Debian's package, unpacked below the target directory, or those on the path.
//!
//! Unpacked and not installed, because the package starts a service that nobody asked for.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::workspace::Workspace;
use crate::{apt, command};

const PACKAGE: &str = "prometheus";

/// `prometheus` or `promtool`.
pub(crate) fn program(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    let root = workspace.scratch("tools")?.join(PACKAGE);
    let unpacked = root.join("usr/bin").join(name);
    Ok(if unpacked.is_file() {
        unpacked
    } else {
        name.into()
    })
}

/// Its version, if both programs are there.
pub(crate) fn installed(workspace: &Workspace) -> Option<String> {
    let version = |name| {
        let program = program(workspace, name).ok()?;
        command::first_line(Command::new(program).arg("--version"))
    };
    version("promtool")?;
    version("prometheus")
}

/// Downloads and unpacks the package.
pub(crate) fn install(workspace: &Workspace) -> Result<()> {
    if !apt::has_program("apt-get") {
        bail!("needs Debian; elsewhere put `prometheus` and `promtool` on the PATH");
    }
    let tools = workspace.scratch("tools")?;
    if apt::unpack(PACKAGE, &tools).is_err() {
        // Images often come without the lists of packages.
        apt::update()?;
        apt::unpack(PACKAGE, &tools)?;
    }
    Ok(())
}
