//! Packages for Node below the target directory, each set with the pinned packages of a `package.json`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::workspace::Workspace;
use crate::{apt, command};

/// One set of packages.
pub(crate) struct Packages {
    /// Its directory below the tools.
    directory: &'static str,
    /// The oldest version of Node that runs them.
    node: u32,
    package_json: &'static str,
}

/// The schemas and types of custom resources.
pub(crate) static CHECKS: Packages = Packages {
    directory: "node",
    node: 18,
    package_json: include_str!("../test/crds/package.json"),
};

/// What editors ask about YAML.
pub(crate) static EDITOR: Packages = Packages {
    directory: "node-editor",
    node: 18,
    package_json: include_str!("../test/editor/package.json"),
};

/// The vendors' clients.
pub(crate) static SDKS: Packages = Packages {
    directory: "node-sdks",
    node: 20,
    package_json: include_str!("../test/sdk/package.json"),
};

/// What drives a browser and looks for barriers in a page.
pub(crate) static PAGE: Packages = Packages {
    directory: "node-page",
    node: 20,
    package_json: include_str!("../test/page/package.json"),
};

/// Portkey's gateway, which the benches compare with.
pub(crate) static GATEWAYS: Packages = Packages {
    // The bench looks for it by this name.
    directory: "node-gateways",
    node: 18,
    package_json: include_str!("../bench/gateways/package.json"),
};

impl Packages {
    /// Where the packages are.
    pub(crate) fn directory(&self, workspace: &Workspace) -> Result<PathBuf> {
        Ok(workspace.scratch("tools")?.join(self.directory))
    }

    /// Node's version, if it has the packages of this version of the list.
    pub(super) fn installed(&self, workspace: &Workspace) -> Option<String> {
        let written = self.directory(workspace).ok()?.join("installed.json");
        let version = node_version().filter(|version| self.run_on(version));
        version.filter(|_| fs::read_to_string(written).is_ok_and(|text| text == self.package_json))
    }

    pub(super) fn install(&self, workspace: &Workspace) -> Result<()> {
        if !apt::has_program("npm") {
            super::install_from_debian(&["nodejs", "npm"])?;
        }
        let version = node_version().unwrap_or_default();
        if !self.run_on(&version) {
            bail!("needs Node {} or later, and this is {version}", self.node);
        }
        let directory = self.directory(workspace)?;
        fs::create_dir_all(&directory)?;
        fs::write(directory.join("package.json"), self.package_json)?;
        command::run(
            Command::new("npm")
                .args(["install", "--silent", "--no-audit", "--no-fund"])
                .current_dir(&directory),
            "is the registry of npm reachable?",
        )?;
        // Written last: it says that everything before it succeeded.
        fs::write(directory.join("installed.json"), self.package_json)?;
        Ok(())
    }

    /// Whether this version of Node, such as `v20.1.0`, runs them.
    fn run_on(&self, version: &str) -> bool {
        let major = version.strip_prefix('v').and_then(|v| v.split('.').next());
        major
            .and_then(|major| major.parse().ok())
            .is_some_and(|major: u32| major >= self.node)
    }
}

fn node_version() -> Option<String> {
    command::first_line(Command::new("node").arg("--version"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_pinned() {
        for packages in [&CHECKS, &EDITOR, &SDKS, &PAGE, &GATEWAYS] {
            let (_, dependencies) = packages
                .package_json
                .split_once("\"dependencies\": {")
                .unwrap();
            let versions = dependencies
                .lines()
                .filter_map(|line| line.split_once(": "));
            let versions: Vec<_> = versions.map(|(_, version)| version).collect();
            assert!(!versions.is_empty());
            // Neither a range nor a tag.
            let is_exact = |version: &&str| {
                let bare = version.trim_end_matches(',').trim_matches('"');
                bare.split('.').count() == 3 && bare.split('.').all(|n| n.parse::<u32>().is_ok())
            };
            assert!(versions.iter().all(is_exact), "{versions:?}");
        }
    }

    #[test]
    fn an_old_node_does_not_do() {
        let cases = [
            ("v20.20.2", true),
            ("v100.0.0", true),
            ("v18.20.4", false),
            ("", false),
        ];
        for (version, expected) in cases {
            assert_eq!(SDKS.run_on(version), expected, "{version}");
        }
    }
}
