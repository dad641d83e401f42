//! `cargo xtask test`: every check CI runs, in one command.
//!
//! [`STEPS`] is the list; each step is a function that counts what passed, failed and was skipped.
//! A failing step does not keep the others from running.

mod cargo;
mod chart;
mod docs;
mod editor;
mod image;
mod monitoring;
mod page;
mod report;
mod script;
mod sdk;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::image::{BILL as IMAGE_BILL, ENGINE as IMAGE_ENGINE};
use crate::tools::{self, Lack, Tool};
use crate::workspace::Workspace;
use crate::{build_ebpf, command, fuzz, stats, test_kernels};
pub(crate) use cargo::Tests;
pub(crate) use report::Outcome;
use report::Row;

/// Options of the command.
#[derive(Args)]
pub(crate) struct Options {
    /// Only these steps
    #[arg(long, value_name = "STEPS", value_delimiter = ',', value_parser = step_names())]
    only: Vec<String>,
    /// Not these steps
    #[arg(long, value_name = "STEPS", value_delimiter = ',', value_parser = step_names())]
    skip: Vec<String>,
}

/// One step.
struct Step {
    name: &'static str,
    /// Headline.
    title: &'static str,
    /// Tools by name.
    needs: &'static [&'static str],
    run: fn(&Workspace) -> Result<Outcome>,
    /// What to do when it fails.
    remedy: &'static str,
}

const STEPS: [Step; 17] = [
    Step {
        name: "ebpf",
        title: "the kernel programs, which the others test with",
        needs: &[],
        run: build_ebpf::check,
        remedy: "its message is above; `cargo xtask build-ebpf` tries again",
    },
    Step {
        name: "fmt",
        title: "the code is formatted",
        needs: &["rustfmt"],
        run: |workspace| checked(workspace, &["fmt", "--all", "--check"]),
        remedy: "run `cargo fmt --all`",
    },
    Step {
        name: "clippy",
        title: "no warnings, those of clippy included",
        needs: &["clippy"],
        run: |workspace| {
            let check = [
                "clippy",
                "--workspace",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ];
            checked(workspace, &check)
        },
        remedy: "mend what it reports; it says how. Then `cargo xtask test --only clippy`",
    },
    Step {
        name: "test",
        title: "unit and integration tests",
        needs: &[tools::REDIS],
        run: cargo::test,
        remedy: "run the failing test alone: `cargo test -p CRATE NAME`",
    },
    Step {
        name: "kernels",
        title: "kernel tests on Linux 6.1 and 6.12, in QEMU",
        needs: &[test_kernels::TOOL],
        run: test_kernels::check,
        remedy: "run the failing test alone: `cargo xtask test-kernels --only 6.1 -- NAME --nocapture`",
    },
    Step {
        name: "fuzz",
        title: "the scanners of bodies and the reader of files, for a while under a fuzzer",
        needs: &[],
        run: fuzz::check,
        remedy: "the input that failed is named above; `cargo xtask fuzz` goes on from there",
    },
    Step {
        name: "doc",
        title: "the crates' documentation builds without warnings",
        needs: &[],
        run: cargo::doc,
        remedy: "mend the doc comments it names. Then `cargo xtask test --only doc`",
    },
    Step {
        name: "deny",
        title: "dependencies: bans, licences, sources",
        needs: &["cargo-deny"],
        run: |workspace| checked(workspace, &["deny", "check", "bans", "licenses", "sources"]),
        remedy: "read its message; deny.toml holds the rules, each with its reason",
    },
    Step {
        name: "advisories",
        title: "dependencies: known vulnerabilities",
        needs: &["cargo-deny"],
        run: cargo::advisories,
        remedy: "`cargo update -p CRATE` to a version with the fix",
    },
    Step {
        name: "docs",
        title: "documents: present, links resolve, in step with the code",
        needs: &[],
        run: docs::run,
        remedy: "mend the documents it names. Then `cargo xtask test --only docs`",
    },
    Step {
        name: "stats",
        title: "limits of size and style",
        needs: &[],
        run: stats::check,
        remedy: "split what is over its limit; `cargo xtask stats` measures again",
    },
    Step {
        name: "sdk",
        title: "OpenAI's and Anthropic's own clients through the proxy",
        needs: &["python3-venv", "python-sdks", "node-sdks", "curl"],
        run: sdk::run,
        remedy: "read the failing check in xtask/src/test/sdk. Then `cargo xtask test --only sdk`",
    },
    Step {
        name: "editor",
        title: "the configuration file in an editor, by the schema that the program prints",
        needs: &["node-editor"],
        run: editor::run,
        remedy: "read the failing check in xtask/src/test/editor. Then `cargo xtask test --only editor`",
    },
    Step {
        name: "page",
        title: "the status page in a browser, against /metrics while clients are served",
        needs: &[tools::CHROMIUM, "node-page"],
        run: page::run,
        remedy: "read the failing check in xtask/src/test/page, and look at the pictures. Then `cargo xtask test --only page`",
    },
    Step {
        name: "chart",
        title: "the Helm chart, the manifests and the scripts below deploy",
        needs: &["python3-venv", "python-checks", "helm", "node-checks"],
        run: chart::run,
        remedy: "read the failing check in xtask/src/test/chart. Then `cargo xtask test --only chart`",
    },
    Step {
        name: "image",
        title: "the container image: what is in it, and that it runs as the chart runs it",
        needs: &["python3-venv", "python-checks", IMAGE_ENGINE, IMAGE_BILL],
        run: image::run,
        remedy: "the failing check is above; `cargo xtask image --host-toolchain` builds the same image",
    },
    Step {
        name: "monitoring",
        title: "alerts and dashboards, on a real Prometheus that reads a real proxy",
        needs: &[
            tools::REDIS,
            "python3-venv",
            "python-checks",
            "helm",
            "prometheus",
        ],
        run: monitoring::run,
        remedy: "mend what it names. Then `cargo xtask test --only monitoring`",
    },
];

