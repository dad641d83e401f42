//! `cargo xtask manifests`: the chart, rendered: for people without Helm, and for the chart's own tests to compare with.
//!
//! `deploy/manifests` gets a file for each template; what needs the Prometheus operator goes to its `monitoring`.
//! `deploy/helm/tests/golden` gets a file for each set of values in `deploy/helm/tests/values`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::helm::{self, Version};
use crate::tools;
use crate::workspace::Workspace;

const VALUES: &str = "deploy/helm/manifests.yaml";
const MANIFESTS: &str = "deploy/manifests";
const TEST_VALUES: &str = "deploy/helm/tests/values";
const GOLDEN: &str = "deploy/helm/tests/golden";
/// The name of release and namespace, as in the article.
const RELEASE: &str = "holysheep-proxy";

/// Plain manifests have to work on the oldest version supported.
const OLDEST: &str = "1.27.0";
const NEWEST: &str = "1.37.0";

/// What the Prometheus operator and Grafana's sidecar take up.
const OPERATOR: &str = "monitoring.serviceMonitor.enabled=true,monitoring.prometheusRule.enabled=true,monitoring.dashboards.enabled=true";

/// Templates of custom resources: whoever has no operator applies the rest.
const MONITORING: [&str; 3] = ["dashboards", "prometheusrule", "servicemonitor"];

const NAMESPACE: &str = "\
apiVersion: v1
kind: Namespace
metadata:
  name: holysheep-proxy
  labels:
    # The DaemonSet's pods are privileged.
    pod-security.kubernetes.io/enforce: privileged
";

/// Options of the command.
#[derive(Args)]
pub(crate) struct Options {
    /// Write nothing, and fail if a file is not what it should be
    #[arg(long)]
    check: bool,
}

/// Files by their path below the workspace's root.
type Files = BTreeMap<PathBuf, String>;

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let needed = ["python3-venv", "python-checks", "helm"];
    let needed = tools::ALL.iter().filter(|tool| needed.contains(&tool.name));
    if let Some(lack) = tools::ensure(workspace, needed).first() {
        bail!("{} could not be installed: {}", lack.tool.name, lack.reason);
    }
    let files = render(workspace)?;
    let wrong = differences(workspace, &files)?;
    if options.check {
        for (path, what) in &wrong {
            println!("{}: {what}", path.display());
        }
        return Ok(if wrong.is_empty() {
            println!("{} files are as the chart renders them.", files.len());
            ExitCode::SUCCESS
        } else {
            println!(
                "`cargo xtask manifests` writes them; look at the difference before you commit."
            );
            ExitCode::FAILURE
        });
    }
    for (path, _) in &wrong {
        write(&workspace.root().join(path), files.get(path))?;
        println!("{}", path.display());
    }
    println!(
        "{} of {} files changed. Next: look at `git diff deploy`, or `kubectl apply -k {MANIFESTS}`.",
        wrong.len(),
        files.len()
    );
    Ok(ExitCode::SUCCESS)
}

/// Files that are not as they should be, and what is wrong with them.
pub(crate) fn drift(workspace: &Workspace) -> Result<Vec<(PathBuf, &'static str)>> {
    differences(workspace, &render(workspace)?)
}

fn render(workspace: &Workspace) -> Result<Files> {
    let mut files = Files::new();
    let base = |name: &str| !MONITORING.contains(&name);
    let objects = plain(workspace, &["--no-hooks"])?;
    let namespace = ("namespace".to_owned(), NAMESPACE.to_owned());
    let objects = objects.into_iter().filter(|(name, _)| base(name));
    directory(
        &mut files,
        MANIFESTS,
        [namespace].into_iter().chain(objects),
    );
    let objects = plain(workspace, &["--no-hooks", "--set", OPERATOR])?;
    let objects = objects.into_iter().filter(|(name, _)| !base(name));
    directory(&mut files, &format!("{MANIFESTS}/monitoring"), objects);
    for entry in fs::read_dir(workspace.root().join(TEST_VALUES))? {
        let name = entry?.file_name();
        let text = template(workspace, &Path::new(TEST_VALUES).join(&name), NEWEST, &[])?;
        files.insert(Path::new(GOLDEN).join(&name), with_header(&text));
    }
    Ok(files)
}

