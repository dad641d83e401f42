//! `holysheep-bench memory`: what each proxy holds, and how soon it is there.
//!
//! One contender at a time, with nothing else on its CPU. Memory is the proportional set size of all its processes: what
//! they share counts once. It is read when it has stopped changing: of the started proxy, with connections that idle
//! after one request each, with streams that wait for their next event, and after all of them have gone. Memory of the
//! kernel's, as for sockets, is in none of it. [`clients`] opens connections and streams, [`table`] prints.

mod clients;
mod table;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Serialize;

use crate::cgroup::Cgroup;
use crate::cpu::startable;
use crate::facts::Facts;
use crate::peer::{CLIENTS, Gateways, Kind, Peer, Site};
use crate::process::raise_descriptors;
use crate::prompts::is_unique;
use crate::report;
use crate::rig::Rig;
use clients::Clients;
use table::Report;

/// What is compared, in the order of the table.
const PEERS: [Kind; 4] = [Kind::Bare, Kind::Nginx, Kind::HaProxy, Kind::HolySheep];

/// Between two looks at a process' memory.
const LOOK: Duration = Duration::from_millis(250);
/// Looks without a change of [`STEADY`] after which it counts as settled.
const LOOKS: usize = 8;
/// So much is no change, in KiB.
const STEADY: u64 = 64;
/// Looks after which it is taken as it is.
const PATIENCE: usize = 80;

/// AI gateways take seconds to start, and are started no more often than this.
const GATEWAY_STARTS: usize = 3;

/// Options of the subcommand.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Numbers of connections that idle.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 10_000])]
    connections: Vec<usize>,
    /// Number of streams.
    #[arg(long, default_value_t = 1_000)]
    streams: usize,
    /// How often each contender is started [default: 10, quick: 3].
    #[arg(long)]
    starts: Option<usize>,
    /// Fewer connections, streams and starts, for a first look.
    #[arg(long)]
    quick: bool,
    /// Only these: hyper-bare, nginx-article, nginx, haproxy, haproxy-no-delay, holysheep, holysheep-no-ebpf, holysheep-off,
    /// holysheep-limits, holysheep-ingress, litellm, portkey
    /// [default: hyper-bare, nginx, haproxy, holysheep].
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
}

/// What is open while memory is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Held {
    /// Nothing yet.
    Nothing,
    /// So many connections that idle.
    Connections(usize),
    /// So many streams.
    Streams(usize),
    /// Nothing any more, after so many connections.
    Gone(usize),
}

/// The memory of one contender at one time, in KiB.
#[derive(Debug, Clone, Copy, Serialize)]
struct Memory {
    held: Held,
    kib: u64,
}

/// What one contender holds.
#[derive(Debug, Serialize)]
struct Holding {
    contender: String,
    /// Milliseconds from its start to its first right answer, of each start.
    starts_ms: Vec<f64>,
    /// In the order in which it was read.
    memory: Vec<Memory>,
}

/// Measures and prints.
///
/// # Errors
/// When nothing can be measured or the report cannot be written.
pub(crate) async fn run(options: Options) -> Result<()> {
    let kinds = options.peers.clone().unwrap_or_else(|| PEERS.to_vec());
    let kinds = options.gateways.after(kinds);
    ensure!(is_unique(&kinds), "a peer was named twice");
    ensure!(!kinds.contains(&Kind::Direct), "direct has no process");
    let plan = options.plan()?;
    open_files(plan.most())?;
    let cgroup = Cgroup::create();
    let rig = Rig::start()?;
    let ca = rig.ca();
    let site = rig.site(&ca, options.proxy_bin.as_deref(), cgroup.as_ref());
    let mut report = Report {
        facts: Facts::gather(Some(rig.cpus())),
        missing: Vec::new(),
        holdings: Vec::new(),
    };
    let kinds = startable(kinds, &site, &mut report.facts, &mut report.missing).await?;
    for kind in &kinds {
        match measure(kind, &site, &plan).await {
            Ok(holding) => report.holdings.push(holding),
            Err(error) => report.missing.push(format!("{}: {error:#}", kind.name())),
        }
    }
    report.print();
    match &options.json {
        Some(path) => report::write_json(path, &report),
        None => Ok(()),
    }
}

/// What is measured of each contender.
#[derive(Debug)]
struct Plan {
    connections: Vec<usize>,
    streams: usize,
    starts: usize,
}

impl Plan {
    /// Most clients at a time.
    fn most(&self) -> usize {
        let connections = self.connections.iter().copied().max();
        connections.unwrap_or_default().max(self.streams)
    }
}

