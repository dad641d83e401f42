//! The chart, the manifests rendered from it, and the scripts below `deploy`: Python checks in `chart`, and that the
//! rendered files are those of today's chart.

use std::time::Duration;

use anyhow::Result;

use super::report::Outcome;
use super::{cargo, script};
use crate::manifests;
use crate::process::{Group, bound_to_us};
use crate::tools::venv;
use crate::workspace::Workspace;

/// Far more than the checks take.
const LIMIT: Duration = Duration::from_secs(400);

pub(super) fn run(workspace: &Workspace) -> Result<Outcome> {
    cargo::build_programs(workspace)?;
    let mut python = bound_to_us(venv::CHECKS.program(workspace, "python")?);
    python
        .arg("-B")
        .arg(workspace.root().join("xtask/src/test/chart/main.py"))
        .env("WORKSPACE", workspace.root())
        .env("TOOLS", workspace.scratch("tools")?)
        .env("SCRATCH", workspace.scratch("chart")?)
        .env("PROXY", workspace.binary("debug", "holysheep-proxy"));
    let mut outcome = script::follow(&mut Group::new()?, &mut python, LIMIT)?;
    let drift = manifests::drift(workspace)?;
    for (path, what) in &drift {
        println!("{}: {what}", path.display());
    }
    if drift.is_empty() {
        outcome.passed += 1;
    } else {
        outcome.fail("rendered files differ; `cargo xtask manifests` writes them".to_owned());
    }
    Ok(outcome)
}
