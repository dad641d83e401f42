//! The configuration file in an editor: the script in `editor` asks yaml-language-server what an editor would ask.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::report::Outcome;
use super::{cargo, script};
use crate::command;
use crate::process::{Group, bound_to_us};
use crate::tools::node;
use crate::workspace::Workspace;

/// Far more than all questions take.
const LIMIT: Duration = Duration::from_secs(120);
/// As the first line of the example calls it.
const SCHEMA: &str = "holysheep-proxy.schema.json";
const EXAMPLE: &str = "holysheep-proxy.yaml";

pub(super) fn run(workspace: &Workspace) -> Result<Outcome> {
    cargo::build_programs(workspace)?;

    let directory = workspace.scratch("xtask/editor")?;
    let mut program = bound_to_us(workspace.binary("debug", "holysheep-proxy"));
    command::without_settings(&mut program);
    let printed = program.args(["config", "--schema"]).output()?;
    ensure!(
        printed.status.success(),
        "`config --schema` ended with {}",
        printed.status
    );
    fs::write(directory.join(SCHEMA), printed.stdout)?;
    let example = workspace.root().join("deploy/configuration").join(EXAMPLE);
    fs::copy(&example, directory.join(EXAMPLE)).with_context(|| example.display().to_string())?;

    let mut node = bound_to_us("node");
    node.arg(workspace.root().join("xtask/src/test/editor/main.mjs"))
        .env("PACKAGES", node::EDITOR.directory(workspace)?)
        .env("DIRECTORY", &directory);
    script::follow(&mut Group::new()?, &mut node, LIMIT)
}
