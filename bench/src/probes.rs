//! `holysheep-bench probes`: health probes while a peer is offered ten times what it can carry.
//!
//! The peers take turns, [`turn`] is one: what the peer can carry, then far
//! more than that, and probes in the meantime. [`clients`] are the load,
//! [`prober`] is the kubelet, [`queue`] looks at the accept queue, [`admin`] asks the
//! product; [`network`] keeps all of it to itself, and [`table`] prints.

mod admin;
mod clients;
mod network;
pub(crate) mod prober;
mod queue;
mod table;
mod turn;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::cgroup::Cgroup;
use crate::cpu::order;
use crate::facts::Facts;
use crate::peer::{Kind, Peer, Site};
use crate::process::raise_descriptors;
use crate::report;
use crate::rig::Rig;
use table::Report;
use turn::Course;

/// Descriptors that are not for clients.
const OTHER_DESCRIPTORS: usize = 1000;

/// What is compared: the product that steers, the product that does not, and what is to be replaced.
const PEERS: [Kind; 3] = [Kind::HolySheep, Kind::HolySheepNoEbpf, Kind::NginxArticle];

/// Options of the subcommand.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Probes sent to each peer in a round [default: 1000, quick: 200].
    #[arg(long)]
    probes: Option<usize>,
    /// How often each peer is measured [default: 3, quick: 1].
    #[arg(long)]
    rounds: Option<usize>,
    /// One short round, for a first look.
    #[arg(long)]
    quick: bool,
    /// Where the kernel caps accept queues, in the bench's own network namespace [default: the kernel's own].
    #[arg(long, value_name = "CONNECTIONS")]
    somaxconn: Option<u32>,
    /// Clients at a time, at most; fewer if there are not so many descriptors.
    #[arg(long, default_value_t = 50_000)]
    clients: usize,
    /// The product's program [default: the dist build, else the release build].
    #[arg(long, value_name = "PATH")]
    proxy_bin: Option<PathBuf>,
    /// Write everything measured to this file, too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw which share of the probes fails to this file.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// Measures and prints.
///
/// # Errors
/// When a peer cannot be measured, or the product's counters are not those of the probes sent.
pub(crate) async fn run(options: Options) -> Result<()> {
    let rounds = options.rounds.unwrap_or(if options.quick { 1 } else { 3 });
    let probes = options
        .probes
        .unwrap_or(if options.quick { 200 } else { 1000 });
    ensure!(
        rounds > 0 && probes > 0,
        "rounds and probes must be greater than zero"
    );
    let descriptors = raise_descriptors(options.clients + OTHER_DESCRIPTORS)?;
    let course = Course {
        probes,
        at_most: descriptors.saturating_sub(OTHER_DESCRIPTORS),
    };
    ensure!(
        course.at_most > 0,
        "no clients, or too few descriptors (`ulimit -n`)"
    );
    network::enter(options.somaxconn)?;

    let cgroup = Cgroup::create();
    let rig = Rig::start()?;
    let ca = rig.ca();
    let site = Site {
        probe_source: Some(prober::SOURCE),
        ..rig.site(&ca, options.proxy_bin.as_deref(), cgroup.as_ref())
    };
    let mut report = Report {
        facts: Facts::gather(Some(rig.cpus())),
        somaxconn: network::somaxconn()?,
        rounds,
        at_most: course.at_most,
        turns: Vec::new(),
    };
    for round in 0..rounds {
        for kind in order(&PEERS, round) {
            let peer = Peer::start(kind, &site).await?;
            if round == 0 {
                let version = format!("{:<17} {}", peer.name, peer.version);
                report.facts.versions.push(version);
            }
            report::progress(&format!("round {}/{rounds}: {}", round + 1, peer.name));
            let turn = turn::measure(&peer, course, (round, report.somaxconn))
                .await
                .with_context(|| format!("{}, round {}", peer.name, round + 1))?;
            report::progress(&table::line(&turn));
            report.turns.push(turn);
        }
    }
    report.print();
    if let Some(path) = &options.svg {
        report.draw(path)?;
    }
    if let Some(path) = &options.json {
        report::write_json(path, &report)?;
    }
    report.check()
}
