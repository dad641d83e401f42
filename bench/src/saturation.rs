//! `holysheep-bench saturation`: what each peer carries with its one CPU, and how latency grows on the way there.
//!
//! The rig, the peers and the turns are those of [`crate::cpu`], at more numbers of connections, up to many more than a
//! CPU needs to be full. Peers keep as many connections to upstream as there are requests in flight. The rig is measured
//! by itself first, since nothing it measures can be faster than it is; [`table`] says whom that holds up.

mod table;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;

use crate::cgroup::Cgroup;
use crate::cpu::{Plan, startable};
use crate::facts::Facts;
use crate::peer::{Kind, POOL, Site};
use crate::prompts::is_unique;
use crate::report;
use crate::rig::Rig;
use table::Report;

/// What is compared, beside the rig by itself.
const PEERS: [Kind; 4] = [
    Kind::NginxArticle,
    Kind::Nginx,
    Kind::HaProxy,
    Kind::HolySheep,
];

/// Options of the subcommand.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How often each peer is measured at each number of connections [default: 5, quick: 2].
    #[arg(long)]
    rounds: Option<usize>,
    /// How long each peer is measured in a round, without warm-up [default: 2, quick: 0.5].
    #[arg(long)]
    seconds: Option<f64>,
    /// Numbers of connections, each with one request in flight.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 4, 16, 64, 256])]
    connections: Vec<usize>,
    /// Fewer and shorter rounds, for a first look.
    #[arg(long)]
    quick: bool,
    /// Only these: hyper-bare, nginx-article, nginx, haproxy, haproxy-no-delay, holysheep, holysheep-no-ebpf, holysheep-off,
    /// holysheep-limits, holysheep-ingress [default: nginx-article, nginx, haproxy, holysheep].
    #[arg(long, value_delimiter = ',', value_name = "PEERS")]
    peers: Option<Vec<Kind>>,
    /// The product's program [default: the dist build, else the release build].
    #[arg(long, value_name = "PATH")]
    proxy_bin: Option<PathBuf>,
    /// Write everything measured to this file, too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw requests a second by connections to this file.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// Measures and prints.
///
/// # Errors
/// When nothing can be measured or the report cannot be written.
pub(crate) async fn run(options: Options) -> Result<()> {
    let (rounds, seconds) = if options.quick { (2, 0.5) } else { (5, 2.0) };
    let plan = Plan {
        connections: &options.connections,
        rounds: options.rounds.unwrap_or(rounds),
        seconds: options.seconds.unwrap_or(seconds),
    };
    let kinds = options.peers.clone().unwrap_or_else(|| PEERS.to_vec());
    ensure!(is_unique(&kinds), "a peer was named twice");
    ensure!(!kinds.contains(&Kind::Direct), "direct is always measured");
    let most = options.connections.iter().copied().max().unwrap_or(0);
    ensure!(
        plan.rounds > 0 && plan.seconds > 0.0 && !options.connections.contains(&0) && most > 0,
        "rounds, seconds and connections must be greater than zero"
    );

    let cgroup = Cgroup::create();
    let rig = Rig::start()?;
    let ca = rig.ca();
    let site = Site {
        pool: most.max(POOL),
        ..rig.site(&ca, options.proxy_bin.as_deref(), cgroup.as_ref())
    };
    let mut report = Report {
        facts: Facts::gather(Some(rig.cpus())),
        missing: Vec::new(),
        rounds: plan.rounds,
        seconds: plan.seconds,
        connections: options.connections.clone(),
        ceiling: Vec::new(),
        turns: Vec::new(),
    };
    report::progress("the rig by itself:");
    let first = Plan { rounds: 1, ..plan };
    report.ceiling = first.measure(&rig, &site, &[Kind::Direct]).await?;
    let found = startable(kinds, &site, &mut report.facts, &mut report.missing).await?;
    // Among the peers once more: the machine is not as fast at all times.
    let kinds: Vec<_> = std::iter::once(Kind::Direct).chain(found).collect();
    report.turns = plan.measure(&rig, &site, &kinds).await?;
    report.print();
    if let Some(path) = &options.svg {
        report.draw(path)?;
    }
    match &options.json {
        Some(path) => report::write_json(path, &report),
        None => Ok(()),
    }
}
