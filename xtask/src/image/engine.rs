//! buildah and podman, set up so that they work on machines of every kind, those without systemd or with both
//! versions of cgroups included.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::workspace::Workspace;
use crate::{apt, command};

/// Debian's packages. runc, since crun refuses hosts with both versions of cgroups.
pub(crate) const PACKAGES: [&str; 3] = ["buildah", "podman", "runc"];

/// The two programs and their settings.
pub(crate) struct Engine {
    settings: PathBuf,
}

impl Engine {
    /// Writes the settings.
    pub(crate) fn new(workspace: &Workspace) -> Result<Self> {
        let settings = workspace.scratch("image")?.join("containers.conf");
        fs::write(&settings, self::settings())
            .with_context(|| format!("cannot write {}", settings.display()))?;
        Ok(Self { settings })
    }

    pub(crate) fn buildah(&self) -> Command {
        self.command("buildah")
    }

    pub(crate) fn podman(&self) -> Command {
        self.command("podman")
    }

    /// Removes an image nobody needs any more.
    pub(crate) fn discard(&self, tag: &str) {
        let mut podman = self.podman();
        podman.args(["image", "rm", tag]);
        // If it stays, it does no harm.
        let _ = podman.stdout(Stdio::null()).stderr(Stdio::null()).status();
    }

    /// The settings' file, for those who start podman otherwise.
    pub(crate) fn settings(&self) -> &Path {
        &self.settings
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("CONTAINERS_CONF", &self.settings);
        command
    }
}

/// Both versions, if both programs are there and may be used.
pub(crate) fn version() -> Option<String> {
    let version = |name| command::first_line(Command::new(name).arg("--version"));
    let buildah = version("buildah")?;
    Some(format!("{}, {buildah}", version("podman")?))
}

fn settings() -> String {
    let mut text = "[containers]\n# Not more than a machine with low limits may give.\n\
         default_ulimits = [\"nofile=16384:16384\", \"nproc=32768:32768\"]\n[engine]\nevents_logger = \"file\"\n"
        .to_owned();
    // Writing to a String cannot fail.
    if apt::has_program("runc") {
        let _ = writeln!(text, "runtime = \"runc\"");
    }
    if !Path::new("/run/systemd/system").is_dir() {
        let _ = writeln!(text, "cgroup_manager = \"cgroupfs\"");
    }
    text
}
