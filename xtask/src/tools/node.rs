//! Packages for Node below the target directory: the schemas and types of custom resources.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::workspace::Workspace;
use crate::{apt, command};

const PACKAGES: &str = include_str!("../test/crds/package.json");

/// Where the packages are.
fn directory(workspace: &Workspace) -> Result<PathBuf> {
    Ok(workspace.scratch("tools")?.join("node"))
}

/// Node's version, if it has the packages of this version of the list.
pub(super) fn installed(workspace: &Workspace) -> Option<String> {
    let written = directory(workspace).ok()?.join("installed.json");
    let version = command::first_line(Command::new("node").arg("--version"));
    version.filter(|_| fs::read_to_string(written).is_ok_and(|text| text == PACKAGES))
}

pub(super) fn install(workspace: &Workspace) -> Result<()> {
    if !apt::has_program("npm") {
        super::install_from_debian(&["nodejs", "npm"])?;
    }
    let directory = directory(workspace)?;
    fs::create_dir_all(&directory)?;
    fs::write(directory.join("package.json"), PACKAGES)?;
    command::run(
        Command::new("npm")
            .args(["install", "--silent", "--no-audit", "--no-fund"])
            .current_dir(&directory),
        "is the registry of npm reachable?",
    )?;
    // Written last: it says that everything before it succeeded.
    fs::write(directory.join("installed.json"), PACKAGES)?;
    Ok(())
}
