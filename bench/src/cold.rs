//! `holysheep-bench cold`: what a request costs whose proxy has no connection for it, over an emulated path of 30 ms.
//!
//! Contenders are no proxy at all, with TLS from the client over the path, and proxies beside the client. Each of them is
//! started anew in each round and has a path of its own, so all of them wait out an idle time together. [`turn`] says in
//! which situations requests are sent and sends them, [`table`] prints.

mod table;
mod turn;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::cgroup::Cgroup;
use crate::cpu::order;
use crate::facts::Facts;
use crate::latency::{self, place::Place};
use crate::peer::{Kind, Site};
use crate::prompts::is_unique;
use crate::report::{progress, write_json};
use crate::rig::Directory;
use crate::upstream::hosted::Upstream;
use table::Report;
use turn::Course;

/// What is compared, in the order of the table.
const PEERS: [Kind; 4] = [Kind::Direct, Kind::HolySheep, Kind::Nginx, Kind::HaProxy];

/// From a host to upstream and back.
const ROUND_TRIP: Duration = Duration::from_millis(30);

/// Options of the subcommand.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How often each contender is started and measured [default: 10, quick: 3].
    #[arg(long)]
    rounds: Option<usize>,
    /// For how many seconds upstream keeps a connection that nobody uses.
    #[arg(long, default_value_t = 3.0)]
    keep_alive: f64,
    /// For how many seconds the pool is idle; more than upstream keeps connections.
    #[arg(long, default_value_t = 5.0)]
    idle: f64,
    /// Requests at once, each of a client of its own.
    #[arg(long, default_value_t = 16)]
    burst: usize,
    /// Fewer rounds, for a first look.
    #[arg(long)]
    quick: bool,
    /// Only these: direct, nginx-article, nginx, haproxy, haproxy-no-delay, holysheep, holysheep-no-ebpf, holysheep-off,
    /// holysheep-limits [default: direct, holysheep, nginx, haproxy].
    #[arg(long, value_delimiter = ',', value_name = "PEERS")]
    peers: Option<Vec<Kind>>,
    /// The product's program [default: the dist build, else the release build].
    #[arg(long, value_name = "PATH")]
    proxy_bin: Option<PathBuf>,
    /// Write everything measured to this file, too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw the time of each situation to this file.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// Measures and prints.
///
/// # Errors
/// When nothing can be measured, there can be no path, or the report cannot be written.
pub(crate) async fn run(options: Options) -> Result<()> {
    let rounds = options.rounds.unwrap_or(if options.quick { 3 } else { 10 });
    let kinds = options.peers.clone().unwrap_or_else(|| PEERS.to_vec());
    ensure!(is_unique(&kinds), "a peer was named twice");
    ensure!(
        rounds > 0 && options.burst > 0,
        "--rounds and --burst have to be greater than 0"
    );
    let keep_alive = Duration::try_from_secs_f64(options.keep_alive).context("--keep-alive")?;
    let course = Course {
        idle: Duration::try_from_secs_f64(options.idle).context("--idle")?,
        burst: options.burst,
    };
    ensure!(
        keep_alive > turn::STARTED,
        "--keep-alive has to be greater than 1, which is when the first request comes"
    );
    ensure!(
        course.idle > keep_alive,
        "--idle has to be greater than --keep-alive"
    );

    let cgroup = Cgroup::create();
    let directory = Directory::create()?;
    let ca = directory.ca();
    let acceptor = latency::acceptor(Some(ROUND_TRIP), &directory)?;
    let upstream = Upstream::keeping(acceptor, Duration::ZERO, keep_alive)?;
    let site = Site {
        proxy_binary: options.proxy_bin.as_deref(),
        cgroup: cgroup.as_ref(),
        ..Site::new(directory.path(), &ca)
    };
    let mut report = Report {
        facts: Facts::gather(None),
        contenders: Vec::new(),
        missing: Vec::new(),
        rounds,
        keep_alive_s: options.keep_alive,
        idle_s: options.idle,
        burst: options.burst,
        samples: Vec::new(),
    };
    let places = places(&kinds, &upstream, &site, &mut report).await?;
    for round in 0..rounds {
        let samples = course.round(&order(&places, round), &site, round).await?;
        report.samples.extend(samples);
        progress(&report.line(round));
    }
    for place in &places {
        let overruns = place.overruns()?;
        ensure!(overruns == 0, "{overruns} packets came too fast for a path");
    }
    report.print();
    if let Some(path) = &options.svg {
        report.draw(path)?;
    }
    match &options.json {
        Some(path) => write_json(path, &report),
        None => Ok(()),
    }
}

/// A place for each contender that can be started; the others are reported.
async fn places(
    kinds: &[Kind],
    upstream: &Upstream,
    site: &Site<'_>,
    report: &mut Report,
) -> Result<Vec<Place>> {
    let mut places = Vec::new();
    for kind in kinds {
        // A signal that came meanwhile ends the bench here.
        tokio::task::yield_now().await;
        let place = Place::new(kind, Some(ROUND_TRIP), upstream)?;
        match place.start(site).await {
            Ok(peer) => {
                let version = format!("{:<14} {}", peer.name, peer.version);
                progress(&version);
                report.facts.versions.push(version);
                report.contenders.push(kind.name().to_owned());
                places.push(place);
            }
            Err(error) => report.missing.push(format!("{}: {error:#}", kind.name())),
        }
    }
    ensure!(
        !places.is_empty(),
        "nothing to measure: {}",
        report.missing.join("; ")
    );
    Ok(places)
}
