//! `holysheep-bench streams`: what a proxy adds to a streamed answer, against no proxy and against other proxies.
//!
//! [`crate::upstream`] writes events at a steady pace, each with the time at which it was written; [`client`] notes when
//! each has arrived, by the same clock, and [`arrivals`] tells how long it was on its way. CPUs are those of [`crate::cpu`]:
//! one for the peer, one for load and upstream. A round starts all peers; [`turn`] lets them take turns, a stream
//! each or a crowd of streams each. [`table`] and [`verdict`] make of it what is printed.

mod arrivals;
mod client;
mod table;
mod turn;
mod verdict;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::cgroup::Cgroup;
use crate::cpu::{order, startable};
use crate::facts::Facts;
use crate::peer::{Gateways, Kind, Peer};
use crate::prompts::is_unique;
use crate::report;
use crate::rig::Rig;
use crate::upstream::Pacing;
use table::Report;
use turn::Level;

/// What is compared, in the order of the table.
const PEERS: [Kind; 6] = [
    Kind::Direct,
    Kind::HolySheep,
    Kind::Nginx,
    Kind::NginxArticle,
    Kind::HaProxy,
    Kind::HaProxyNoDelay,
];

/// Options of the subcommand.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How often each contender is measured, alone and with a crowd [default: 5, quick: 3].
    #[arg(long)]
    rounds: Option<usize>,
    /// Events of a stream.
    #[arg(long, default_value_t = 50)]
    events: u32,
    /// Milliseconds between two events.
    #[arg(long, default_value_t = 20.0, value_name = "MILLISECONDS")]
    pace: f64,
    /// Streams at a time, where it is not one.
    #[arg(long, default_value_t = 64, value_name = "STREAMS")]
    concurrent: usize,
    /// Fewer rounds and streams, for a first look.
    #[arg(long)]
    quick: bool,
    /// Only these: direct, nginx-article, nginx, haproxy, haproxy-no-delay, holysheep, holysheep-no-ebpf, holysheep-off,
    /// holysheep-limits, holysheep-ingress, litellm, portkey
    /// [default: direct, holysheep, nginx, nginx-article, haproxy, haproxy-no-delay].
    #[arg(long, value_delimiter = ',', value_name = "PEERS")]
    peers: Option<Vec<Kind>>,
    #[command(flatten)]
    gateways: Gateways,
    /// The product's program [default: the dist build, else the release build].
    #[arg(long, value_name = "PATH")]
    proxy_bin: Option<PathBuf>,
    /// Write everything measured to this file, too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw how late events are to this file.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// Measures and prints.
///
/// # Errors
/// When nothing can be measured or the report cannot be written.
pub(crate) async fn run(options: Options) -> Result<()> {
    let pacing = options.pacing()?;
    let levels = options.levels()?;
    let rounds = options.rounds.unwrap_or(if options.quick { 3 } else { 5 });
    ensure!(rounds > 0, "--rounds has to be greater than 0");
    let kinds = options.peers.clone().unwrap_or_else(|| PEERS.to_vec());
    let kinds = options.gateways.after(kinds);
    ensure!(is_unique(&kinds), "a peer was named twice");

    let cgroup = Cgroup::create();
    let rig = Rig::start()?;
    let ca = rig.ca();
    let site = rig.site(&ca, options.proxy_bin.as_deref(), cgroup.as_ref());
    let mut facts = Facts::gather(Some(rig.cpus()));
    let mut missing = Vec::new();
    let kinds = startable(kinds, &site, &mut facts, &mut missing).await?;
    let contenders = kinds.iter().map(|kind| kind.name().to_owned());
    let mut report = Report {
        facts,
        contenders: contenders.collect(),
        missing,
        rounds,
        events: pacing.events,
        pace_ms: options.pace,
        levels,
        turns: Vec::new(),
    };
    for level in report.levels.clone() {
        for round in 0..rounds {
            let mut peers = Vec::new();
            for kind in order(&kinds, round) {
                peers.push(Peer::start(kind, &site).await?);
            }
            for turn in turn::round(&rig, &peers, (level, round), pacing).await? {
                report::progress(&table::line(&turn, rounds));
                report.turns.push(turn);
            }
        }
    }
    report.print();
    if let Some(path) = &options.svg {
        report.draw(path)?;
    }
    match &options.json {
        Some(path) => report::write_json(path, &report),
        None => Ok(()),
    }
}

impl Options {
    fn pacing(&self) -> Result<Pacing> {
        let gap = Duration::try_from_secs_f64(self.pace / 1000.0).context("--pace")?;
        ensure!(
            self.events > 1 && !gap.is_zero(),
            "--events has to be greater than 1, --pace greater than 0"
        );
        Ok(Pacing {
            events: self.events,
            gap,
        })
    }

    /// One stream at a time, and a crowd.
    fn levels(&self) -> Result<Vec<Level>> {
        ensure!(self.concurrent > 0, "--concurrent has to be greater than 0");
        let (alone, crowds) = if self.quick { (3, 1) } else { (8, 2) };
        let mut levels = vec![Level {
            streams: 1,
            slices: alone,
        }];
        if self.concurrent > 1 {
            levels.push(Level {
                streams: self.concurrent,
                slices: crowds,
            });
        }
        Ok(levels)
    }
}
