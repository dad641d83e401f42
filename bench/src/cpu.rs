//! `holysheep-bench cpu`: CPU time per proxied request, peer against peer.
//!
//! Every peer has one worker on one CPU; the load generator and the upstream
//! share another. A round starts all peers, loads them in turn in slices of a
//! quarter of a second, and stops them: a shared machine changes its speed
//! within seconds, and the slices make that meet all of them alike. One start
//! of a program differs from the next by some percent, as its memory lies
//! elsewhere; the spread over rounds shows that. [`turn`] measures, [`crate::peer`] starts, [`crate::report`] prints.

mod turn;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;

use crate::cgroup::Cgroup;
use crate::facts::Facts;
use crate::peer::{Gateways, Kind, Peer, Site};
use crate::report::{self, Report};
use crate::rig::Rig;
use crate::syscalls;
pub(crate) use turn::Turn;
#[cfg(test)]
pub(crate) use turn::turn_of;

/// Options of the subcommand.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How often each peer is measured at each number of connections [default: 5, quick: 3].
    #[arg(long)]
    rounds: Option<usize>,
    /// How long each peer is measured in a round, without warm-up [default: 4, quick: 1].
    #[arg(long)]
    seconds: Option<f64>,
    /// Numbers of connections, each with one request in flight.
    #[arg(long, value_delimiter = ',', default_values_t = [4, 32])]
    connections: Vec<usize>,
    /// Fewer and shorter rounds, for a first look.
    #[arg(long)]
    quick: bool,
    /// Only these: direct, hyper-bare, nginx-article, nginx, haproxy, haproxy-no-delay, holysheep,
    /// holysheep-no-ebpf, holysheep-off, holysheep-limits, holysheep-ingress, litellm, portkey.
    #[arg(long, value_delimiter = ',', value_name = "PEERS")]
    only: Option<Vec<Kind>>,
    /// One more peer; `{port}`, `{upstream_port}` and `{ca}` are filled in. Words are separated by
    /// spaces, paths among them must be absolute. May be repeated.
    #[arg(long, value_name = "NAME=COMMANDLINE", value_parser = Kind::parse_extra)]
    extra: Vec<Kind>,
    #[command(flatten)]
    gateways: Gateways,
    /// The product's program [default: the dist build, else the release build].
    #[arg(long, value_name = "PATH")]
    proxy_bin: Option<PathBuf>,
    /// Switch off the access logs of nginx and HAProxy, but not the product's.
    #[arg(long)]
    peers_without_log: bool,
    /// Do not count system calls.
    #[arg(long)]
    no_syscalls: bool,
    /// Write everything measured to this file, too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw CPU time per request to this file.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// Measures `usual` or what the options name instead, and prints.
///
/// # Errors
/// When nothing can be measured or the report cannot be written.
pub(crate) async fn run(options: Options, usual: &[Kind]) -> Result<()> {
    let rounds = options.rounds.unwrap_or(if options.quick { 3 } else { 5 });
    let seconds = options
        .seconds
        .unwrap_or(if options.quick { 1.0 } else { 4.0 });
    ensure!(
        rounds > 0 && seconds > 0.0,
        "rounds and seconds must be greater than zero"
    );
    let kinds = options.kinds(usual)?;

    let cgroup = Cgroup::create();
    let rig = Rig::start()?;
    let ca = rig.ca();
    let site = Site {
        access_log: !options.peers_without_log,
        ..rig.site(&ca, options.proxy_bin.as_deref(), cgroup.as_ref())
    };
    let mut report = Report {
        facts: Facts::gather(Some(rig.cpus())),
        access_logs: !options.peers_without_log,
        missing: Vec::new(),
        rounds,
        seconds,
        connections: options.connections.clone(),
        turns: Vec::new(),
        syscalls: Vec::new(),
    };
    let (facts, missing) = (&mut report.facts, &mut report.missing);
    let kinds = startable(kinds, &site, facts, missing).await?;
    let plan = Plan {
        connections: &options.connections,
        rounds,
        seconds,
    };
    report.turns = plan.measure(&rig, &site, &kinds).await?;
    if !options.no_syscalls {
        count_syscalls(&rig, &site, &kinds, &mut report).await;
    }
    report.print();
    if let Some(path) = &options.svg {
        report.draw(path)?;
    }
    match &options.json {
        Some(path) => report.write_json(path),
        None => Ok(()),
    }
}

