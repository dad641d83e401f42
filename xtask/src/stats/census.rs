//! Adds up all Rust files of the workspace.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::source::Source;
use crate::workspace::Workspace;

/// The longest function of a crate.
pub(super) struct Longest {
    pub(super) lines: usize,
    /// Name and place.
    pub(super) place: String,
}

/// What was counted.
#[derive(Default)]
pub(super) struct Census {
    /// Lines of each file, shortest first.
    pub(super) files: Vec<(usize, PathBuf)>,
    pub(super) production_lines: usize,
    pub(super) test_lines: usize,
    /// By crate.
    pub(super) longest: BTreeMap<String, Longest>,
    /// Functions with their lines, of those that may be too long.
    pub(super) functions: Vec<(usize, String)>,
    /// Places of `unwrap()` and `expect(` in the product.
    pub(super) unwraps: Vec<String>,
    pub(super) unsafe_blocks: usize,
    /// Places of unsafe blocks without a SAFETY note.
    pub(super) unsafe_without_reason: Vec<String>,
    /// Files that use anyhow where errors should have types.
    pub(super) anyhow: Vec<String>,
    pub(super) todo_marks: usize,
    pub(super) mod_files: Vec<String>,
}

impl Census {
    pub(super) fn take(workspace: &Workspace) -> Result<Self> {
        let mut sources = BTreeMap::new();
        for path in workspace.files("rs")? {
            let source = Source::parse(&workspace.read(&path)?);
            sources.insert(path, source);
        }
        Ok(Self::of(sources))
    }

    fn of(mut sources: BTreeMap<PathBuf, Source>) -> Self {
        let test_files = test_files(&sources);
        let mut census = Self::default();
        for (path, source) in &mut sources {
            if test_files.iter().any(|test| path.starts_with(test)) || in_test_directory(path) {
                source.mark_as_test();
            }
            census.add(path, source);
        }
        census.files.sort();
        census
    }

    fn add(&mut self, path: &Path, source: &Source) {
        let shown = path.display().to_string();
        self.files.push((source.lines(), path.to_path_buf()));
        self.test_lines += source.test_lines();
        self.production_lines += source.lines() - source.test_lines();
        self.todo_marks += source.todo_marks();
        if path.ends_with("mod.rs") {
            self.mod_files.push(shown.clone());
        }
        self.add_functions(path, source);
        for block in source.unsafe_blocks() {
            self.unsafe_blocks += 1;
            if !block.has_reason {
                self.unsafe_without_reason
                    .push(format!("{shown}:{}", block.line + 1));
            }
        }
        let code = source.production_code();
        let unwraps = code.matches(".unwrap()").count() + code.matches(".expect(").count();
        self.unwraps.extend((0..unwraps).map(|_| shown.clone()));
        if code.contains("anyhow") && !may_use_anyhow(path) {
            self.anyhow.push(shown);
        }
    }

    fn add_functions(&mut self, path: &Path, source: &Source) {
        for function in source.functions() {
            let place = format!(
                "{} ({}:{})",
                function.name,
                path.display(),
                function.line + 1
            );
            let longest = self.longest.entry(crate_of(path)).or_insert(Longest {
                lines: 0,
                place: String::new(),
            });
            if function.lines > longest.lines {
                longest.lines = function.lines;
                longest.place.clone_from(&place);
            }
            self.functions.push((function.lines, place));
        }
    }

    /// The number of lines that `percent` of the files do not exceed.
    pub(super) fn lines_at(&self, percent: usize) -> usize {
        let last = self.files.len().saturating_sub(1);
        let file = self.files.get((last * percent).div_ceil(100));
        file.map_or(0, |(lines, _)| *lines)
    }

    /// A count for every thousand lines of the product.
    pub(super) fn per_kloc(&self, count: usize) -> f64 {
        count as f64 * 1000.0 / self.production_lines.max(1) as f64
    }
}

/// The files of modules that are declared under `#[cfg(test)]`, and the directories below them.
fn test_files(sources: &BTreeMap<PathBuf, Source>) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    for (path, source) in sources {
        for module in &source.test_modules {
            let directory = module_directory(path).join(module);
            files.insert(directory.with_extension("rs"));
            files.insert(directory);
        }
    }
    files
}

/// Where the modules declared in a file lie.
fn module_directory(path: &Path) -> PathBuf {
    let is_root = ["main.rs", "lib.rs", "mod.rs"]
        .iter()
        .any(|root| path.ends_with(root));
    if is_root {
        return path.parent().unwrap_or(Path::new("")).to_path_buf();
    }
    path.with_extension("")
}

/// Cargo's own directories for tests and benches, beside `src`.
fn in_test_directory(path: &Path) -> bool {
    let second = path
        .components()
        .nth(1)
        .map(|part| part.as_os_str().to_owned());
    second.is_some_and(|part| part == "tests" || part == "benches")
}

fn crate_of(path: &Path) -> String {
    let first = path.components().next();
    first.map_or_else(String::new, |part| {
        part.as_os_str().to_string_lossy().into_owned()
    })
}

/// Programs for a person, and the places where the product meets one.
fn may_use_anyhow(path: &Path) -> bool {
    let tools = path.starts_with("xtask") || path.starts_with("bench");
    let text = path.to_string_lossy();
    let at_the_top = ["main", "app", "cli"].iter().any(|name| {
        text.ends_with(&format!("src/{name}.rs")) || text.contains(&format!("src/{name}/"))
    });
    tools || at_the_top
}

#[cfg(test)]
mod tests;
