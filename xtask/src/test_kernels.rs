//! `cargo xtask test-kernels`: the kernel tests on kernels that clusters have, each booted in QEMU.
//!
//! [`packages`] gets Debian's kernels, [`suite`] builds the tests as static programs, [`image`] packs them with
//! `init.sh` and the modules they need, [`guest`] boots that and counts what the tests say.

mod guest;
mod image;
mod packages;
mod suite;

use std::fs;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::test::Outcome;
use crate::tools;
use crate::workspace::Workspace;
use packages::{Kernel, SERIES};
use suite::Suite;

/// The tool that has to be there.
pub(crate) const TOOL: &str = "qemu";

/// Whether there is the busybox that the guests get: one that asks for no loader of libraries.
pub(crate) fn has_busybox() -> bool {
    let loader = b"/ld-linux-x86-64.so";
    let program = fs::read(image::BUSYBOX).unwrap_or_default();
    !program.is_empty() && !program.windows(loader.len()).any(|part| part == loader)
}

/// Options of the command.
#[derive(Args)]
pub(crate) struct Options {
    /// Only these kernels
    #[arg(long, value_name = "SERIES", value_delimiter = ',', value_parser = series_names())]
    only: Vec<String>,
    /// For the test programs, e.g. `-- NAME --nocapture`
    #[arg(last = true, value_name = "ARGUMENTS")]
    arguments: Vec<String>,
}

fn series_names() -> PossibleValuesParser {
    PossibleValuesParser::new(SERIES.iter().map(|series| series.name))
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let needed = tools::ALL.iter().filter(|tool| tool.name == TOOL);
    let outcome = match tools::ensure(workspace, needed).first() {
        Some(lack) => {
            println!("SKIPPED: no kernel was tested: {}", lack.reason);
            Outcome::skipped(lack.reason.clone())
        }
        None => perform(workspace, options)?,
    };
    println!(
        "\n{} passed, {} failed, {} skipped",
        outcome.passed, outcome.failed, outcome.skipped
    );
    if outcome.failed == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "Next: `cargo xtask test-kernels --only 6.1 -- NAME --nocapture` runs one test alone."
    );
    Ok(ExitCode::FAILURE)
}

/// The same as a step of `cargo xtask test`.
pub(crate) fn check(workspace: &Workspace) -> Result<Outcome> {
    let all = Options {
        only: Vec::new(),
        arguments: Vec::new(),
    };
    perform(workspace, &all)
}

fn perform(workspace: &Workspace, options: &Options) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    if !cfg!(target_arch = "x86_64") {
        let reason = "the kernels are for x86_64, as is the only static test program";
        println!("SKIPPED: {reason}");
        return Ok(Outcome::skipped(reason.to_owned()));
    }
    let mut kernels = Vec::new();
    let wanted = |name| options.only.is_empty() || options.only.iter().any(|only| only == name);
    for series in SERIES.iter().filter(|series| wanted(series.name)) {
        match packages::kernel(workspace, series) {
            Ok(kernel) => kernels.push(kernel),
            Err(error) => {
                let reason = format!("Linux {} cannot be had: {error:#}", series.name);
                println!("SKIPPED: {reason}");
                outcome.skip(reason);
            }
        }
    }
    if kernels.is_empty() {
        return Ok(outcome);
    }
    let started = Instant::now();
    let suites = suite::build(workspace)?;
    println!(
        "The test programs took {:.1} s to build.",
        started.elapsed().as_secs_f64()
    );
    for kernel in &kernels {
        boot(workspace, kernel, &suites, options, &mut outcome)?;
    }
    Ok(outcome)
}

fn boot(
    workspace: &Workspace,
    kernel: &Kernel,
    suites: &[Suite],
    options: &Options,
    outcome: &mut Outcome,
) -> Result<()> {
    println!("\n-- {}", kernel.release);
    let image = image::pack(workspace, kernel, suites, &options.arguments)?;
    let started = Instant::now();
    let report = guest::run(kernel, &image, suites)?;
    println!(
        "{}: booted in {:.1} s, {} passed, {} failed, {} skipped, {:.1} s in all",
        report.release.as_deref().unwrap_or("no kernel"),
        report.booted.unwrap_or_default().as_secs_f64(),
        report.outcome.passed,
        report.outcome.failed,
        report.outcome.skipped,
        started.elapsed().as_secs_f64()
    );
    outcome.add(report.outcome, &kernel.release);
    Ok(())
}
