//! `holysheep-bench latency` and `holysheep-bench table`: how long requests take through each contender.
//!
//! The same requests at the same times to everyone, in an open loop. `latency` is on loopback, before an upstream that
//! answers at once: what is left is what a proxy adds. `table` is the article's: an emulated path of 30 ms
//! before upstream, which thinks as long as it takes for direct to show the article's figures ([`thinking`]).
//! [`schedule`] says what is sent and when, [`open_loop`] sends it, [`place`] is where a contender runs, [`turn`] measures a
//! round, [`shares`] reads the product's own timings; [`report`] adds up, [`busy`] says who could not keep up, and [`table`], [`verdict`] and [`plot`] show it.

mod busy;
mod open_loop;
pub(crate) mod place;
mod plot;
mod report;
mod schedule;
mod shares;
mod table;
mod thinking;
mod turn;
mod verdict;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;

use crate::awake::Awake;
use crate::cgroup::Cgroup;
use crate::cpu::order;
use crate::facts::Facts;
use crate::peer::{Gateways, Kind, Site};
use crate::prompts::is_unique;
use crate::report::{progress, write_json};
use crate::rig::{Directory, take_cpus};
use crate::statistics::Spread;
use crate::upstream::hosted::Upstream;
use place::Place;
use report::Report;
use schedule::Plan;
use turn::Stage;

/// What both compare.
const PEERS: [Kind; 6] = [
    Kind::Direct,
    Kind::HolySheep,
    Kind::HolySheepIngress,
    Kind::Nginx,
    Kind::HaProxy,
    Kind::NginxArticle,
];

/// How often the rig's own ceiling is measured, and with how many requests.
const CEILINGS: usize = 3;
const CEILING_REQUESTS: usize = 10_000;

/// Which of the two benches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Bench {
    /// On loopback.
    Latency,
    /// Over the emulated path, with the article's distribution.
    Table,
}

/// What a bench does unless told otherwise; in a quick run other numbers of rounds and requests.
struct Usual {
    rounds: [usize; 2],
    requests: [usize; 2],
    rate: f64,
    connections: usize,
    round_trip: Option<Duration>,
}

impl Bench {
    /// What is compared, in the order of the table.
    fn peers(self) -> Vec<Kind> {
        let mut peers = PEERS.to_vec();
        if self == Self::Latency {
            // The floor: most of what a proxy adds on loopback is the waking of its process.
            peers.insert(1, Kind::Bare);
        }
        peers
    }

    fn usual(self) -> Usual {
        match self {
            Self::Latency => Usual {
                rounds: [7, 3],
                requests: [2_000, 1_000],
                rate: 500.0,
                connections: 8,
                round_trip: None,
            },
            // The article's nginx has some twenty-five requests under way at this rate.
            Self::Table => Usual {
                rounds: [5, 2],
                requests: [2_000, 500],
                rate: 250.0,
                connections: 64,
                round_trip: Some(thinking::ROUND_TRIP),
            },
        }
    }
}

/// Options of both subcommands.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How often each contender is started and measured [default: table 5, quick: 2; latency 7, quick: 3].
    #[arg(long)]
    rounds: Option<usize>,
    /// Requests to each contender in a round [default: 2000, quick: table 500, latency 1000].
    #[arg(long)]
    requests: Option<usize>,
    /// Requests a second, at random times [default: table 250, latency 500].
    #[arg(long)]
    rate: Option<f64>,
    /// Connections of clients to each contender; what finds none free waits, and that counts [default: table 64,
    /// latency 8].
    #[arg(long)]
    connections: Option<usize>,
    /// Where times of arrival, and of thinking, start from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Fewer rounds and requests, for a first look.
    #[arg(long)]
    quick: bool,
    /// Only these: direct, hyper-bare, nginx-article, nginx, haproxy, haproxy-no-delay, holysheep, holysheep-no-ebpf, holysheep-off,
    /// holysheep-limits, holysheep-ingress, litellm, portkey
    /// [default: direct, holysheep, holysheep-ingress, nginx, haproxy, nginx-article; latency hyper-bare, too].
    #[arg(long, value_delimiter = ',', value_name = "PEERS")]
    peers: Option<Vec<Kind>>,
    /// One more peer; `{port}`, `{upstream_port}` and `{ca}` are filled in. Words are separated by spaces, paths among
    /// them must be absolute. May be repeated.
    #[arg(long, value_name = "NAME=COMMANDLINE", value_parser = Kind::parse_extra)]
    extra: Vec<Kind>,
    /// Keep both CPUs from sleeping, by loops at idle priority: what contenders add by themselves, without what it costs
    /// to wake a CPU up.
    #[arg(long)]
    awake: bool,
    #[command(flatten)]
    gateways: Gateways,
    /// The product's program [default: the dist build, else the release build].
    #[arg(long, value_name = "PATH")]
    proxy_bin: Option<PathBuf>,
    /// Write everything measured to this file, too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw latency by percentile to this file, a line for each contender.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// Measures and prints.
