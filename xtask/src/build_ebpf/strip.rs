//! Takes out of an object what no kernel reads: DWARF, which BTF was made from, and which is most of it.
//!
//! The proxy carries its programs with it, so this is half a megabyte of the image.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::command;

/// The object of `from` without it, in `to`.
pub(super) fn strip(from: &Path, to: &Path) -> Result<()> {
    let sysroot = command::first_line(Command::new("rustc").args(["--print", "sysroot"]));
    let sysroot = PathBuf::from(sysroot.context("`rustc --print sysroot` says nothing")?);
    let mut objcopy = Command::new(objcopy(&sysroot)?);
    // It comes with the compiler, and so does the library it needs.
    objcopy.env("LD_LIBRARY_PATH", sysroot.join("lib"));
    objcopy.arg("--strip-debug").args([from, to]);
    command::run(&mut objcopy, "its message is above")
}

/// `rust-objcopy`, which every compiler has for its own target.
fn objcopy(sysroot: &Path) -> Result<PathBuf> {
    let targets = sysroot.join("lib/rustlib");
    let entries = fs::read_dir(&targets).with_context(|| format!("no {}", targets.display()))?;
    let programs = entries.filter_map(Result::ok);
    let mut programs = programs.map(|target| target.path().join("bin/rust-objcopy"));
    let found = programs.find(|program| program.is_file());
    found.with_context(|| format!("no rust-objcopy below {}", targets.display()))
}
