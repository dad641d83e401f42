//! `holysheep-proxy measure`: how long answers take from here, straight from upstream and through proxies, side by side.
//!
//! Sends the same request to all targets within the same minute, on kept-alive connections, at a given rate (docs/measuring.md). What
//! it sends by default costs no tokens.

mod clock;
mod course;
mod dial;
mod lane;
mod objective;
mod output;
mod plan;
mod progress;
mod request;
mod results;
mod sample;
mod shares;
mod statistics;
mod target;
mod timing;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use tokio::task::LocalSet;

use crate::config::Secret;
use crate::table::Format;
use crate::upstream::keys::KeyFileError;
use crate::upstream::tls::TlsSetupError;
use course::Course;
use dial::Dialer;
use lane::Lane;
use objective::{Judgement, Objective};
use plan::Extent;
use progress::Progress;
use request::Shape;
use results::Results;
use statistics::Times;
use target::{KeySources, NamedUrl, Target};

/// Exit code if an objective is not met.
const OBJECTIVE_MISSED: u8 = 3;
/// Exit code if a target does not answer, or most of its requests fail.
const TARGET_FAILED: u8 = 4;

/// Below the flags: what they leave open.
pub const NOTES: &str = "URL is what applications have as their base URL; others are compared with the first target. KEY is\n\
    mean, p50, p95, p99.9, …, max or errors (errors=1%). PATH has a query because the proxy answers\n\
    /v1/models without one from memory. The key may be in HOLYSHEEP_API_KEY_FILE or HOLYSHEEP_API_KEY.\n\
    Exit code 3 if an SLO is missed, 4 if a target does not answer or most of its requests fail.";

/// What to measure, and how.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    // The help is no doc comment, because rustdoc would have a link of the URL.
    #[arg(
        long = "target",
        value_name = "NAME=URL",
        required = true,
        help = "What to measure, as direct=https://api.holysheep.ai/v1; repeatable"
    )]
    targets: Vec<NamedUrl>,
    /// What is asked for [default: /v1/models?limit=1]
    #[arg(
        long,
        value_name = "PATH",
        default_value = "/v1/models?limit=1",
        hide_default_value = true
    )]
    path: String,
    /// POST this JSON to PATH; costs tokens at each request
    #[arg(long, value_name = "FILE", requires = "path")]
    body: Option<PathBuf>,
    /// Requests to each target
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    samples: u32,
    /// Requests a second to each target
    #[arg(long, value_name = "N", default_value = "5", value_parser = rate)]
    rate: f64,
    /// Requests to each target before these, not counted
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    warm_up: u32,
    /// New connections to each target, timed step by step
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    handshakes: u32,
    /// Longest time for one answer, or one connection
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = timeout)]
    timeout: Duration,
    /// What has to hold, as p95=50ms or proxy:p95=50ms; repeatable
    #[arg(long = "slo", value_name = "[NAME:]KEY=LIMIT")]
    objectives: Vec<Objective>,
    /// File with the API key; NAME= for none; repeatable
    #[arg(long = "api-key-file", value_name = "[NAME=]FILE")]
    key_files: Vec<String>,
    /// Certificates to trust besides the public web's (PEM)
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Form of what is printed
    #[arg(long, value_name = "table|json|csv", default_value = "table")]
    format: Format,
}