///
/// # Errors
/// When nothing can be measured, there can be no path, or the report cannot be written.
pub(crate) async fn run(bench: Bench, options: Options) -> Result<()> {
    let usual = bench.usual();
    let stage_plan = options.plan(bench)?;
    let rounds = options.rounds(&usual);
    let mut kinds = options.peers.clone().unwrap_or_else(|| bench.peers());
    kinds.extend(options.extra.iter().cloned());
    let kinds = options.gateways.after(kinds);
    ensure!(is_unique(&kinds), "a peer was named twice");
    ensure!(rounds > 0, "--rounds has to be greater than 0");

    let cpus = take_cpus()?;
    let awake = options.awake.then(|| Awake::keep(&[cpus.0, cpus.1]));
    let _awake = awake.transpose()?;
    let cgroup = Cgroup::create();
    let directory = Directory::create()?;
    let ca = directory.ca();
    let acceptor = acceptor(usual.round_trip, &directory)?;
    let upstream = Upstream::start(acceptor, Duration::ZERO)?;
    let stage = Stage {
        site: Site {
            cpu: Some(cpus.1),
            proxy_binary: options.proxy_bin.as_deref(),
            cgroup: cgroup.as_ref(),
            ..Site::new(directory.path(), &ca)
        },
        cpus,
        plan: stage_plan,
        connections: options.connections.unwrap_or(usual.connections),
    };
    ensure!(
        stage.connections > 1,
        "--connections has to be greater than 1"
    );
    let ceiling = ceiling(&stage, &usual, &upstream).await?;
    let mut report = Report::new(
        bench,
        &stage,
        options.awake,
        rounds,
        Facts::gather(Some(cpus)),
        ceiling,
    );
    let places = places(&kinds, &usual, &upstream, &stage, &mut report).await?;
    let mut outcome = Ok(());
    for round in 0..rounds {
        match stage.round(&places, round).await {
            Ok(turns) => report.add(turns)?,
            // What was measured before is shown with the failure.
            Err(error) => {
                outcome = Err(error);
                break;
            }
        }
    }
    for place in &places {
        report.overruns += place.overruns()?;
    }
    report.finish();
    report.print();
    if let Some(path) = &options.json {
        write_json(path, &report)?;
    }
    if let Some(path) = &options.svg {
        plot::draw(path, &report)?;
    }
    outcome
}

impl Options {
    fn rounds(&self, usual: &Usual) -> usize {
        let [all, quick] = usual.rounds;
        self.rounds.unwrap_or(if self.quick { quick } else { all })
    }

    fn plan(&self, bench: Bench) -> Result<Plan> {
        let usual = bench.usual();
        let [all, quick] = usual.requests;
        let plan = Plan {
            requests: self
                .requests
                .unwrap_or(if self.quick { quick } else { all }),
            rate: self.rate.unwrap_or(usual.rate),
            seed: self.seed,
            thinks: bench == Bench::Table,
            gateway: false,
        };
        ensure!(plan.requests > 0, "--requests has to be greater than 0");
        ensure!(
            plan.rate.is_finite() && plan.rate > 0.0,
            "--rate has to be greater than 0"
        );
        Ok(plan)
    }
}

/// Upstream's TLS, for the names by which contenders know it: an address on a path, or `localhost`.
pub(crate) fn acceptor(
    round_trip: Option<Duration>,
    directory: &Directory,
) -> Result<tokio_rustls::TlsAcceptor> {
    let mut names = vec!["localhost".to_owned()];
    if let Some(round_trip) = round_trip {
        // All paths have the same addresses, in namespaces of their own.
        names.push(place::path(round_trip)?.server().ipv4().to_string());
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    crate::upstream::acceptor(&directory.ca(), &names)
}

/// What the rig can do by itself, in requests a second: over a path without a delay where there is one.
async fn ceiling(stage: &Stage<'_>, usual: &Usual, upstream: &Upstream) -> Result<Spread> {
    let round_trip = usual.round_trip.map(|_| Duration::ZERO);
    let direct = Place::new(&Kind::Direct, round_trip, upstream)?;
    let mut ceilings = Vec::new();
    for _ in 0..CEILINGS {
        ceilings.push(stage.ceiling(&direct, CEILING_REQUESTS).await?);
    }
    let ceiling = Spread::of(ceilings.iter().copied());
    let ceiling = ceiling.ok_or_else(|| anyhow::anyhow!("no ceiling"))?;
    progress(&table::ceiling(ceiling, stage.plan.rate));
    Ok(ceiling)
}

/// A place for each contender that can be started; the others are reported.
async fn places(
    kinds: &[Kind],
    usual: &Usual,
    upstream: &Upstream,
    stage: &Stage<'_>,
    report: &mut Report,
) -> Result<Vec<Place>> {
    let mut places = Vec::new();
    for kind in order(kinds, 0) {
        // A signal that came meanwhile ends the bench here.
        tokio::task::yield_now().await;
        let place = Place::new(kind, usual.round_trip, upstream)?;
        match place.start(&stage.site).await {
            Ok(peer) => {
                let version = format!("{:<18} {}", peer.name, peer.version);
                progress(&version);
                report.facts.versions.push(version);
                report.contenders.push(kind.name().to_owned());
                if kind.is_gateway() {
                    report.gateways.push(kind.name().to_owned());
                }
                places.push(place);
            }
            Err(error) => {
                let what = format!("{}: {error:#}", kind.name());
                progress(&format!("left out: {what}"));
                report.missing.push(what);
            }
        }
    }
    ensure!(!places.is_empty(), "nothing to measure");
    Ok(places)
}
