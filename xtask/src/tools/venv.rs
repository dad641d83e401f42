//! Virtual environments below the target directory, each with the pinned packages of a requirements file.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::command;
use crate::workspace::Workspace;

/// One environment.
pub(crate) struct Venv {
    /// Its directory below the tools.
    directory: &'static str,
    requirements: &'static str,
}

/// The vendors' clients.
pub(crate) static SDKS: Venv = Venv {
    directory: "venv",
    requirements: include_str!("../test/sdk/requirements.txt"),
};

/// What reads charts, manifests, scripts and the Dockerfile.
pub(crate) static CHECKS: Venv = Venv {
    directory: "venv-checks",
    requirements: include_str!("../test/chart-requirements.txt"),
};

/// LiteLLM's proxy, which the benches compare with.
pub(crate) static GATEWAYS: Venv = Venv {
    // The bench looks for it by this name.
    directory: "venv-gateways",
    requirements: include_str!("../bench/gateways/requirements.txt"),
};

impl Venv {
    /// A program of the environment.
    pub(crate) fn program(&self, workspace: &Workspace, name: &str) -> Result<PathBuf> {
        let tools = workspace.scratch("tools")?;
        Ok(tools.join(self.directory).join("bin").join(name))
    }

    /// The packages, if those of this version of the file are there.
    pub(super) fn installed(&self, workspace: &Workspace) -> Option<String> {
        let python = self.program(workspace, "python").ok()?;
        let installed = fs::read_to_string(python.with_file_name("requirements.txt")).ok()?;
        let names: Vec<_> = self.packages().collect();
        (installed == self.requirements && python.exists()).then(|| names.join(" "))
    }

    pub(super) fn install(&self, workspace: &Workspace) -> Result<()> {
        let python = self.program(workspace, "python")?;
        let venv = workspace.scratch("tools")?.join(self.directory);
        command::run(
            Command::new("python3")
                .args(["-m", "venv", "--clear"])
                .arg(venv),
            "python3 with its venv module is needed",
        )?;
        let pip = ["-m", "pip", "install", "--quiet"];
        command::run(
            Command::new(&python)
                .args(pip)
                .arg("--disable-pip-version-check")
                .args(self.packages()),
            "is the Python package index reachable?",
        )?;
        // Written last: it says that everything before it succeeded.
        let written = python.with_file_name("requirements.txt");
        fs::write(written, self.requirements)?;
        Ok(())
    }

    fn packages(&self) -> impl Iterator<Item = &'static str> {
        self.requirements
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_are_pinned() {
        for venv in [&SDKS, &CHECKS, &GATEWAYS] {
            assert!(venv.packages().count() >= 2);
            assert!(venv.packages().all(|line| line.contains("==")));
        }
    }
}
