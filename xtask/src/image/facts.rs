//! What an image is: its digest, its layers, its files and how large they are.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::LIMIT;
use super::engine::Engine;
use crate::command::output;

/// An image in podman's store.
pub(crate) struct Facts {
    tag: String,
    /// Digest of its configuration, in which those of the layers are.
    pub(crate) id: String,
    /// Digests of the uncompressed layers.
    pub(crate) layers: Vec<String>,
    pub(crate) files: Vec<File>,
}

/// A file of an image.
pub(crate) struct File {
    /// From the root, without a leading slash.
    pub(crate) path: PathBuf,
    pub(crate) size: u64,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
}

impl Facts {
    pub(crate) fn of(engine: &Engine, tag: &str) -> Result<Self> {
        let asked = "{{.Id}}{{range .RootFS.Layers}} {{.}}{{end}}";
        let answer = output(
            engine
                .podman()
                .args(["image", "inspect", "--format", asked, tag]),
        )?;
        let mut digests = answer.split(' ').map(str::to_owned);
        let id = digests.next().context("the image has no digest")?;
        let files = mounted(engine, tag, |root| {
            let mut files = Vec::new();
            walk(root, Path::new(""), &mut files)?;
            Ok(files)
        })?;
        Ok(Self {
            tag: tag.to_owned(),
            id,
            layers: digests.collect(),
            files,
        })
    }

    /// Bytes of all files together.
    pub(crate) fn size(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }
}

/// Shows the image's files to `work`.
pub(crate) fn mounted<T>(
    engine: &Engine,
    tag: &str,
    work: impl FnOnce(&Path) -> Result<T>,
) -> Result<T> {
    let root = output(engine.podman().args(["image", "mount", tag]))?;
    let result = work(Path::new(&root));
    output(engine.podman().args(["image", "unmount", tag]))?;
    result
}

fn walk(root: &Path, below: &Path, files: &mut Vec<File>) -> Result<()> {
    let mut names: Vec<_> = fs::read_dir(root.join(below))?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<Result<_, _>>()?;
    names.sort();
    for name in names {
        let path = below.join(name);
        let metadata = fs::symlink_metadata(root.join(&path))?;
        if metadata.is_dir() {
            walk(root, &path, files)?;
        } else {
            files.push(File {
                size: metadata.len(),
                mode: metadata.mode() & 0o7777,
                owner: (metadata.uid(), metadata.gid()),
                path,
            });
        }
    }
    Ok(())
}

/// As a person says it.
pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{}.{:02} MB", bytes / 1_000_000, bytes / 10_000 % 100)
}

impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "image      {}", self.tag)?;
        writeln!(f, "id         {}", self.id)?;
        for layer in &self.layers {
            writeln!(f, "layer      {layer}")?;
        }
        let (size, limit) = (megabytes(self.size()), megabytes(LIMIT));
        writeln!(f, "size       {size} uncompressed, of {limit}")?;
        for file in &self.files {
            writeln!(f, "  {:>9}  /{}", megabytes(file.size), file.path.display())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_of_the_decimal_kind() {
        assert_eq!(megabytes(15_000_000), "15.00 MB");
        assert_eq!(megabytes(9_087_654), "9.08 MB");
    }
}
