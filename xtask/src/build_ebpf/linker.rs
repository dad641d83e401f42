//! bpf-linker, which turns LLVM's intermediate code into an object, and therefore has to understand the compiler's.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::workspace::Workspace;
use crate::{apt, command};

/// The program.
pub(super) const NAME: &str = "bpf-linker";
/// The same for everybody.
const VERSION: &str = "0.13.0";

/// A linker that fits.
#[derive(Debug)]
pub(super) struct Linker {
    version: String,
    llvm: Option<u32>,
}

impl fmt::Display for Linker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.llvm {
            Some(llvm) => write!(f, "{} (LLVM {llvm})", self.version),
            None => write!(f, "{} (LLVM linked in, version unknown)", self.version),
        }
    }
}

/// The linker that is there, or one installed now.
pub(super) fn find_or_install(workspace: &Workspace, llvm: u32) -> Result<Linker> {
    match find() {
        Some(linker) if fits(linker.llvm, llvm) => return Ok(linker),
        Some(linker) => println!(
            "linker      {linker} cannot read code of LLVM {llvm}, which the compiler writes"
        ),
        None => println!("linker      missing"),
    }
    install(workspace, llvm)?;
    match find() {
        Some(linker) if fits(linker.llvm, llvm) => Ok(linker),
        Some(linker) => bail!(
            "{linker} still does not fit LLVM {llvm}: is another {NAME} in front of cargo's on the PATH?"
        ),
        None => bail!("{NAME} is installed, but not on the PATH: add cargo's bin directory"),
    }
}

/// Newer LLVMs read what older ones wrote, not the other way round. What cannot be told is tried.
fn fits(linker: Option<u32>, compiler: u32) -> bool {
    linker.is_none_or(|linker| linker >= compiler)
}

fn find() -> Option<Linker> {
    let version = command::first_line(Command::new(NAME).arg("--version"))?;
    let path = on_path()?;
    let libraries = Command::new("ldd").arg(path).output().ok();
    let libraries = libraries.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    Some(Linker {
        version,
        llvm: libraries.as_deref().and_then(llvm_of),
    })
}

fn on_path() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(NAME))
        .find(|program| program.is_file())
}

/// The major version in the name of the library it loads: `libLLVM.so.22.1`, or `libLLVM-18.so.1`.
fn llvm_of(libraries: &str) -> Option<u32> {
    let name = libraries
        .split_whitespace()
        .find(|word| word.starts_with("libLLVM"))?;
    let digits = name.find(|c: char| c.is_ascii_digit())?;
    let number = name
        .get(digits..)?
        .split(|c: char| !c.is_ascii_digit())
        .next()?;
    number.parse().ok()
}

fn install(workspace: &Workspace, llvm: u32) -> Result<()> {
    let packages = [
        &format!("llvm-{llvm}-dev"),
        &format!("libpolly-{llvm}-dev"),
        "zlib1g-dev",
        "libzstd-dev",
        "libxml2-dev",
    ];
    let prefix = format!("/usr/lib/llvm-{llvm}");
    let feature = format!("llvm-{llvm}");
    let arguments = ["--no-default-features", "--features", &feature];
    if !Path::new(&prefix).join("bin/llvm-config").exists() {
        if !apt::is_possible() {
            bail!(
                "{NAME} has to be compiled against LLVM {llvm}; by hand: `{}`, then \
                 `LLVM_PREFIX={prefix} cargo install {NAME}@{VERSION} {}`",
                apt::by_hand(&packages),
                arguments.join(" ")
            );
        }
        println!(
            "linker      installing Debian's packages {}, to compile it against",
            packages.join(", ")
        );
        apt::install(&packages)?;
    }
    println!(
        "linker      is being installed: cargo compiles {NAME} {VERSION} for LLVM {llvm}, one or two minutes"
    );
    let mut cargo = workspace.cargo(["install", "--locked", "--force", NAME, "--version", VERSION]);
    cargo.args(arguments).env("LLVM_PREFIX", prefix);
    command::run(
        &mut cargo,
        "is the registry reachable, and LLVM's development package whole?",
    )
}

#[cfg(test)]
mod tests;
