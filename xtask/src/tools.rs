//! The tools the checks need: whether they are there, and how they come.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::workspace::Workspace;
use crate::{apt, command, test_kernels};

/// The same for everybody, so that a new release does not break a check overnight.
const DENY_VERSION: &str = "0.20.2";

const SDK_REQUIREMENTS: &str = include_str!("test/sdk-requirements.txt");

/// What boots other kernels: the machine, the programs inside, and what packs them.
const QEMU_PACKAGES: [&str; 3] = ["qemu-system-x86", "busybox-static", "cpio"];

/// A tool and how to get it.
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    /// Without it checks are skipped; without others they fail.
    pub(crate) optional: bool,
    /// What installing does, for the person who has to wait for it.
    how: &'static str,
    /// Its version, if it is there.
    present: fn(&Workspace) -> Option<String>,
    install: fn(&Workspace) -> Result<()>,
}

/// A tool that could not be installed.
pub(crate) struct Lack {
    pub(crate) tool: &'static Tool,
    pub(crate) reason: String,
}

/// All tools; each may need those before it.
pub(crate) static ALL: [Tool; 6] = [
    Tool {
        name: "rustfmt",
        optional: false,
        how: "rustup component add rustfmt",
        present: |workspace| command::first_line(&mut workspace.cargo(["fmt", "--version"])),
        install: |_| add_component("rustfmt"),
    },
    Tool {
        name: "clippy",
        optional: false,
        how: "rustup component add clippy",
        present: |workspace| command::first_line(&mut workspace.cargo(["clippy", "--version"])),
        install: |_| add_component("clippy"),
    },
    Tool {
        name: "cargo-deny",
        optional: false,
        how: "cargo install, which compiles it: some minutes",
        present: |workspace| command::first_line(&mut workspace.cargo(["deny", "--version"])),
        install: install_deny,
    },
    Tool {
        name: test_kernels::TOOL,
        optional: true,
        how: "apt-get install, as root: QEMU, a static busybox and cpio, some 200 MB",
        present: installed_qemu,
        install: |_| install_from_debian(&QEMU_PACKAGES),
    },
    Tool {
        name: "python3-venv",
        optional: true,
        how: "apt-get install, as root",
        present: |_| {
            // Debian has Python without these two, which a virtual environment needs.
            let probe = "import ensurepip, platform, venv; print(platform.python_version())";
            command::first_line(Command::new("python3").args(["-c", probe]))
        },
        install: |_| install_from_debian(&["python3", "python3-venv"]),
    },
    Tool {
        name: "python-sdks",
        optional: true,
        how: "pip install into a virtual environment below the target directory",
        present: installed_sdks,
        install: install_sdks,
    },
];

/// Says what is present, installs what is not, and gives back what could not be installed.
pub(crate) fn ensure<'a>(
    workspace: &Workspace,
    tools: impl Iterator<Item = &'static Tool> + 'a,
) -> Vec<Lack> {
    let mut missing = Vec::new();
    for tool in tools {
        let name = tool.name;
        if let Some(version) = (tool.present)(workspace) {
            println!("{name:<14} {version}");
            continue;
        }
        println!("{name:<14} missing, is being installed ({})", tool.how);
        if let Err(error) = (tool.install)(workspace) {
            let reason = format!("{error:#}");
            println!("{name:<14} NOT INSTALLED: {reason}");
            missing.push(Lack { tool, reason });
        }
    }
    missing
}

/// The interpreter that has the SDKs.
pub(crate) fn sdk_python(workspace: &Workspace) -> Result<PathBuf> {
    Ok(workspace.scratch("tools")?.join("venv/bin/python"))
}

fn add_component(name: &str) -> Result<()> {
    if !apt::has_program("rustup") {
        bail!("Rust was not installed by rustup; install {name} from where your Rust comes from");
    }
    let mut rustup = Command::new("rustup");
    let remedy = format!("install the toolchain's {name} by hand");
    command::run(rustup.args(["component", "add", name]), &remedy)
}

fn install_deny(workspace: &Workspace) -> Result<()> {
    let mut cargo = workspace.cargo(["install", "--locked", "cargo-deny"]);
    command::run(
        cargo.args(["--version", DENY_VERSION]),
        "is the registry reachable? Else put a `cargo-deny` program on the PATH",
    )
}

/// QEMU's version, if all that a guest is made with is there.
fn installed_qemu(_: &Workspace) -> Option<String> {
    let has_rest = apt::has_program("cpio") && test_kernels::has_busybox();
    let version = command::first_line(Command::new("qemu-system-x86_64").arg("--version"));
    version.filter(|_| has_rest)
}

fn install_from_debian(packages: &[&str]) -> Result<()> {
    if !apt::is_possible() {
        bail!("needs Debian and root; by hand: {}", apt::by_hand(packages));
    }
    apt::install(packages)
}

/// The packages, if those of this version of the file are there.
fn installed_sdks(workspace: &Workspace) -> Option<String> {
    let python = sdk_python(workspace).ok()?;
    let installed = fs::read_to_string(python.with_file_name("sdk-requirements.txt")).ok()?;
    let names: Vec<_> = requirements().collect();
    (installed == SDK_REQUIREMENTS && python.exists()).then(|| names.join(" "))
}

fn install_sdks(workspace: &Workspace) -> Result<()> {
    let python = sdk_python(workspace)?;
    let venv = workspace.scratch("tools")?.join("venv");
    command::run(
        Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(venv),
        "python3 with its venv module is needed",
    )?;
    let pip = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ];
    command::run(
        Command::new(&python).args(pip).args(requirements()),
        "is the Python package index reachable?",
    )?;
    // Written last: it says that everything before it succeeded.
    fs::write(
        python.with_file_name("sdk-requirements.txt"),
        SDK_REQUIREMENTS,
    )?;
    Ok(())
}

fn requirements() -> impl Iterator<Item = &'static str> {
    SDK_REQUIREMENTS
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_are_pinned() {
        assert!(requirements().count() >= 2);
        assert!(requirements().all(|line| line.contains("==")));
    }
}
