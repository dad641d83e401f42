//! `holysheep-proxy check`: the way to upstream, step by step, and what else stands between clients and an answer.
//!
//! Each line passes or fails by itself and a failure says what to do about it. What cannot be seen from here is pointed to.
//! No step costs a token.
#![expect(clippy::print_stdout, reason = "talks to a person")]

mod certificate;
mod clients;
pub mod ebpf;
mod key;
mod running;
mod steps;
mod webhook;

use std::process::ExitCode;

use crate::config::Config;

/// The result of one step.
#[derive(Debug)]
pub struct Line {
    /// What was tried.
    pub name: &'static str,
    /// With which of several upstreams or keys, by name; empty if there is one.
    pub of: String,
    /// How it went.
    pub result: Outcome,
}

/// How a step went.
#[derive(Debug)]
pub enum Outcome {
    /// It works; the fact worth knowing.
    Pass(String),
    /// It works, or may be done without, but somebody should look.
    Warn(String, String),
    /// Nothing was tried; what else there is to look at, and where.
    Note(String, String),
    /// It does not; the reason and the remedy.
    Fail(String, String),
    /// A step before it failed.
    Skipped,
}

/// Runs all steps and prints them.
pub fn run(config: &Config) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let lines = match runtime {
        Ok(runtime) => runtime.block_on(steps::all(config)),
        Err(error) => vec![Line {
            name: "runtime",
            of: String::new(),
            result: Outcome::Fail(
                error.to_string(),
                "raise the limit of open files (ulimit -n)".to_owned(),
            ),
        }],
    };
    let mut failed = false;
    for line in &lines {
        let (mark, fact, remedy) = match &line.result {
            Outcome::Pass(fact) => ("pass", fact.as_str(), None),
            Outcome::Warn(fact, remedy) => ("warn", fact.as_str(), Some(remedy)),
            Outcome::Note(fact, remedy) => ("note", fact.as_str(), Some(remedy)),
            Outcome::Fail(fact, remedy) => {
                failed = true;
                ("FAIL", fact.as_str(), Some(remedy))
            }
            Outcome::Skipped => ("skip", "because of the failure above", None),
        };
        let of = match line.of.as_str() {
            "" => String::new(),
            name => format!("{name}: "),
        };
        println!("{mark}  {:<12} {of}{fact}", line.name);
        if let Some(remedy) = remedy {
            println!("{:>6}{:<12} → {remedy}", "", "");
        }
    }
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