impl Options {
    /// What to measure, in the order of the table.
    fn kinds(&self, usual: &[Kind]) -> Result<Vec<Kind>> {
        let mut kinds = self.only.clone().unwrap_or_else(|| usual.to_vec());
        kinds.extend(self.extra.iter().cloned());
        let kinds = self.gateways.after(kinds);
        for (index, kind) in kinds.iter().enumerate() {
            let unique = kinds[..index]
                .iter()
                .all(|other| other.name() != kind.name());
            ensure!(unique, "two peers are named {}", kind.name());
        }
        Ok(kinds)
    }
}

/// How often and how long is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan<'a> {
    /// Numbers of connections, one after the other.
    pub(crate) connections: &'a [usize],
    pub(crate) rounds: usize,
    /// How long each peer is measured in a round.
    pub(crate) seconds: f64,
}

impl Plan<'_> {
    /// Measures all of these, and tells of each turn.
    ///
    /// # Errors
    /// When a peer cannot be started or ends.
    pub(crate) async fn measure(
        &self,
        rig: &Rig,
        site: &Site<'_>,
        kinds: &[Kind],
    ) -> Result<Vec<Turn>> {
        let mut turns = Vec::new();
        for &connections in self.connections {
            for round in 0..self.rounds {
                let mut peers = Vec::new();
                for kind in order(kinds, round) {
                    peers.push(Peer::start(kind, site).await?);
                }
                let place = (connections, round);
                for turn in turn::round(rig, &peers, place, self.seconds).await? {
                    report::progress_turn(&turn, self.rounds);
                    turns.push(turn);
                }
            }
        }
        Ok(turns)
    }
}

/// Starts each peer once; those that cannot be started are left out and reported.
///
/// # Errors
/// When none can be.
pub(crate) async fn startable(
    kinds: Vec<Kind>,
    site: &Site<'_>,
    facts: &mut Facts,
    missing: &mut Vec<String>,
) -> Result<Vec<Kind>> {
    let mut found = Vec::new();
    for kind in kinds {
        match Peer::start(&kind, site).await {
            Ok(peer) => {
                let version = format!("{:<16} {}", peer.name, peer.version);
                report::progress(&version);
                facts.versions.push(version);
                found.push(kind);
            }
            Err(error) => missing.push(format!("{}: {error:#}", kind.name())),
        }
    }
    ensure!(
        !found.is_empty(),
        "nothing to measure: {}",
        missing.join("; ")
    );
    Ok(found)
}

/// Rotated by one each time, and reversed every other time, so that neighbours change, too.
pub(crate) fn order<T>(all: &[T], round: usize) -> Vec<&T> {
    let mut order: Vec<&T> = all.iter().collect();
    order.rotate_left(round % all.len().max(1));
    if round % 2 == 1 {
        order.reverse();
    }
    order
}

/// Counts every peer's system calls at every number of connections measured; a failure is reported
/// and ends nothing.
async fn count_syscalls(rig: &Rig, site: &Site<'_>, kinds: &[Kind], report: &mut Report) {
    for (connections, kind) in counts(&report.connections, kinds) {
        let what = format!(
            "system calls of {} at {connections} connections",
            kind.name()
        );
        report::progress(&format!("counting {what}"));
        let count = async {
            let peer = Peer::start(kind, site).await?;
            syscalls::count(&peer, connections, rig.directory(), rig.own_cpu).await
        };
        match count.await {
            Ok(calls) => report.syscalls.push(calls),
            Err(error) => report.missing.push(format!("{what}: {error:#}")),
        }
    }
}

/// What has system calls to count, by number of connections. With AI gateways it would take minutes and say little: what
/// they do is in user mode.
fn counts<'a>(connections: &[usize], kinds: &'a [Kind]) -> Vec<(usize, &'a Kind)> {
    let proxies = kinds
        .iter()
        .filter(|kind| **kind != Kind::Direct && !kind.is_gateway());
    connections
        .iter()
        .flat_map(|&connections| proxies.clone().map(move |kind| (connections, kind)))
        .collect()
}

#[cfg(test)]
mod tests;
