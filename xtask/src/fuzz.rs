//! `cargo xtask fuzz`: the scanners of bodies and the reader of files under LLVM's fuzzer, for as long as one has.
//!
//! The crate `fuzz` takes their sources as they are. It starts from the corpus of streams that the tests have and from the
//! documented configuration, and keeps what it finds below the target directory.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;

use crate::command;
use crate::test::Outcome;
use crate::workspace::Workspace;

/// What a check of everything spends on it.
const SECONDS: u64 = 20;
/// Longest input, in bytes.
const LONGEST: u64 = 4096;
/// What libFuzzer needs of the compiler: counters of edges and traces of comparisons.
const INSTRUMENTATION: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1";

/// Options of the command.
#[derive(Args)]
pub(crate) struct Options {
    /// For how long
    #[arg(long, default_value_t = 600)]
    seconds: u64,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    fuzz(workspace, options.seconds)?;
    Ok(ExitCode::SUCCESS)
}

/// The step of `cargo xtask test`.
pub(crate) fn check(workspace: &Workspace) -> Result<Outcome> {
    fuzz(workspace, SECONDS)?;
    Ok(Outcome::passed(1))
}

fn fuzz(workspace: &Workspace, seconds: u64) -> Result<()> {
    let target = workspace.scratch("fuzz")?;
    let host = "x86_64-unknown-linux-gnu";
    let mut cargo = workspace.cargo(["build", "--release", "--target", host]);
    cargo
        .arg("--manifest-path")
        .arg(workspace.root().join("fuzz/Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .env("RUSTFLAGS", INSTRUMENTATION);
    let remedy = "its message is above; LLVM's fuzzer needs a C++ compiler: on Debian, `apt-get install g++`";
    command::run(&mut cargo, remedy)?;
    let corpus = seeds(workspace)?;
    let program = target.join(host).join("release/holysheep-fuzz");
    let mut fuzzer = std::process::Command::new(program);
    fuzzer
        .current_dir(&target)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={LONGEST}"))
        .args(["-print_final_stats=1", "-timeout=5", "-rss_limit_mb=512"])
        .arg(corpus);
    let log = target.join("log");
    command::log_to(&mut fuzzer, &log)?;
    println!("fuzzing for {seconds} s; see {}", workspace.short(&log));
    let outcome = command::run(
        &mut fuzzer,
        "what it found is at the end of the log; the file named there, given to the same program, shows it again",
    );
    let text = fs::read_to_string(&log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    match &outcome {
        Ok(()) => lines
            .iter()
            .filter(|line| line.starts_with("stat::"))
            .for_each(|line| println!("{line}")),
        Err(_) => lines
            .iter()
            .skip(lines.len().saturating_sub(30))
            .for_each(|line| println!("{line}")),
    }
    outcome
}

/// A directory with each stream of the tests' corpus as each of the four kinds of bodies, and each piece of the documented
/// configuration as a file.
fn seeds(workspace: &Workspace) -> Result<PathBuf> {
    let corpus = workspace.scratch("fuzz/corpus")?;
    let streams = workspace.root().join("proxy/tests/fixtures/streams");
    for entry in fs::read_dir(&streams).with_context(|| streams.display().to_string())? {
        let path = entry?.path();
        let content = fs::read(&path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        for kind in 0..4_u8 {
            let seed = [&[kind, 16], content.as_slice()].concat();
            fs::write(corpus.join(format!("{kind}-{name}")), seed)?;
        }
    }
    let documented = workspace.root().join("docs/configuration.md");
    let text = fs::read_to_string(&documented).with_context(|| documented.display().to_string())?;
    let blocks = text.split("```yaml\n").skip(1);
    let blocks = blocks.filter_map(|block| block.split("```").next());
    for (number, piece) in blocks.flat_map(|block| block.split("\n\n")).enumerate() {
        let seed = [&[4, 16], piece.as_bytes()].concat();
        fs::write(corpus.join(format!("4-{number}")), seed)?;
    }
    Ok(corpus)
}
