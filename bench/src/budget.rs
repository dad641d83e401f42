//! `holysheep-bench budget`: what one request is made of, beside the least that a proxy of hyper needs for it.
//!
//! Instructions in user space, allocations and copies are counted by callgrind ([`callgrind`]), system calls by
//! [`crate::syscalls`]. Nothing is timed, so a busy machine does not matter: the figures of two runs differ by less than a
//! hundredth. Kernel programs are off where valgrind counts, as it does not know all of their system calls; they cost the
//! process itself next to nothing, and `bench ebpf` measures what they cost the machine.
#![expect(clippy::print_stdout, reason = "the report is this program's output")]

mod callgrind;
mod part;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Serialize;

use crate::facts::Facts;
use crate::peer::{Kind, Peer, Site};
use crate::report;
use crate::rig::Rig;
use crate::syscalls::{self, Syscalls};
use callgrind::Counts;
use part::Part;

/// Options of the subcommand.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Requests that are counted, one after the other.
    #[arg(long, default_value_t = 400)]
    requests: u64,
    /// Fewer requests, for a first look.
    #[arg(long)]
    quick: bool,
    /// Name so many functions that take most.
    #[arg(long, default_value_t = 0, value_name = "N")]
    functions: usize,
    /// The product's program [default: the dist build, else the release build].
    #[arg(long, value_name = "PATH")]
    proxy_bin: Option<PathBuf>,
    /// Write everything measured to this file, too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// One peer's request.
#[derive(Debug, Serialize)]
struct Budget {
    peer: String,
    requests: u64,
    counts: Counts,
    syscalls: Option<Syscalls>,
}

#[derive(Debug, Serialize)]
struct Report {
    facts: Facts,
    budgets: Vec<Budget>,
    missing: Vec<String>,
}

/// The floor, and the product.
const KINDS: [Kind; 2] = [Kind::Bare, Kind::HolySheepNoEbpf];

/// Counts, and prints.
///
/// # Errors
/// When a peer does not start or the report cannot be written.
pub(crate) async fn run(options: Options) -> Result<()> {
    ensure!(options.requests > 0, "requests must be greater than zero");
    let requests = match options.quick {
        true => options.requests.min(100),
        false => options.requests,
    };
    let rig = Rig::start()?;
    let ca = rig.ca();
    let site = rig.site(&ca, options.proxy_bin.as_deref(), None);
    let mut report = Report {
        facts: Facts::gather(Some(rig.cpus())),
        budgets: Vec::new(),
        missing: Vec::new(),
    };
    for kind in &KINDS {
        report::progress(&format!("counting instructions of {}", kind.name()));
        let counted = instructions(kind, &site, requests).await;
        let (counts, requests) = counted.with_context(|| kind.name().to_owned())?;
        report::progress(&format!("counting system calls of {}", kind.name()));
        let peer = Peer::start(kind, &site).await?;
        let version = format!("{:<18} {}", peer.name, peer.version);
        let calls = syscalls::count(&peer, 1, rig.directory(), rig.own_cpu).await;
        let calls = calls.map_err(|error| {
            let what = format!("system calls of {}: {error:#}", kind.name());
            report.missing.push(what);
        });
        report.facts.versions.push(version);
        report.budgets.push(Budget {
            peer: peer.name.clone(),
            requests,
            counts,
            syscalls: calls.ok(),
        });
    }
    report.print(options.functions);
    match &options.json {
        Some(path) => report::write_json(path, &report),
        None => Ok(()),
    }
}

async fn instructions(kind: &Kind, site: &Site<'_>, requests: u64) -> Result<(Counts, u64)> {
    let site = Site {
        under: &callgrind::COMMAND,
        ..*site
    };
    let peer = Peer::start(kind, &site).await?;
    let process = *peer.processes()?.first().context("no process")?;
    let directory = site.directory.join(kind.name());
    callgrind::count(process, &directory, &peer.target, requests).await
}

impl Budget {
    /// Of one request.
    fn each(&self, count: u64) -> f64 {
        count as f64 / self.requests as f64
    }

    /// Instructions of one request.
    fn part(&self, part: Part) -> f64 {
        let all = self.counts.instructions.iter();
        let own = all.filter(|(function, _)| Part::of(function) == part);
        self.each(own.map(|(_, count)| count).sum())
    }

    fn calls(&self, name: &str) -> f64 {
        let calls = self.syscalls.as_ref();
        let found = calls.and_then(|calls| calls.per_request.get(name));
        found.copied().unwrap_or_default()
    }

    /// The functions that take most.
    fn most(&self, count: usize) -> Vec<(&str, u64)> {
        let all = self.counts.instructions.iter();
        let mut all: Vec<_> = all.map(|(name, count)| (name.as_str(), *count)).collect();
        all.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        all.truncate(count);
        all
    }
}

impl Report {
    fn print(&self, functions: usize) {
        report::print_facts(&self.facts);
        println!(
            "\none request of 1 KB and its answer of 1 KB, on one kept-alive connection, TLS to upstream\n"
        );
        print!("{}", self.table());
        for budget in &self.budgets {
            for (function, count) in budget.most(functions) {
                println!("{:>10.0}  {}: {function}", budget.each(count), budget.peer);
            }
        }
        for what in &self.missing {
            report::print_wrapped("NOT MEASURED ", what);
        }
    }

    fn table(&self) -> String {
        let mut text = row("", self.budgets.iter().map(|budget| budget.peer.clone()));
        let mut figures = |name: &str, decimals: usize, figure: &dyn Fn(&Budget) -> f64| {
            let figures = self.budgets.iter().map(figure);
            text.push_str(&row(
                name,
                figures.map(|figure| format!("{figure:.decimals$}")),
            ));
        };
        figures("instructions in user space", 0, &|budget| {
            budget.each(budget.counts.total())
        });
        for part in Part::ALL {
            figures(&format!("  {}", part.name()), 0, &|budget| {
                budget.part(part)
            });
        }
        figures("allocations", 1, &|budget| {
            budget.each(budget.counts.allocations)
        });
        figures("calls of memcpy and memmove", 1, &|budget| {
            budget.each(budget.counts.copies)
        });
        figures("system calls", 2, &|budget| {
            budget.syscalls.as_ref().map_or(f64::NAN, Syscalls::total)
        });
        for name in self.calls() {
            figures(&format!("  {name}"), 2, &|budget| budget.calls(&name));
        }
        text
    }

    /// The system calls that any of them makes for every hundredth request.
    fn calls(&self) -> Vec<String> {
        let all = self
            .budgets
            .iter()
            .filter_map(|budget| budget.syscalls.as_ref());
        let often = all.flat_map(|calls| {
            calls
                .per_request
                .iter()
                .filter(|(_, count)| **count >= 0.01)
        });
        let mut names: Vec<_> = often.map(|(name, _)| name.clone()).collect();
        names.sort();
        names.dedup();
        names
    }
}

fn row(name: &str, cells: impl Iterator<Item = String>) -> String {
    let cells: String = cells.map(|cell| format!("{cell:>20}")).collect();
    format!("{name:<32}{cells}\n")
}
