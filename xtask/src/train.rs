//! `cargo xtask train`: counts what requests run through, for [`crate::dist`].
//!
//! A build that counts each branch it takes carries the requests of some of the benches; what it has counted goes to
//! the repository. Code that has changed since is compiled as if nothing were known of it, so this need not be done at each
//! change: after one to the way of requests, and after an update of the compiler.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::workspace::Workspace;
use crate::{bench, build_ebpf, command, dist, rustc};

/// Options of the command.
#[derive(Args)]
pub(crate) struct Options {
    /// Only merge what the last run has counted
    #[arg(long)]
    merge: bool,
}

/// What it is trained with: requests of all kinds, so that what is not met here is rare.
const BENCHES: [&[&str]; 5] = [
    &[
        "cpu",
        "--only",
        "holysheep",
        "--rounds",
        "2",
        "--no-syscalls",
    ],
    &["limits", "--quick", "--no-syscalls"],
    &["h2", "--quick", "--no-syscalls"],
    &["features", "--quick", "--no-syscalls"],
    &["streams", "--quick"],
];

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let merge = merger(workspace)?;
    let directory = workspace.scratch("train")?;
    let counted = directory.join("counted");
    if !options.merge {
        count(workspace, &directory, &counted)?;
    }
    let counts = workspace.root().join(dist::COUNTS);
    let mut merge = Command::new(merge);
    // Without functions that never ran, which are most.
    merge.args(["merge", "--sparse", "-o"]).arg(&counts);
    merge.arg(&counted);
    command::run(&mut merge, "its message is above")?;
    let size = fs::metadata(&counts)
        .map(|file| file.len())
        .unwrap_or_default();
    println!("\n{}  {} KB", dist::COUNTS, size / 1000);
    println!("Next: `cargo xtask bench cpu` shows what has come of it; then commit the file.");
    Ok(ExitCode::SUCCESS)
}

/// Builds what counts, and has it count.
fn count(workspace: &Workspace, directory: &Path, counted: &Path) -> Result<()> {
    if counted.exists() {
        fs::remove_dir_all(counted).with_context(|| counted.display().to_string())?;
    }
    bench::build_bench(workspace)?;
    build_ebpf::if_possible(workspace)?;
    let flag = format!("-Cprofile-generate={}", counted.display());
    let program = dist::compile(workspace, Some(&directory.join("target")), &[&flag])?;
    for (index, arguments) in BENCHES.iter().enumerate() {
        println!("\n{} of {}, a minute each", index + 1, BENCHES.len());
        let mut bench = Command::new(workspace.binary("release", "holysheep-bench"));
        bench.args(*arguments).arg("--proxy-bin").arg(&program);
        bench.current_dir(workspace.root());
        command::run(&mut bench, "its message is above")?;
    }
    Ok(())
}

/// The program that merges counts: it has to be of the compiler's LLVM.
fn merger(workspace: &Workspace) -> Result<PathBuf> {
    const NAME: &str = "llvm-profdata";
    let host = rustc::version(workspace, "host: ")?;
    let own = rustc::sysroot(workspace)?
        .join("lib/rustlib")
        .join(host)
        .join("bin")
        .join(NAME);
    let version = rustc::version(workspace, "LLVM version: ")?;
    let (major, _) = version.split_once('.').unwrap_or((&version, ""));
    let debian = Path::new("/usr/lib")
        .join(format!("llvm-{major}/bin"))
        .join(NAME);
    if let Some(found) = [&own, &debian].into_iter().find(|path| path.is_file()) {
        return Ok(found.clone());
    }
    println!("{NAME} is not there; it comes with Rust's llvm-tools, 30 MB:");
    let mut rustup = Command::new("rustup");
    rustup.args(["component", "add", "llvm-tools"]);
    command::run(&mut rustup, &format!("or install Debian's llvm-{major}"))?;
    match own.is_file() {
        true => Ok(own),
        false => bail!("llvm-tools came without {}", own.display()),
    }
}
