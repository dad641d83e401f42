//! The step `image`: builds the container image as users do, looks at what is in it, and runs it in each of the ways the chart
//! does.
//!
//! [`contents`] looks at files and labels, [`bill`] at the bill of materials. [`profile`] runs it in each way: by a
//! [`container`], on what [`node`] makes look like one, in a [`network`] with the emulator as upstream.

mod bill;
mod container;
mod contents;
mod network;
mod node;
mod profile;

use std::fs;
use std::process::Command;

use anyhow::{Result, bail};

use super::Outcome;
use crate::image::commit::Commit;
use crate::image::engine::Engine;
use crate::image::facts::Facts;
use crate::image::{self, Builder, Recipe};
use crate::tools::venv;
use crate::workspace::Workspace;
use crate::{build_ebpf, command};

/// A check's problems; none means that it passed.
type Problems = Vec<String>;

pub(super) fn run(workspace: &Workspace) -> Result<Outcome> {
    if let Some(reason) = lack()? {
        println!("SKIPPED: {reason}");
        return Ok(Outcome::skipped(reason));
    }
    let mut outcome = Outcome::default();
    outcome.check("hadolint", &lint(workspace)?);

    let engine = Engine::new(workspace)?;
    let tag = image::tag("-test");
    let commit = Commit::of(workspace, None);
    let facts = assemble(workspace, &engine, &commit, &tag)?;
    println!("\n{facts}");
    outcome.check("files", &contents::files(&facts));
    outcome.check("settings", &contents::settings(&engine, &tag)?);
    outcome.check("program", &contents::program(workspace, &engine, &tag)?);
    outcome.check("bill of materials", &bill::check(workspace, &engine, &tag)?);
    profile::run_all(workspace, &engine, &tag, &mut outcome)?;

    let second = image::tag("-test-again");
    let again = assemble(workspace, &engine, &commit, &second)?;
    engine.discard(&second);
    let mut problems = Problems::new();
    if again.layers != facts.layers || again.id != facts.id {
        problems.push(format!("a second build differs: {again}"));
    }
    outcome.check("the same again", &problems);
    Ok(outcome)
}

/// Why no image can be built and run here.
fn lack() -> Result<Option<String>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(Some("images are built and run as root here".to_owned()));
    }
    build_ebpf::lack()
}

fn lint(workspace: &Workspace) -> Result<Problems> {
    let mut hadolint = Command::new(venv::CHECKS.program(workspace, "hadolint")?);
    hadolint
        .arg("deploy/docker/Dockerfile")
        .current_dir(workspace.root());
    println!("$ {}", command::shown(&hadolint));
    let output = hadolint.output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    if output.status.success() {
        return Ok(Problems::new());
    }
    Ok(text.lines().map(str::to_owned).collect())
}

/// Builds with this machine's compiler. All steps run each time, but the compiler finds its results of before.
fn assemble(workspace: &Workspace, engine: &Engine, commit: &Commit, tag: &str) -> Result<Facts> {
    let recipe = Recipe {
        tag,
        builder: &Builder::Host,
        commit,
        cache: workspace.scratch("image/cache")?,
        afresh: false,
    };
    image::build(workspace, engine, &recipe)?;
    let facts = Facts::of(engine, tag)?;
    if facts.files.is_empty() {
        bail!("{tag} has no files");
    }
    Ok(facts)
}

/// A directory for what a run of the image leaves, empty.
fn scratch(workspace: &Workspace, name: &str) -> Result<std::path::PathBuf> {
    let directory = workspace.scratch("image")?.join(name);
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    fs::create_dir_all(&directory)?;
    Ok(directory)
}