/// Why nothing is measured.
#[derive(Debug, thiserror::Error)]
enum MeasureError {
    #[error("--target: two are called {0}")]
    SameName(String),
    #[error("--target: {0:?} is no name a certificate can be for")]
    Name(String),
    #[error("--slo {objective}: no target is called {name}")]
    NoTarget { objective: String, name: String },
    #[error("--path {0:?}: expected a path such as /v1/models?limit=1")]
    Path(String),
    #[error("--body {path}: {reason}")]
    Body { path: PathBuf, reason: io::Error },
    #[error("--ca-file {path}: {message}")]
    CaFile { path: String, message: String },
    #[error("--api-key-file: {0}")]
    Key(#[from] KeyFileError),
    #[error(transparent)]
    Tls(TlsSetupError),
    #[error("cannot measure: {0}")]
    System(#[from] io::Error),
    #[error("cannot write: {0}")]
    Write(io::Error),
}

impl MeasureError {
    /// Whether it is about what was asked for.
    const fn is_usage(&self) -> bool {
        match self {
            Self::SameName(_)
            | Self::Name(_)
            | Self::NoTarget { .. }
            | Self::Path(_)
            | Self::Body { .. }
            | Self::CaFile { .. }
            | Self::Key(_) => true,
            Self::Tls(_) | Self::System(_) | Self::Write(_) => false,
        }
    }
}

/// Everything there is to tell of a run.
struct Report {
    started: SystemTime,
    shape: Shape,
    extent: Extent,
    warm_up: u32,
    /// How long it took, without warming up.
    took: Duration,
    /// Whether a signal has ended it.
    is_stopped: bool,
    /// How late requests were begun.
    late: Option<Times>,
    results: Vec<Results>,
    judgements: Vec<Judgement>,
}

impl Arguments {
    /// Whether a flag names a key for all targets.
    pub fn names_key_for_all(&self) -> bool {
        let owner = |given: &String| target::owner(given, &self.targets).0.is_some();
        !self.key_files.iter().all(owner)
    }

    fn extent(&self) -> Extent {
        let count = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        Extent {
            targets: self.targets.len(),
            rounds: count(self.samples),
            rate: self.rate,
            handshakes: count(self.handshakes),
        }
    }

    fn lanes(&self, shape: &Shape, other: Option<Secret>) -> Result<Vec<Rc<Lane>>, MeasureError> {
        let sources = KeySources {
            files: &self.key_files,
            other,
        };
        let targets = target::with_keys(&self.targets, &sources)?;
        for objective in &self.objectives {
            let name = objective.target.as_ref();
            let is_known = |name: &&String| targets.iter().any(|target| target.name == **name);
            if let Some(name) = name.filter(|name| !is_known(name)) {
                return Err(MeasureError::NoTarget {
                    objective: objective.to_string(),
                    name: name.clone(),
                });
            }
        }
        let lane = |target: Target| {
            let dialer = Dialer::new(&target.url, self.ca_file.as_deref())?;
            Ok(Lane::new(target, dialer, shape.clone(), self.timeout))
        };
        targets.into_iter().map(lane).collect()
    }
}

/// Measures and prints. `key` is for targets that no `--api-key-file` is for; `bad_usage` the exit code for what cannot be asked for.
pub fn run(arguments: &Arguments, key: Option<Secret>, bad_usage: u8) -> ExitCode {
    match measure(arguments, key) {
        Ok(report) => report.exit_code(),
        // Whoever reads has seen enough.
        Err(MeasureError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            progress::note(&format!("holysheep-proxy: {error}"));
            match error.is_usage() {
                true => ExitCode::from(bad_usage),
                false => ExitCode::FAILURE,
            }
        }
    }
}

fn measure(arguments: &Arguments, key: Option<Secret>) -> Result<Report, MeasureError> {
    let shape = Shape::new(&arguments.path, arguments.body.as_deref())?;
    let lanes = arguments.lanes(&shape, key)?;
    let started = SystemTime::now();
    let extent = arguments.extent();
    let warm_up = usize::try_from(arguments.warm_up).unwrap_or(usize::MAX);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut progress = Progress::new();
    let course = course::run(&lanes, extent, warm_up, &mut progress);
    let course = LocalSet::new().block_on(&runtime, course)?;
    let results = results(&lanes, &course);
    let judgements = arguments.objectives.iter();
    let judgements = judgements.flat_map(|objective| objective.judge(&results));
    let samples = course.targets.iter().flat_map(|of| &of.samples);
    let report = Report {
        started,
        shape,
        extent,
        warm_up: arguments.warm_up,
        took: course.took,
        is_stopped: course.is_stopped,
        late: Times::of(samples.map(|sample| sample.late).collect()),
        judgements: judgements.collect(),
        results,
    };
    output::print(&report, arguments.format).map_err(MeasureError::Write)?;
    Ok(report)
}

fn results(lanes: &[Rc<Lane>], course: &Course) -> Vec<Results> {
    let mut all = Vec::<Results>::new();
    for (lane, of) in lanes.iter().zip(&course.targets) {
        let Target { name, url, .. } = &lane.target;
        let mut results = Results::of(name, url.to_string(), of);
        if let (Some(first), Some(firsts)) = (all.first(), course.targets.first()) {
            results.compare(&first.name, &of.samples, &firsts.samples);
        }
        all.push(results);
    }
    all
}

impl Report {
    /// `met`, `missed` or `failed`; `none` without objectives.
    fn verdict(&self) -> &'static str {
        if self.results.iter().any(|of| of.failed.is_some()) {
            "failed"
        } else if self.judgements.iter().any(|judgement| !judgement.is_met) {
            "missed"
        } else if self.judgements.is_empty() {
            "none"
        } else {
            "met"
        }
    }

    fn exit_code(&self) -> ExitCode {
        match self.verdict() {
            _ if self.is_stopped => ExitCode::FAILURE,
            "failed" => ExitCode::from(TARGET_FAILED),
            "missed" => ExitCode::from(OBJECTIVE_MISSED),
            _ => ExitCode::SUCCESS,
        }
    }
}

/// More a second is a load test.
const HIGHEST_RATE: f64 = 1000.0;

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok();
    let rate = rate.filter(|rate| (0.001..=HIGHEST_RATE).contains(rate));
    rate.ok_or_else(|| "expected requests a second, from 0.001 to 1000".to_owned())
}

fn timeout(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).ok();
    let range = Duration::from_millis(1)..=Duration::from_secs(600);
    let time = time.filter(|time| range.contains(time));
    time.ok_or_else(|| "expected a time from 1ms to 10m, such as 10s".to_owned())
}
