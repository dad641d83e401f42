//! Where the repository, its build results and its files are.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, io};

use anyhow::{Context, Result};

/// The repository this task runner was built from.
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
}

impl Workspace {
    pub(crate) fn find() -> Result<Self> {
        // Cargo sets it when it runs us; the compile-time value serves a run without cargo.
        let manifest = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest.parent().map(Path::to_path_buf);
        let root = root
            .filter(|root| root.join("Cargo.toml").is_file())
            .context("the workspace is not where it was built; run this as `cargo xtask`")?;
        // We lie in <target>/debug, wherever an environment variable or a setting has put it.
        let own = env::current_exe().context("cannot find the running program")?;
        let target = own.ancestors().nth(2).map(Path::to_path_buf);
        let target = target.unwrap_or_else(|| root.join("target"));
        Ok(Self { root, target })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where build results are.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// A program built with `profile`: the directory is called as the profile, but for `dev`.
    pub(crate) fn binary(&self, profile: &str, name: &str) -> PathBuf {
        self.target.join(profile).join(name)
    }

    /// A directory for what tasks leave behind, made if absent.
    pub(crate) fn scratch(&self, name: &str) -> Result<PathBuf> {
        let directory = self.target.join(name);
        fs::create_dir_all(&directory)
            .with_context(|| format!("cannot make {}; is it writable?", directory.display()))?;
        Ok(directory)
    }

    /// A path as a person in the repository would write it.
    pub(crate) fn short<'a>(&self, path: &'a Path) -> std::path::Display<'a> {
        path.strip_prefix(&self.root).unwrap_or(path).display()
    }

    /// Cargo, in the workspace's root.
    pub(crate) fn cargo<const N: usize>(&self, arguments: [&str; N]) -> Command {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(arguments).current_dir(&self.root);
        // A relative one was meant from where the user stands, not from the root.
        if let Some(target) = env::var_os("CARGO_TARGET_DIR")
            && let Ok(target) = std::path::absolute(target)
        {
            command.env("CARGO_TARGET_DIR", target);
        }
        command
    }

    /// The files that end in `extension`, without what git ignores, relative to the root, sorted.
    pub(crate) fn files(&self, extension: &str) -> Result<Vec<PathBuf>> {
        let mut files = match self.listed_by_git() {
            Some(files) => files,
            // An unpacked archive, or a machine without git.
            None => {
                let mut files = Vec::new();
                walk(&self.root, Path::new(""), &mut files).context("cannot read the workspace")?;
                files
            }
        };
        files.retain(|file| {
            file.extension().is_some_and(|found| found == extension)
                && self.root.join(file).is_file()
        });
        files.sort();
        files.dedup();
        Ok(files)
    }

    fn listed_by_git(&self) -> Option<Vec<PathBuf>> {
        let output = Command::new("git")
            .args([
                "ls-files",
                "-z",
                "--cached",
                "--others",
                "--exclude-standard",
            ])
            .current_dir(&self.root)
            .stderr(Stdio::null())
            .output()
            .ok()
            .filter(|output| output.status.success())?;
        let names = String::from_utf8(output.stdout).ok()?;
        let files: Vec<_> = names.split_terminator('\0').map(PathBuf::from).collect();
        (!files.is_empty()).then_some(files)
    }

    /// The text of a file given relative to the root.
    pub(crate) fn read(&self, file: &Path) -> Result<String> {
        fs::read_to_string(self.root.join(file))
            .with_context(|| format!("cannot read {}", file.display()))
    }
}

fn walk(root: &Path, below: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        let name = entry.file_name();
        let path = below.join(&name);
        let hidden = name.to_string_lossy().starts_with('.');
        if entry.file_type()?.is_file() {
            files.push(path);
        } else if entry.file_type()?.is_dir() && !hidden && name != "target" {
            walk(root, &path, files)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walking_finds_sources_but_no_build_results() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut files = Vec::new();
        walk(root, Path::new(""), &mut files).unwrap();
        assert!(files.contains(&PathBuf::from("src/workspace.rs")));
        assert!(files.iter().all(|file| !file.starts_with("target")));
    }
}
