//! `cargo xtask build-ebpf`: compiles the kernel programs and puts the object where `proxy/build.rs` looks for it.
//!
//! [`toolchain`] finds what compiles for the kernel, [`linker`] finds bpf-linker; both say what they are about to
//! install, and neither downloads a toolchain. [`object`] reads the result.

mod linker;
mod object;
mod strip;
mod toolchain;

use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;
use std::{fs, io};

use anyhow::{Context, Result};

use crate::command;
use crate::test::Outcome;
use crate::workspace::Workspace;
use toolchain::Toolchain;

/// The kernel's virtual machine, little-endian as all machines we run on.
const TARGET: &str = "bpfel-unknown-none";

/// Programs of the crate and what they become. The first two are embedded into the proxy, the last belongs to its tests.
const OBJECTS: [(&str, &str); 3] = [
    ("proxy-ebpf", "holysheep-proxy.bpf.o"),
    ("probe_steering", "probe-steering.bpf.o"),
    ("foreign", "foreign.bpf.o"),
];

pub(crate) fn run(workspace: &Workspace) -> Result<ExitCode> {
    make(workspace)?;
    println!(
        "\nNext: `cargo build` embeds the programs, `cargo xtask run` starts the proxy with them."
    );
    Ok(ExitCode::SUCCESS)
}

fn make(workspace: &Workspace) -> Result<()> {
    let toolchain = toolchain::find_or_install()?;
    println!("compiler    {toolchain}");
    let linker = linker::find_or_install(workspace, toolchain.llvm)?;
    println!("linker      {linker}");
    compile(workspace, &toolchain)?;
    let results = workspace.scratch("bpf-build")?.join(TARGET).join("release");
    let objects = workspace.scratch("bpf")?;
    for (program, name) in OBJECTS {
        let object = objects.join(name);
        let stripped = results.join(format!("{program}.stripped"));
        strip::strip(&results.join(program), &stripped)?;
        publish(&stripped, &object)?;
        println!("\n{}", workspace.short(&object));
        print!("{}", object::describe(&fs::read(&object)?)?);
    }
    Ok(())
}

/// Installs what [`run`] needs, and compiles nothing yet: for the image, whose build does that in a container.
pub(crate) fn prepare(workspace: &Workspace) -> Result<()> {
    let toolchain = toolchain::find_or_install()?;
    println!("compiler    {toolchain}");
    let linker = linker::find_or_install(workspace, toolchain.llvm)?;
    println!("linker      {linker}");
    Ok(())
}

/// Why the kernel programs cannot be compiled here, if so.
pub(crate) fn lack() -> Result<Option<String>> {
    let reason = "there is no compiler for kernel programs, and none can be installed here";
    Ok((!toolchain::can_be_had()?).then(|| format!("{reason}; {}", toolchain::by_hand())))
}

/// The same for a proxy that is about to be run or measured, which goes without where nothing can compile them.
///
/// # Errors
/// When the compiler or the linker fails.
pub(crate) fn if_possible(workspace: &Workspace) -> Result<()> {
    match lack()? {
        Some(reason) => println!("The proxy goes without kernel programs: {reason}"),
        None => make(workspace)?,
    }
    Ok(())
}

/// The same as a step of `cargo xtask test`. Where nothing can compile for the kernel the proxy is tested without.
pub(crate) fn check(workspace: &Workspace) -> Result<Outcome> {
    if let Some(reason) = lack()? {
        println!("SKIPPED: {reason}");
        return Ok(Outcome::skipped(reason));
    }
    make(workspace)?;
    Ok(Outcome::passed(OBJECTS.len()))
}

fn compile(workspace: &Workspace, toolchain: &Toolchain) -> Result<()> {
    let mut cargo = toolchain.cargo(workspace);
    cargo
        .current_dir(workspace.root().join("proxy-ebpf"))
        .args(["build", "--release", "--locked", "--target", TARGET])
        .args(toolchain.arguments())
        .arg("--target-dir")
        .arg(workspace.scratch("bpf-build")?)
        .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", linker::NAME)
        .env(
            "CARGO_TARGET_BPFEL_UNKNOWN_NONE_RUSTFLAGS",
            "-Cdebuginfo=2 -Clink-arg=--btf",
        )
        // Flags for the host's programs are none for the kernel's.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("CARGO_BUILD_TARGET");
    command::run(&mut cargo, "the compiler's message is above")
}

/// Copies the object, unless the same is there already: cargo builds the proxy again when it changes.
fn publish(from: &Path, to: &Path) -> Result<()> {
    let new = fs::read(from).with_context(|| format!("no {} after the build", from.display()))?;
    if fs::read(to).is_ok_and(|old| old == new) {
        return touch(to).with_context(|| format!("cannot write {}", to.display()));
    }
    fs::write(to, new).with_context(|| format!("cannot write {}", to.display()))
}

/// Makes the object newer than its sources, whose age `proxy/build.rs` compares.
fn touch(file: &Path) -> io::Result<()> {
    fs::File::options()
        .append(true)
        .open(file)?
        .set_modified(SystemTime::now())
}
