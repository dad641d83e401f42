//! What the compiler says of itself: the one that is used in the workspace, which rustup chooses by directory.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::command;
use crate::workspace::Workspace;

/// Where it and its libraries are.
pub(crate) fn sysroot(workspace: &Workspace) -> Result<PathBuf> {
    said(workspace, &["--print", "sysroot"]).map(PathBuf::from)
}

/// What its version says behind `label`, such as `host: `.
pub(crate) fn version(workspace: &Workspace, label: &str) -> Result<String> {
    let said = said(workspace, &["-vV"])?;
    let found = said.lines().find_map(|line| line.strip_prefix(label));
    let found = found.with_context(|| format!("`rustc -vV` has no line with `{label}`"))?;
    Ok(found.to_owned())
}

fn said(workspace: &Workspace, arguments: &[&str]) -> Result<String> {
    let mut rustc = Command::new("rustc");
    command::output(rustc.args(arguments).current_dir(workspace.root()))
}
