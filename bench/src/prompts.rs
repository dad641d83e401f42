//! `holysheep-bench prompts`: how long requests with long prompts take over paths with a delay, losses, or a narrow link.
//!
//! Contenders are no proxy at all (TLS from the client over the path) and proxies that run in the client's host. Each
//! of them has a [`lane`] for each of the [`paths`] and sizes: hosts, a path and a process of its own. [`plan`]
//! says what is to be measured and what may take turns, [`course`] sends the requests, one at a time,
//! [`hosted`](crate::upstream::hosted) answers them. [`cell`], [`verdict`] and [`table`] make of it what is printed.

mod cell;
mod course;
mod lane;
mod paths;
mod plan;
mod table;
mod verdict;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::cgroup::Cgroup;
use crate::facts::Facts;
use crate::peer::{Kind, Site};
use crate::report;
use crate::rig::Directory;
use crate::upstream::hosted::Upstream;
use course::Course;
use lane::Lane;
use paths::{Emulated, Settings};
use plan::{Situation, Size};
use table::Report;

/// What is compared.
const PEERS: [Kind; 5] = [
    Kind::Direct,
    Kind::Nginx,
    Kind::HaProxy,
    Kind::HolySheep,
    Kind::HolySheepOff,
];

/// Bytes of bodies; in a quick run only these of them.
const SIZES: [Size; 4] = [Size(4_000), Size(40_000), Size(400_000), Size(2_000_000)];
const QUICK_SIZES: [Size; 2] = [Size(40_000), Size(400_000)];
/// Paths of a quick run.
const QUICK_PATHS: [&str; 2] = ["30ms", paths::NARROW];
/// Pauses, in seconds; in a quick run only these of them.
const IDLE: [f64; 3] = [0.1, 1.0, 30.0];
const QUICK_IDLE: [f64; 2] = [0.1, 1.0];
/// Samples of cells with short prompts and short pauses.
const SAMPLES: usize = 12;
const QUICK_SAMPLES: usize = 4;

/// Options of the subcommand.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only these: direct, nginx-article, nginx, haproxy, haproxy-no-delay, holysheep, holysheep-no-ebpf, holysheep-off,
    /// holysheep-limits, holysheep-ingress
    /// [default: direct, nginx, haproxy, holysheep, holysheep-off].
    #[arg(long, value_delimiter = ',', value_name = "PEERS")]
    peers: Option<Vec<Kind>>,
    /// Only these paths: 5ms, 30ms, 100ms, loss, narrow [default: all, quick: 30ms, narrow].
    #[arg(long, value_delimiter = ',', value_name = "PATHS")]
    paths: Option<Vec<String>>,
    /// Sizes of request bodies [default: 4KB,40KB,400KB,2MB, quick: 40KB,400KB].
    #[arg(long, value_delimiter = ',', value_name = "SIZES")]
    sizes: Option<Vec<Size>>,
    /// For how many seconds a kept connection is idle before a request [default: 0.1,1,30, quick: 0.1,1].
    #[arg(long, value_delimiter = ',', value_name = "SECONDS")]
    idle: Option<Vec<f64>>,
    /// Samples of short prompts after short pauses; of others fewer, in proportion [default: 12, quick: 4].
    #[arg(long)]
    samples: Option<usize>,
    /// Fewer of everything, for a first look.
    #[arg(long)]
    quick: bool,
    #[command(flatten)]
    settings: Settings,
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
/// When there can be no path (root and `/dev/net/tun` are needed), or a request fails.
pub(crate) async fn run(options: Options) -> Result<()> {
    let wanted = options.wanted()?;
    let cgroup = Cgroup::create();
    let directory = Directory::create()?;
    let ca = directory.ca();
    // Proxies are given an address, and verify it or `localhost`.
    let server = wanted.first_path()?.start().map_err(no_path)?;
    let names = [server.server().ipv4().to_string(), "localhost".to_owned()];
    drop(server);
    let acceptor = crate::upstream::acceptor(&ca, &[&names[0], &names[1]])?;
    let upstream = Upstream::start(acceptor, paths::THINK)?;
    let site = Site {
        proxy_binary: options.proxy_bin.as_deref(),
        cgroup: cgroup.as_ref(),
        ..Site::new(directory.path(), &ca)
    };
    let mut report = Report {
        facts: Facts::gather(None),
        paths: wanted.paths.clone(),
        contenders: Vec::new(),
        sizes: wanted.sizes.clone(),
        situations: wanted.situations.clone(),
        missing: Vec::new(),
        repeated: 0,
        overruns: 0,
        samples: Vec::new(),
    };
    let mut lanes = wanted.start(&upstream, &site, &mut report).await?;
    ensure!(
        !lanes.is_empty(),
        "nothing to measure: {}",
        report.missing.join("; ")
    );
    report::progress(&format!("{} lanes; measuring", lanes.len()));
    let mut course = Course::begin(&mut lanes).await?;
    let mut outcome = Ok(());
    for &situation in &wanted.situations {
        outcome = course.measure(&mut lanes, situation, wanted.samples).await;
        if outcome.is_err() {
            break;
        }
    }
    // What was measured before a failure took long, and is shown with it.
    report.samples = course.samples;
    report.repeated = course.repeated;
    for lane in &lanes {
        report.overruns += lane.overruns()?;
    }
    drop(lanes);
    report.print();
    if let Some(path) = &options.json {
        report::write_json(path, &report)?;
    }
    outcome
}

