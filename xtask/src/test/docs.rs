//! Checks of the documents: that they are there, lead somewhere, and agree with the code.

mod markdown;
mod metrics;

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use anyhow::Result;

use super::report::Outcome;
use crate::workspace::Workspace;
use markdown::Document;

/// What a newcomer looks for in the top directory.
const REQUIRED: [&str; 7] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
];

/// A README longer than this is not read.
const README_LINES: usize = 150;

/// Where paths of one machine begin, that are nowhere else.
const MACHINE_PATHS: [&str; 4] = ["/root/", "/home/", "/work/", "/Users/"];

type Documents = BTreeMap<PathBuf, Document>;

/// A check's problems; none means that it passed.
type Check = fn(&Workspace, &Documents) -> Result<Vec<String>>;

const CHECKS: [(&str, Check); 7] = [
    ("required documents exist", |workspace, _| {
        Ok(required(workspace))
    }),
    ("README has at most 150 lines", |_, documents| {
        Ok(readme_length(documents))
    }),
    ("links and anchors resolve", |workspace, documents| {
        Ok(links(workspace, documents))
    }),
    ("code fences are closed", |_, documents| {
        Ok(fences(documents))
    }),
    ("commands exist", |_, documents| Ok(commands(documents))),
    ("no paths of one machine", |_, documents| {
        Ok(machine_paths(documents))
    }),
    (
        "docs/metrics.md lists the metrics there are",
        metrics::check,
    ),
];

pub(super) fn run(workspace: &Workspace) -> Result<Outcome> {
    let mut documents = Documents::new();
    for path in workspace.files("md")? {
        let document = Document::parse(&workspace.read(&path)?);
        documents.insert(path, document);
    }
    let mut outcome = Outcome::default();
    for (name, check) in CHECKS {
        let problems = check(workspace, &documents)?;
        if problems.is_empty() {
            println!("ok    {name}");
            outcome.passed += 1;
            continue;
        }
        println!("FAIL  {name}");
        for problem in &problems {
            println!("      {problem}");
        }
        outcome.fail(format!("{name}: {}", problems.join("; ")));
    }
    Ok(outcome)
}

fn required(workspace: &Workspace) -> Vec<String> {
    let missing = REQUIRED
        .iter()
        .filter(|name| !workspace.root().join(name).is_file());
    missing
        .map(|name| format!("{name} is missing: write it"))
        .collect()
}

fn readme_length(documents: &Documents) -> Vec<String> {
    let readme = documents.get(Path::new("README.md"));
    let lines = readme.map_or(0, |readme| readme.lines);
    let problem = format!("README.md has {lines}: move details to docs/");
    if lines > README_LINES {
        vec![problem]
    } else {
        Vec::new()
    }
}

fn links(workspace: &Workspace, documents: &Documents) -> Vec<String> {
    let mut problems = Vec::new();
    for (path, document) in documents {
        for link in &document.links {
            if let Some(problem) = broken(workspace, documents, path, &link.target) {
                problems.push(format!("{}:{}: {problem}", path.display(), link.line));
            }
        }
    }
    problems
}

/// Why a link of the document at `path` leads nowhere.
fn broken(
    workspace: &Workspace,
    documents: &Documents,
    path: &Path,
    target: &str,
) -> Option<String> {
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let resolved = if file.is_empty() {
        path.to_path_buf()
    } else {
        let Some(resolved) = resolve(path, file) else {
            return Some(format!("`{target}` leads out of the repository"));
        };
        resolved
    };
    if !workspace.root().join(&resolved).exists() {
        return Some(format!("`{target}`: there is no {}", resolved.display()));
    }
    let document = documents.get(&resolved)?;
    if anchor.is_empty() || document.anchors.iter().any(|known| known == anchor) {
        return None;
    }
    Some(format!(
        "`{target}`: {} has no heading #{anchor}",
        resolved.display()
    ))
}

/// A link's file relative to the root; a leading `/` means the root, as on code hosts.
fn resolve(from: &Path, file: &str) -> Option<PathBuf> {
    let file = file.replace("%20", " ");
    let base = from.parent().unwrap_or(Path::new(""));
    let joined = match file.strip_prefix('/') {
        Some(below_root) => PathBuf::from(below_root),
        None => base.join(file),
    };
    let mut resolved = PathBuf::new();
    for part in joined.components() {
        match part {
            Component::ParentDir if !resolved.pop() => return None,
            Component::Normal(name) => resolved.push(name),
            _ => {}
        }
    }
    Some(resolved)
}

fn fences(documents: &Documents) -> Vec<String> {
    let open = documents.iter().filter_map(|(path, document)| {
        let line = document.open_fence?;
        Some(format!(
            "{}:{line}: this code fence is never closed",
            path.display()
        ))
    });
    open.collect()
}

fn commands(documents: &Documents) -> Vec<String> {
    let known = crate::task_names();
    let mut problems = Vec::new();
    for (path, document) in documents {
        for name in document.tasks.iter().filter(|name| !known.contains(name)) {
            problems.push(format!(
                "{}: there is no `cargo xtask {name}`",
                path.display()
            ));
        }
    }
    problems
}

fn machine_paths(documents: &Documents) -> Vec<String> {
    let mut problems = Vec::new();
    for (path, document) in documents {
        for (line, prefix) in document.mentions(&MACHINE_PATHS) {
            problems.push(format!("{}:{line}: a path below {prefix}", path.display()));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_relative_to_their_document() {
        let from = Path::new("docs/kernel.md");
        assert_eq!(resolve(from, "../README.md"), Some("README.md".into()));
        assert_eq!(
            resolve(from, "./img/a%20b.svg"),
            Some("docs/img/a b.svg".into())
        );
        assert_eq!(resolve(from, "/proxy/src"), Some("proxy/src".into()));
        assert_eq!(resolve(from, "../../else.md"), None);
    }
}
