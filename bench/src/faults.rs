//! `holysheep-bench faults`: one of three endpoints of an upstream fails, and is well again.
//!
//! A contender stands in front of a [`world`] of its own: three emulators behind one name, each at the end of an emulated
//! path. A steady [`load`] goes on while something happens to one of them ([`fault`]). [`turn`] measures one contender
//! and one fault, [`figures`] and [`table`] make of it what is printed.

mod contender;
mod fault;
mod figures;
mod load;
pub(crate) mod name_server;
mod table;
mod turn;
mod watch;
mod world;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use holysheep_emulator::DEFAULT_API_KEY;
use holysheep_emulator::tls::Authority;

use crate::cgroup::Cgroup;
use crate::facts::Facts;
use crate::peer::Kind;
use crate::prompts::is_unique;
use crate::report;
use crate::rig::Directory;
use contender::Site;
use fault::Fault;
use table::{Report, Turn};
use turn::Plan;

/// What is compared.
const PEERS: [Kind; 3] = [Kind::HolySheep, Kind::HolySheepNoEbpf, Kind::HaProxy];
/// Requests a second: what a path's threads and the rest carry on one CPU with room to spare.
const RATE: u32 = 150;
const ROUNDS: usize = 3;
/// Seconds before, during and after.
const SECONDS: [f64; 3] = [3.0, 6.0, 10.0];
const QUICK_SECONDS: [f64; 3] = [1.0, 4.0, 5.0];

/// Options of the subcommand.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only these: holysheep, holysheep-no-ebpf, haproxy [default: all].
    #[arg(long, value_delimiter = ',', value_name = "PEERS")]
    peers: Option<Vec<Kind>>,
    /// Only these: killed, restarted, blackhole, slow, malformed, cut, 503 [default: all].
    #[arg(long, value_delimiter = ',', value_name = "FAULTS")]
    faults: Option<Vec<Fault>>,
    /// Requests a second.
    #[arg(long, default_value_t = RATE)]
    rate: u32,
    /// How often each is measured [default: 3, quick: 1].
    #[arg(long)]
    rounds: Option<usize>,
    /// Seconds before, during and after a fault [default: 3,6,10, quick: 1,4,5]; a restart takes 2.
    #[arg(long, value_delimiter = ',', value_name = "SECONDS")]
    seconds: Option<Vec<f64>>,
    /// Shorter, and once, for a first look.
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
/// When there can be no paths (root and `/dev/net/tun` are needed), or the rig fails.
pub(crate) async fn run(options: Options) -> Result<()> {
    let (plan, mut report) = options.prepare()?;
    let peers = options.peers.clone().unwrap_or_else(|| PEERS.to_vec());
    ensure!(
        is_unique(&peers) && is_unique(&report.faults),
        "something was named twice"
    );
    let cgroup = Cgroup::create();
    let directory = Directory::create()?;
    let authority = Arc::new(Authority::new()?);
    let ca = directory.ca();
    authority.write_ca_pem(&ca)?;
    let site = Site {
        directory: directory.path(),
        ca: &ca,
        key: DEFAULT_API_KEY,
        proxy_binary: options.proxy_bin.as_deref(),
        cgroup: cgroup.as_ref(),
    };
    let mut left_out: Vec<Kind> = Vec::new();
    for round in 0..report.rounds {
        for fault in report.faults.clone() {
            for kind in &peers {
                if left_out.contains(kind) {
                    continue;
                }
                let measured = turn::measure(kind, fault, plan, &authority, &site).await;
                let is_new = !report.contenders.iter().any(|name| name == kind.name());
                match measured {
                    Ok((figures, version)) => {
                        if is_new {
                            let line = format!("{:<18} {version}", kind.name());
                            report.facts.versions.push(line);
                            report.contenders.push(kind.name().to_owned());
                        }
                        report::progress(&format!(
                            "{fault}, round {}/{}: {}: {} of {} failed",
                            round + 1,
                            report.rounds,
                            kind.name(),
                            figures.failed,
                            figures.requests
                        ));
                        report.turns.push(Turn {
                            fault,
                            contender: kind.name().to_owned(),
                            round,
                            figures,
                        });
                    }
                    Err(error) if is_new && round == 0 => {
                        let what = format!("{}: {error:#}", kind.name());
                        report::progress(&format!("left out: {what}"));
                        report.missing.push(what);
                        left_out.push(kind.clone());
                    }
                    Err(error) => return Err(error.context(format!("{fault}, {}", kind.name()))),
                }
            }
        }
    }
    report.load_average[1] = load_average();
    ensure!(
        !report.turns.is_empty(),
        "nothing was measured: {}",
        report.missing.join("; ")
    );
    report.print();
    match &options.json {
        Some(path) => report::write_json(path, &report),
        None => Ok(()),
    }
}

fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}

impl Options {
    fn prepare(&self) -> Result<(Plan, Report)> {
        let usual = if self.quick { QUICK_SECONDS } else { SECONDS };
        let seconds = self.seconds.clone().unwrap_or_else(|| usual.to_vec());
        let seconds = <[f64; 3]>::try_from(seconds);
        let seconds = seconds.ok().context("--seconds takes three numbers")?;
        let times = seconds.map(Duration::try_from_secs_f64);
        let [before, during, after] = times;
        ensure!(
            (1..=1000).contains(&self.rate),
            "--rate is between 1 and 1000"
        );
        let plan = Plan {
            before: before.context("--seconds")?,
            during: during.context("--seconds")?,
            after: after.context("--seconds")?,
            rate: self.rate,
        };
        let rounds = self.rounds.unwrap_or(if self.quick { 1 } else { ROUNDS });
        ensure!(rounds > 0, "--rounds has to be greater than 0");
        let report = Report {
            facts: Facts::gather(None),
            load_average: [load_average(), String::new()],
            rate: self.rate,
            seconds,
            rounds,
            faults: self.faults.clone().unwrap_or_else(|| Fault::ALL.to_vec()),
            contenders: Vec::new(),
            missing: Vec::new(),
            turns: Vec::new(),
        };
        Ok((plan, report))
    }
}
