//! `cargo xtask`: what a developer, a newcomer or CI does with this repository.
//!
//! One file per command. [`workspace`] knows where things are, [`command`] runs a program to its end,
//! [`process`] keeps several running beside each other, [`tools`] knows what has to be installed.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a task runner talks to a person"
)]

mod apt;
mod bench;
mod build_command;
mod build_ebpf;
mod command;
mod dist;
mod emulate;
mod fuzz;
mod helm;
mod image;
mod manifests;
mod process;
mod prometheus;
mod run;
mod rustc;
mod services;
mod setup;
mod soak;
mod stats;
mod test;
mod test_kernels;
mod tools;
mod train;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{CommandFactory, Parser, Subcommand};

use workspace::Workspace;

#[derive(Parser)]
#[command(
    name = "xtask",
    bin_name = "cargo xtask",
    about = "Tasks of this repository"
)]
#[command(arg_required_else_help = true)]
#[command(after_help = "New here? `cargo xtask run`, then `cargo xtask test`.")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build and start the proxy; without a HolySheep key also the emulator
    Run(run::Options),
    /// Run every check CI runs
    Test(test::Options),
    /// Run the kernel tests on real kernels, in QEMU
    TestKernels(test_kernels::Options),
    /// Install what `test` needs
    Setup,
    /// Build the proxy, optimised
    Build(build_command::Options),
    /// Build the kernel programs, which the next build of the proxy embeds
    BuildEbpf,
    /// Build the container image
    Image(image::Options),
    /// Build and start the emulator alone
    Emulate(emulate::Options),
    /// Measure the proxy against nginx and HAProxy
    Bench(bench::Options),
    /// Count what requests run through, for the compiler
    Train(train::Options),
    /// Everything at once for half an hour, and whether anything has grown at the end
    Soak(soak::Options),
    /// Feed the scanners of bodies and the reader of files with whatever a fuzzer comes up with
    Fuzz(fuzz::Options),
    /// Render the chart to deploy/manifests and to the files its tests compare with
    Manifests(manifests::Options),
    /// Measure the code: sizes, tests, unwraps
    Stats,
}

fn main() -> ExitCode {
    match perform(Cli::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(task: Task) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    match task {
        Task::Run(options) => run::run(&workspace, &options),
        Task::Test(options) => test::run(&workspace, &options),
        Task::TestKernels(options) => test_kernels::run(&workspace, &options),
        Task::Setup => setup::run(&workspace),
        Task::Build(options) => build_command::run(&workspace, &options),
        Task::BuildEbpf => build_ebpf::run(&workspace),
        Task::Image(options) => image::run(&workspace, &options),
        Task::Emulate(options) => emulate::run(&workspace, &options),
        Task::Bench(options) => bench::run(&workspace, &options),
        Task::Train(options) => train::run(&workspace, &options),
        Task::Soak(options) => soak::run(&workspace, &options),
        Task::Fuzz(options) => fuzz::run(&workspace, &options),
        Task::Manifests(options) => manifests::run(&workspace, &options),
        Task::Stats => stats::run(&workspace),
    }
}

/// The names of all tasks, for the check that documents mention no other.
fn task_names() -> Vec<String> {
    let cli = Cli::command();
    let names = cli.get_subcommands().map(|task| task.get_name().to_owned());
    names.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
        assert!(task_names().contains(&"test".to_owned()));
    }
}
