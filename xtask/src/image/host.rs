//! A base image made of nothing, in which this machine's own programs appear: for where no image can be pulled, as in
//! tests. The Dockerfile and its steps are the same.
//!
//! `/usr`, the Rust toolchain and cargo's registry are mounted, only to be read. Nothing is fetched in the container:
//! that happens before, out here.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, Result};

use super::engine::Engine;
use crate::workspace::Workspace;
use crate::{build_ebpf, command, rustc};

const TAG: &str = "localhost/holysheep-proxy-builder:host";

const DOCKERFILE: &str = "FROM scratch\nCOPY . /\n\
    ENV HOME=/root CARGO_NET_OFFLINE=true RUSTUP_HOME=/opt/rustup PATH=/opt/rust/bin:/opt/bin:/usr/local/bin:/usr/bin:/usr/sbin\n";

/// Makes the base and everything that is mounted into it; gives back what buildah has to be told.
pub(super) fn prepare(workspace: &Workspace, engine: &Engine) -> Result<Vec<String>> {
    build_ebpf::prepare(workspace)?;
    for manifest in ["Cargo.toml", "proxy-ebpf/Cargo.toml"] {
        let mut cargo = workspace.cargo(["fetch", "--locked", "--manifest-path", manifest]);
        command::run(&mut cargo, "is the registry reachable?")?;
    }
    base(workspace, engine)?;
    let mut arguments = vec![
        format!("--build-arg=BUILDER={TAG}"),
        // Not where the Dockerfile's cache is: that would be in the way.
        "--build-arg=CARGO_HOME=/opt/cargo".to_owned(),
        "--network=none".to_owned(),
    ];
    for (from, to) in mounts(workspace)? {
        if from.exists() {
            arguments.push(format!("--volume={}:{to}:ro", from.display()));
        }
    }
    Ok(arguments)
}

/// What appears in the container, and where.
fn mounts(workspace: &Workspace) -> Result<Vec<(PathBuf, &'static str)>> {
    let sysroot = rustc::sysroot(workspace)?;
    let home = |variable, default| {
        let home = || Some(PathBuf::from(env::var_os("HOME")?).join(default));
        env::var_os(variable).map(PathBuf::from).or_else(home)
    };
    let cargo = home("CARGO_HOME", ".cargo").context("neither CARGO_HOME nor HOME is set")?;
    let rustup = home("RUSTUP_HOME", ".rustup").unwrap_or_default();
    Ok(vec![
        ("/usr".into(), "/usr"),
        // Where `/usr/bin/cc` leads.
        ("/etc/alternatives".into(), "/etc/alternatives"),
        (sysroot, "/opt/rust"),
        (rustup, "/opt/rustup"),
        (cargo.join("bin"), "/opt/bin"),
        (cargo.join("registry"), "/opt/cargo/registry"),
        (cargo.join("config.toml"), "/opt/cargo/config.toml"),
    ])
}

/// The few directories a Linux system has, and the links of one whose programs are all in `/usr`.
fn base(workspace: &Workspace, engine: &Engine) -> Result<()> {
    let context = workspace.scratch("image/base")?;
    let root = context.join("root");
    for directory in ["etc", "proc", "sys", "dev", "root", "tmp", "usr", "var/tmp"] {
        fs::create_dir_all(root.join(directory))?;
    }
    for name in ["bin", "sbin", "lib", "lib64"] {
        let link = root.join(name);
        if Path::new("/usr").join(name).exists() && !link.is_symlink() {
            symlink(format!("usr/{name}"), link)?;
        }
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/bash\n")?;
    fs::write(root.join("etc/group"), "root:x:0:\n")?;
    let dockerfile = context.join("Dockerfile");
    fs::write(&dockerfile, DOCKERFILE)?;
    let mut buildah = engine.buildah();
    buildah
        .args(["build", "--quiet", "--format", "docker", "--timestamp", "0"])
        .args(["--tag", TAG, "--file"])
        .args([&dockerfile, &root]);
    command::run(&mut buildah, "buildah's message is above")
}
