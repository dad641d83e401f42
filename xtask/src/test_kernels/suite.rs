//! The test programs for the guests: linked statically, as the guest has no libraries.

use std::env;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::command;
use crate::workspace::Workspace;

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// An integration test of a package.
pub(super) struct Suite {
    package: &'static str,
    pub(super) name: &'static str,
    /// Seconds the guest may need for it, several times what it does.
    pub(super) limit: u32,
    /// For the test program, unless the command line has some.
    pub(super) arguments: &'static [&'static str],
    pub(super) program: PathBuf,
}

/// The tests themselves; and of the lab they stand on what depends on the kernel, but not on its speed.
const SUITES: [(&str, &str, u32, &[&str]); 2] = [
    ("holysheep-proxy", "kernel", 900, &["--test-threads=1"]),
    (
        "netlab",
        "lab",
        90,
        &[
            "--test-threads=1",
            "addresses",
            "cleanup",
            "drops::every",
            "pair",
        ],
    ),
];

/// Builds those that there are.
pub(super) fn build(workspace: &Workspace) -> Result<Vec<Suite>> {
    let mut suites = Vec::new();
    for (package, name, limit, arguments) in SUITES {
        let folder = package.trim_start_matches("holysheep-");
        let tests = workspace.root().join(folder).join("tests");
        if !tests.join(name).is_dir() {
            println!("There is no {folder}/tests/{name} yet.");
            continue;
        }
        suites.push(Suite {
            package,
            name,
            limit,
            arguments,
            program: program(workspace, package, name)?,
        });
    }
    Ok(suites)
}

fn program(workspace: &Workspace, package: &str, name: &str) -> Result<PathBuf> {
    let mut cargo = workspace.cargo(["test", "--no-run", "--target", TARGET]);
    cargo.args(["-p", package, "--test", name]);
    // Diagnostics go to the terminal, messages for us to standard output.
    cargo.arg("--message-format=json-render-diagnostics");
    let flags = env::var("RUSTFLAGS").unwrap_or_default();
    cargo.env(
        "RUSTFLAGS",
        format!("{flags} -C target-feature=+crt-static").trim(),
    );
    println!(
        "$ RUSTFLAGS='-C target-feature=+crt-static' {}",
        command::shown(&cargo)
    );
    let output = cargo
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    if !output.status.success() {
        bail!("the test `{name}` of {package} does not build, see above");
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let found = messages.lines().find_map(executable);
    found.with_context(|| format!("cargo has built no test `{name}` of {package}"))
}

/// The program in one of cargo's messages: that of the one integration test. The package's programs are built, too.
fn executable(message: &str) -> Option<PathBuf> {
    if !message.contains(r#""kind":["test"]"#) {
        return None;
    }
    let (_, rest) = message.split_once(r#""executable":""#)?;
    let (path, _) = rest.split_once('"')?;
    // What JSON escapes does not occur in paths of sane machines.
    (!path.contains('\\')).then(|| path.into())
}

impl std::fmt::Display for Suite {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.package, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_found_in_cargos_messages() {
        let library = r#"{"target":{"kind":["lib"]},"executable":null,"fresh":true}"#;
        let program = r#"{"target":{"kind":["bin"]},"executable":"/t/lab","fresh":true}"#;
        let test = r#"{"target":{"kind":["test"]},"executable":"/t/deps/lab-1","fresh":true}"#;
        assert_eq!(executable(program), None);
        assert_eq!(executable(library), None);
        assert_eq!(executable(test), Some("/t/deps/lab-1".into()));
    }
}