fn step_names() -> PossibleValuesParser {
    PossibleValuesParser::new(STEPS.iter().map(|step| step.name))
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let steps: Vec<_> = STEPS
        .iter()
        .filter(|step| options.wants(step.name))
        .collect();
    if steps.is_empty() {
        bail!("--only and --skip leave no step; `cargo xtask test` alone runs all");
    }
    let mut rows = Vec::new();
    let missing = timed(&mut rows, "tools", "what the checks need", || {
        prepare(workspace, &steps)
    });
    for step in steps {
        timed(&mut rows, step.name, step.title, || {
            let outcome = match blocked(step, &missing) {
                Some(outcome) => outcome,
                None => (step.run)(workspace).unwrap_or_else(|error| {
                    println!("{error:#}");
                    Outcome::failed(format!("{error:#}"))
                }),
            };
            (outcome.or_remedy(step.remedy), ())
        });
    }
    print!("\n{}", report::render(&rows));
    let failed = rows.iter().any(|row| row.outcome.failed > 0);
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

impl Options {
    fn wants(&self, name: &str) -> bool {
        let named = |list: &[String]| list.iter().any(|wanted| wanted == name);
        (self.only.is_empty() || named(&self.only)) && !named(&self.skip)
    }
}

/// Prints a headline, does the work, and notes how it went.
fn timed<T>(
    rows: &mut Vec<Row>,
    name: &'static str,
    title: &str,
    work: impl FnOnce() -> (Outcome, T),
) -> T {
    println!("\n== {name}: {title}");
    let started = Instant::now();
    let (outcome, result) = work();
    let row = Row {
        name,
        outcome,
        time: started.elapsed(),
    };
    println!("-- {}", row.summary());
    rows.push(row);
    result
}

/// Installs the tools of these steps.
fn prepare(workspace: &Workspace, steps: &[&Step]) -> (Outcome, Vec<Lack>) {
    let needed = |tool: &&Tool| steps.iter().any(|step| step.needs.contains(&tool.name));
    let missing = tools::ensure(workspace, tools::ALL.iter().filter(needed));
    // A lack is counted once, by the step that cannot run.
    let mut outcome = Outcome::passed(1);
    for lack in &missing {
        outcome.note(format!("{} is missing", lack.tool.name));
    }
    (outcome, missing)
}

/// The outcome of a step that cannot run for want of a tool.
fn blocked(step: &Step, missing: &[Lack]) -> Option<Outcome> {
    let lack = missing
        .iter()
        .find(|lack| step.needs.contains(&lack.tool.name))?;
    let reason = format!("{} could not be installed: {}", lack.tool.name, lack.reason);
    println!("NOT RUN: {reason}");
    Some(if lack.tool.optional {
        Outcome::skipped(reason)
    } else {
        Outcome::failed(reason)
    })
}

/// A step that is one cargo command.
fn checked(workspace: &Workspace, arguments: &[&str]) -> Result<Outcome> {
    let mut cargo = workspace.cargo([]);
    command::run(cargo.args(arguments), "what it found is above")?;
    Ok(Outcome::passed(1))
}

#[cfg(test)]
mod tests;
