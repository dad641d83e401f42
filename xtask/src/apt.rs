//! Debian packages, installed where we may.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::command;

/// Whether packages can be installed: Debian or a child of it, and we are root.
pub(crate) fn is_possible() -> bool {
    has_program("apt-get") && rustix::process::geteuid().is_root()
}

/// Installs packages; the caller has said why.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    let remedy = format!("install by hand: {}", by_hand(packages));
    update()?;
    let install = ["install", "--yes", "--quiet", "--no-install-recommends"];
    command::run(apt_get().args(install).args(packages), &remedy)
}

/// Fetches the package lists; images often come without.
pub(crate) fn update() -> Result<()> {
    let remedy = "`sudo apt-get update` by hand says more";
    command::run(apt_get().args(["update", "--quiet"]), remedy)
}

/// Downloads a package into a directory, without installing it. Needs no rights.
fn download(package: &str, directory: &Path) -> Result<()> {
    let mut download = apt_get();
    download.args(["download", "--quiet", package]);
    // As root it warns that its own user cannot write there, which does not matter.
    download.args(["-o", "APT::Sandbox::User=root"]);
    command::run(
        download.current_dir(directory),
        "are Debian's packages reachable, and the lists fresh? `apt-get update`",
    )
}

/// Downloads a package and unpacks it into a directory of its name, which is there only when complete. Nothing is installed.
pub(crate) fn unpack(package: &str, directory: &Path) -> Result<PathBuf> {
    let partial = directory.join(format!("{package}.partial"));
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    fs::create_dir_all(&partial)?;
    download(package, &partial)?;
    let archive = fs::read_dir(&partial)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|end| end == "deb"))
        .context("apt-get has left no package")?;
    let root = partial.join("root");
    let mut unpack = Command::new("dpkg");
    let remedy = "is the disk full?";
    command::run(unpack.arg("-x").arg(&archive).arg(&root), remedy)?;
    let complete = directory.join(package);
    fs::rename(&root, &complete)?;
    fs::remove_dir_all(&partial)?;
    Ok(complete)
}

/// What a person without our rights types.
pub(crate) fn by_hand(packages: &[&str]) -> String {
    format!(
        "sudo apt-get install --no-install-recommends {}",
        packages.join(" ")
    )
}

/// Whether a program is on the path, or where Debian puts servers.
pub(crate) fn has_program(name: &str) -> bool {
    program(name).is_some() || Path::new("/usr/sbin").join(name).is_file()
}

/// Where a program is that is on the PATH.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut programs = std::env::split_paths(&path).map(|directory| directory.join(name));
    programs.find(|program| program.is_file())
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}
