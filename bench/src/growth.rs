//! `holysheep-bench growth`: whether a request costs more where there are more clients, keys for upstream or upstreams.
//!
//! The rig and the turns are those of [`crate::cpu`]; what is compared is the product with few and with many of the same,
//! all of them in the same rounds. [`table`] divides each by the fewest.

mod table;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;

use crate::cgroup::Cgroup;
use crate::cpu::{Plan, startable};
use crate::facts::Facts;
use crate::peer::{Grown, Kind};
use crate::report;
use crate::rig::Rig;
use table::Report;

/// Options of the subcommand.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How often each is started and measured [default: 20, quick: 3].
    #[arg(long)]
    rounds: Option<usize>,
    /// How long each is measured in a round, without warm-up [default: 1, quick: 0.5].
    #[arg(long)]
    seconds: Option<f64>,
    /// Connections, each with one request in flight.
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Fewer and shorter rounds, for a first look.
    #[arg(long)]
    quick: bool,
    /// The product's program [default: the dist build, else the release build].
    #[arg(long, value_name = "PATH")]
    proxy_bin: Option<PathBuf>,
    /// Write everything measured to this file, too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Measures and prints.
///
/// # Errors
/// When nothing can be measured or the report cannot be written.
pub(crate) async fn run(options: Options) -> Result<()> {
    let (rounds, seconds) = if options.quick { (3, 0.5) } else { (20, 1.0) };
    let plan = Plan {
        connections: &[options.connections],
        rounds: options.rounds.unwrap_or(rounds),
        seconds: options.seconds.unwrap_or(seconds),
    };
    ensure!(
        plan.rounds > 0 && plan.seconds > 0.0 && options.connections > 0,
        "rounds, seconds and connections must be greater than zero"
    );
    let cgroup = Cgroup::create();
    let rig = Rig::start()?;
    let ca = rig.ca();
    let site = rig.site(&ca, options.proxy_bin.as_deref(), cgroup.as_ref());
    let mut report = Report {
        facts: Facts::gather(Some(rig.cpus())),
        missing: Vec::new(),
        rounds: plan.rounds,
        seconds: plan.seconds,
        connections: options.connections,
        turns: Vec::new(),
    };
    let kinds = Grown::ALL.map(Kind::Grown).to_vec();
    let kinds = startable(kinds, &site, &mut report.facts, &mut report.missing).await?;
    // One program in ten ways: one line is enough, without the way.
    report.facts.versions.truncate(1);
    for version in &mut report.facts.versions {
        *version = version.split_off(version.find("holysheep").unwrap_or(0));
    }
    report.turns = plan.measure(&rig, &site, &kinds).await?;
    report.print();
    match &options.json {
        Some(path) => report::write_json(path, &report),
        None => Ok(()),
    }
}