impl Options {
    fn plan(&self) -> Result<Plan> {
        ensure!(
            self.streams > 0 && !self.connections.contains(&0),
            "--streams and --connections have to be greater than 0"
        );
        let few = |count: usize| if self.quick { count.min(500) } else { count };
        let mut connections: Vec<_> = self.connections.iter().map(|count| few(*count)).collect();
        connections.sort_unstable();
        connections.dedup();
        let starts = self.starts.unwrap_or(if self.quick { 3 } else { 10 });
        ensure!(starts > 0, "--starts has to be greater than 0");
        Ok(Plan {
            connections,
            streams: few(self.streams),
            starts,
        })
    }
}

/// Lets this process and those it starts have as many connections as that takes, on both sides.
fn open_files(clients: usize) -> Result<()> {
    let wanted = 2 * clients + 1_000;
    ensure!(
        raise_descriptors(wanted)? >= wanted,
        "{clients} clients need {wanted} open files (ulimit -n), or fewer --connections"
    );
    Ok(())
}

async fn measure(kind: &Kind, site: &Site<'_>, plan: &Plan) -> Result<Holding> {
    let name = kind.name();
    let mut starts_ms = Vec::new();
    let starts = match kind.is_gateway() {
        true => plan.starts.min(GATEWAY_STARTS),
        false => plan.starts,
    };
    for _ in 0..starts {
        let took = Peer::start(kind, site).await?.took;
        starts_ms.push(took.as_secs_f64() * 1e3);
    }
    // Fresh for connections, fresh for streams: what the one leaves behind must not count for the other.
    let mut memory = connections(kind, site, plan).await?;
    memory.extend(streams(kind, site, plan).await?);
    report::progress(&format!("{name}: measured"));
    Ok(Holding {
        contender: name.to_owned(),
        starts_ms,
        memory,
    })
}

async fn connections(kind: &Kind, site: &Site<'_>, plan: &Plan) -> Result<Vec<Memory>> {
    let mut memory = Vec::new();
    for &count in &plan.connections {
        let peer = Peer::start(kind, &sized(site, count)).await?;
        memory.push(look(&peer, Held::Nothing).await?);
        let mut clients = Clients::default();
        clients.idle(&peer.target, count).await?;
        memory.push(look(&peer, Held::Connections(count)).await?);
        clients.check().await?;
        drop(clients);
        memory.push(look(&peer, Held::Gone(count)).await?);
    }
    Ok(memory)
}

async fn streams(kind: &Kind, site: &Site<'_>, plan: &Plan) -> Result<Vec<Memory>> {
    let peer = Peer::start(kind, &sized(site, plan.streams)).await?;
    let mut memory = vec![look(&peer, Held::Nothing).await?];
    let mut clients = Clients::default();
    clients.stream(&peer.target, plan.streams).await?;
    memory.push(look(&peer, Held::Streams(plan.streams)).await?);
    clients.check().await?;
    Ok(memory)
}

/// A site for so many clients.
fn sized<'a>(site: &Site<'a>, clients: usize) -> Site<'a> {
    Site {
        clients: clients.max(CLIENTS),
        ..*site
    }
}

/// The memory of all processes of a peer, once it has stopped changing.
async fn look(peer: &Peer, held: Held) -> Result<Memory> {
    let mut seen: Vec<u64> = Vec::new();
    for _ in 0..PATIENCE {
        tokio::time::sleep(LOOK).await;
        seen.push(proportional_kib(&peer.processes()?)?);
        let last = &seen[seen.len().saturating_sub(LOOKS)..];
        let (least, most) = (last.iter().min(), last.iter().max());
        let change = most.zip(least).map_or(0, |(most, least)| most - least);
        if last.len() == LOOKS && change <= STEADY {
            break;
        }
    }
    let kib = seen.last().copied().unwrap_or_default();
    report::progress(&format!("{}: {held:?}: {kib} KiB", peer.name));
    Ok(Memory { held, kib })
}

/// The proportional set size of processes, in KiB.
fn proportional_kib(processes: &[u32]) -> Result<u64> {
    let mut sum = 0;
    for pid in processes {
        let path = format!("/proc/{pid}/smaps_rollup");
        let text = std::fs::read_to_string(&path).context(path.clone())?;
        sum += parse_pss(&text).context(path)?;
    }
    Ok(sum)
}

fn parse_pss(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proportional_size_is_read_and_no_other() {
        let text = "55d0-7ffc ---p 00000000 00:00 0 [rollup]\nRss:            3456 kB\n\
                    Pss:            1234 kB\nPss_Dirty:       900 kB\n";
        assert_eq!(parse_pss(text), Some(1234));
        assert_eq!(parse_pss("Rss: 1 kB\n"), None);
        let own = proportional_kib(&[std::process::id()]).unwrap();
        assert!(own > 100, "{own}");
    }
}