/// Says what an emulated path needs.
pub(crate) fn no_path(error: netlab::Error) -> anyhow::Error {
    anyhow::Error::new(error).context(
        "cannot emulate a path: this bench needs root and /dev/net/tun, for network namespaces and what joins them",
    )
}

/// What is to be measured.
struct Wanted {
    peers: Vec<Kind>,
    paths: Vec<Emulated>,
    sizes: Vec<Size>,
    situations: Vec<Situation>,
    samples: usize,
}

impl Options {
    fn wanted(&self) -> Result<Wanted> {
        let quick = self.quick;
        let defaults = |all: &[&str]| all.iter().map(|name| (*name).to_owned()).collect();
        let names = self.paths.clone().unwrap_or_else(|| match quick {
            true => defaults(&QUICK_PATHS),
            false => defaults(&paths::NAMES),
        });
        let mut paths = Vec::new();
        for name in &names {
            paths.push(Emulated::named(name, &self.settings)?);
        }
        let sizes = self.sizes.clone().unwrap_or_else(|| match quick {
            true => QUICK_SIZES.to_vec(),
            false => SIZES.to_vec(),
        });
        let idle = self.idle.clone().unwrap_or_else(|| match quick {
            true => QUICK_IDLE.to_vec(),
            false => IDLE.to_vec(),
        });
        let mut situations = vec![Situation::Fresh, Situation::Cold];
        for seconds in idle {
            let time = Duration::try_from_secs_f64(seconds).context("--idle")?;
            situations.push(Situation::Idle(time));
        }
        let usual = if quick { QUICK_SAMPLES } else { SAMPLES };
        let wanted = Wanted {
            peers: self.peers.clone().unwrap_or_else(|| PEERS.to_vec()),
            paths,
            sizes,
            situations,
            samples: self.samples.unwrap_or(usual),
        };
        ensure!(wanted.samples > 0, "--samples has to be greater than 0");
        ensure!(
            is_unique(&wanted.peers)
                && is_unique(&wanted.paths)
                && is_unique(&wanted.sizes)
                && is_unique(&wanted.situations),
            "something was named twice"
        );
        Ok(wanted)
    }
}

/// Whether nothing is there twice.
pub(crate) fn is_unique<T: PartialEq>(all: &[T]) -> bool {
    let earlier = |(index, one)| all[..index].contains(one);
    !all.iter().enumerate().any(earlier)
}

impl Wanted {
    fn first_path(&self) -> Result<&Emulated> {
        self.paths.first().context("no path")
    }

    /// Starts all lanes, those of a path and a size next to each other. A contender that cannot be started at all is
    /// left out and reported.
    async fn start(
        &self,
        upstream: &Upstream,
        site: &Site<'_>,
        report: &mut Report,
    ) -> Result<Vec<Lane>> {
        let mut lanes: Vec<Lane> = Vec::new();
        let mut left_out: Vec<&Kind> = Vec::new();
        for path in &self.paths {
            for &size in &self.sizes {
                for kind in &self.peers {
                    if left_out.contains(&kind) {
                        continue;
                    }
                    // A signal that came meanwhile ends the bench here.
                    tokio::task::yield_now().await;
                    let site = Site {
                        instance: Some(lanes.len()),
                        ..*site
                    };
                    let place = (path, path.start().map_err(no_path)?);
                    match Lane::start(kind, place, size, upstream, &site) {
                        Ok(lane) => {
                            if !lanes.iter().any(|lane| lane.kind == *kind) {
                                report::progress(&lane.version());
                                report.facts.versions.push(lane.version());
                                report.contenders.push(kind.name().to_owned());
                            }
                            lanes.push(lane);
                        }
                        Err(error) if lanes.iter().any(|lane| lane.kind == *kind) => {
                            return Err(error);
                        }
                        Err(error) => {
                            let what = format!("{}: {error:#}", kind.name());
                            report::progress(&format!("left out: {what}"));
                            report.missing.push(what);
                            left_out.push(kind);
                        }
                    }
                }
            }
        }
        Ok(lanes)
    }
}

#[cfg(test)]
mod tests;