/// The objects of the plain manifests, by their template.
fn plain(workspace: &Workspace, options: &[&str]) -> Result<BTreeMap<String, String>> {
    let text = template(workspace, Path::new(VALUES), OLDEST, options)?;
    Ok(by_template(&text))
}

/// Adds a directory of objects and its kustomization.
fn directory(files: &mut Files, path: &str, objects: impl Iterator<Item = (String, String)>) {
    let mut list = Vec::new();
    for (name, content) in objects {
        let file = format!("{name}.yaml");
        files.insert(Path::new(path).join(&file), with_header(&content));
        list.push(file);
    }
    let kustomization = with_header(&kustomization(&list));
    files.insert(Path::new(path).join("kustomization.yaml"), kustomization);
}

fn template(
    workspace: &Workspace,
    values: &Path,
    kubernetes: &str,
    options: &[&str],
) -> Result<String> {
    let version = ["--kube-version", kubernetes];
    let options = [&version, options].concat();
    let release = (RELEASE, RELEASE);
    helm::template(workspace, Version::V4, release, values, &options)
}

/// What helm printed, by the template it comes from; without what only Helm's own installations have.
fn by_template(text: &str) -> BTreeMap<String, String> {
    let mut files = BTreeMap::<String, String>::new();
    for document in text.split("---\n# Source: ").skip(1) {
        let (source, document) = document.split_once('\n').unwrap_or((document, ""));
        let stem = Path::new(source).file_stem().unwrap_or_default();
        let file = files
            .entry(stem.to_string_lossy().into_owned())
            .or_default();
        if !file.is_empty() {
            file.push_str("---\n");
        }
        let kept = document.lines().filter(|line| {
            let line = line.trim_start();
            !line.starts_with("helm.sh/chart:")
                && !line.starts_with("app.kubernetes.io/managed-by:")
        });
        for line in kept {
            file.push_str(line);
            file.push('\n');
        }
    }
    files
}

fn kustomization(resources: &[String]) -> String {
    let mut text =
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n".to_owned();
    for resource in resources {
        text.push_str("  - ");
        text.push_str(resource);
        text.push('\n');
    }
    text
}

fn with_header(content: &str) -> String {
    let mut text =
        "# Rendered by `cargo xtask manifests` from the chart; not to be edited.\n".to_owned();
    for line in content.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn differences(workspace: &Workspace, files: &Files) -> Result<Vec<(PathBuf, &'static str)>> {
    let mut found = Vec::new();
    for (path, content) in files {
        match fs::read_to_string(workspace.root().join(path)) {
            Ok(text) if text == *content => {}
            Ok(_) => found.push((path.clone(), "is not what the chart renders")),
            Err(_) => found.push((path.clone(), "is missing")),
        }
    }
    let listed = workspace.files("yaml")?.into_iter();
    let rendered = [MANIFESTS, GOLDEN];
    let left = listed.filter(|path| {
        rendered.iter().any(|directory| path.starts_with(directory)) && !files.contains_key(path)
    });
    found.extend(left.map(|path| (path, "comes from nothing any more")));
    Ok(found)
}

fn write(path: &Path, content: Option<&String>) -> Result<()> {
    let Some(content) = content else {
        return fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()));
    };
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_sorted_by_their_template() {
        let text = "---\n# Source: c/templates/a.yaml\nx: 1\n  helm.sh/chart: c-1\n---\n# Source: c/templates/b.yaml\ny: 2\n\
                    ---\n# Source: c/templates/a.yaml\nz: 3\n";
        let files = by_template(text);
        assert_eq!(files["a"], "x: 1\n---\nz: 3\n");
        assert_eq!(files["b"], "y: 2\n");
    }
}
