//! The proxy as it is in the image: compiled with what requests run through before the compiler's eyes.
//!
//! [`crate::train`] has counted that, and the counts are in the repository, so that this build takes no longer than one
//! without. `deploy/docker/build.sh` does the same for the image.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::workspace::Workspace;
use crate::{command, rustc};

/// What requests run through, relative to the workspace.
pub(crate) const COUNTS: &str = "proxy/profile/requests.profdata";

/// What keeps the program small for all that: what requests do not run through is compiled for size, and what they do is
/// inlined less eagerly than LLVM would.
const MODESTY: [&str; 5] = [
    "-Cllvm-args=-inline-threshold=75",
    "-Cllvm-args=-pgso-lwss-only=false",
    "-Cllvm-args=-hot-callsite-threshold=1000",
    "-Cllvm-args=-locally-hot-callsite-threshold=225",
    // Code that has changed since it was counted is no news.
    "-Cllvm-args=-no-pgo-warn-mismatch",
];

const PROFILE: &str = "dist";
const PROGRAM: &str = "holysheep-proxy";

/// Builds it; gives where it lies.
///
/// # Errors
/// When it does not compile.
pub(crate) fn build(workspace: &Workspace) -> Result<PathBuf> {
    let counts = workspace.root().join(COUNTS);
    let counts = format!("-Cprofile-use={}", counts.display());
    let flags = [&[counts.as_str()], MODESTY.as_slice()].concat();
    let built = compile(workspace, None, &flags)?;
    // Where whoever knows cargo looks for it.
    let binary = workspace.binary(PROFILE, PROGRAM);
    let directory = binary.parent().context("no directory")?;
    fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    // A program that runs is not written over, but replaced.
    let fresh = binary.with_extension("new");
    fs::copy(&built, &fresh)
        .and_then(|_| fs::rename(&fresh, &binary))
        .with_context(|| format!("cannot write {}", binary.display()))?;
    Ok(binary)
}

/// Compiles it with some flags more, below `target` or where everything lies; gives where the program is.
///
/// Counts are found by the names of functions, which hold a hash of the profile's settings and of whether there was a
/// `--target`: both builds have one, and the same profile. Flags of the environment would be a third kind of build.
///
/// # Errors
/// When it does not compile.
pub(crate) fn compile(
    workspace: &Workspace,
    target: Option<&Path>,
    flags: &[&str],
) -> Result<PathBuf> {
    let host = rustc::version(workspace, "host: ")?;
    let mut cargo = workspace.cargo([
        "build",
        "--profile",
        PROFILE,
        "--target",
        &host,
        "-p",
        PROGRAM,
    ]);
    let directory = match target {
        Some(target) => {
            cargo.env("CARGO_TARGET_DIR", target);
            target.to_path_buf()
        }
        None => workspace.target().to_path_buf(),
    };
    // Not separated by spaces, which paths may have.
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
    println!("with {}:", flags.join(" "));
    command::run(&mut cargo, "the compiler's message is above")?;
    Ok(directory.join(host).join(PROFILE).join(PROGRAM))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_are_what_the_compiler_takes_for_some() {
        let workspace = Workspace::find().unwrap();
        let counts = fs::read(workspace.root().join(COUNTS)).unwrap();
        // LLVM's `IndexedInstrProf::Magic`.
        assert!(counts.starts_with(b"\xfflprofi\x81"));
    }

    #[test]
    fn the_image_is_built_with_them() {
        let workspace = Workspace::find().unwrap();
        let script = workspace.root().join("deploy/docker/build.sh");
        let script = fs::read_to_string(script).unwrap();
        assert!(script.contains(&format!("-Cprofile-use=$PWD/{COUNTS}")));
        assert!(MODESTY.iter().all(|flag| script.contains(flag)));
    }
}
