//! A report as JSON. Fields are documented in docs/measuring.md.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::super::Report;
use super::super::objective::{Judgement, millis};
use super::super::results::{Handshakes, KernelColumns, Results};
use super::super::shares::{Rest, Shares};
use super::super::statistics::{Difference, Times};

/// All of it.
#[derive(Debug, Serialize)]
pub(super) struct Document {
    version: &'static str,
    started: String,
    request: Request,
    samples: usize,
    rate_per_second: f64,
    warm_up: u32,
    seconds: f64,
    stopped_early: bool,
    late_ms: Option<Distribution>,
    targets: Vec<Target>,
    slo: Vec<Slo>,
    verdict: &'static str,
}

#[derive(Debug, Serialize)]
struct Request {
    method: String,
    path: String,
    body_bytes: usize,
}

#[derive(Debug, Serialize)]
struct Target {
    name: String,
    url: String,
    sent: u64,
    good: u64,
    errors: BTreeMap<String, u64>,
    failed: Option<String>,
    on_new_connection: u64,
    from_cache: u64,
    latency_ms: Option<Distribution>,
    first_byte_ms: Option<Distribution>,
    handshake_ms: HandshakeParts,
    kernel: Kernel,
    share_ms: Option<Share>,
    against_first: Option<Against>,
}

#[derive(Debug, Serialize)]
struct Distribution {
    count: usize,
    mean: f64,
    min: f64,
    p50: f64,
    p95: f64,
    p99: f64,
    max: f64,
}

#[derive(Debug, Serialize)]
struct HandshakeParts {
    failed: u64,
    dns: Option<Distribution>,
    connect: Option<Distribution>,
    tls: Option<Distribution>,
    all: Option<Distribution>,
}

#[derive(Debug, Serialize)]
struct Kernel {
    min_rtt_ms: Option<f64>,
    rtt_mean_ms: Option<f64>,
    retransmits: u64,
}

#[derive(Debug, Default, Serialize)]
struct Share {
    network: f64,
    upstream: Option<f64>,
    proxy: Option<f64>,
    rest: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Against {
    first: String,
    rounds: usize,
    mean_ms: Spread,
    p95_ms: Spread,
    p99_ms: Spread,
}

#[derive(Debug, Serialize)]
struct Spread {
    difference: f64,
    low: f64,
    high: f64,
    seen: bool,
}

#[derive(Debug, Serialize)]
struct Slo {
    target: String,
    objective: String,
    measured: String,
    met: bool,
}

impl Document {
    pub(super) fn of(report: &Report) -> Self {
        let shape = &report.shape;
        Self {
            version: env!("CARGO_PKG_VERSION"),
            started: humantime::format_rfc3339_seconds(report.started).to_string(),
            request: Request {
                method: shape.method().to_string(),
                path: shape.path.clone(),
                body_bytes: shape.body.as_ref().map_or(0, |body| body.len()),
            },
            samples: report.extent.rounds,
            rate_per_second: report.extent.rate,
            warm_up: report.warm_up,
            seconds: short(report.took.as_secs_f64()),
            stopped_early: report.is_stopped,
            late_ms: report.late.as_ref().map(Distribution::of),
            targets: report.results.iter().map(Target::of).collect(),
            slo: report.judgements.iter().map(Slo::of).collect(),
            verdict: report.verdict(),
        }
    }
}

impl Target {
    fn of(of: &Results) -> Self {
        let errors = of.errors.iter();
        let against = of.against_first.as_ref().map(|against| {
            let [mean, p95, p99] = against.differences;
            Against {
                first: against.first.clone(),
                rounds: against.rounds,
                mean_ms: Spread::of(&mean),
                p95_ms: Spread::of(&p95),
                p99_ms: Spread::of(&p99),
            }
        });
        Self {
            name: of.name.clone(),
            url: of.url.clone(),
            sent: of.sent,
            good: of.good(),
            errors: errors.map(|(code, of)| (code.clone(), of.count)).collect(),
            failed: of.failed.clone(),
            on_new_connection: of.on_new_connection,
            from_cache: of.from_cache,
            latency_ms: of.latency.as_ref().map(Distribution::of),
            first_byte_ms: of.first_byte.as_ref().map(Distribution::of),
            handshake_ms: HandshakeParts::of(&of.handshakes),
            kernel: Kernel::of(&of.kernel),
            share_ms: of.shares.as_ref().map(Share::of),
            against_first: against,
        }
    }
}

impl Distribution {
    fn of(times: &Times) -> Self {
        Self {
            count: times.count,
            mean: ms(times.mean),
            min: ms(times.min),
            p50: ms(times.p50),
            p95: ms(times.p95),
            p99: ms(times.p99),
            max: ms(times.max),
        }
    }
}

impl HandshakeParts {
    fn of(of: &Handshakes) -> Self {
        let part = |times: &Option<Times>| times.as_ref().map(Distribution::of);
        Self {
            failed: of.failed,
            dns: part(&of.name),
            connect: part(&of.connect),
            tls: part(&of.tls),
            all: part(&of.all),
        }
    }
}

impl Kernel {
    fn of(of: &KernelColumns) -> Self {
        Self {
            min_rtt_ms: of.min_rtt.map(ms),
            rtt_mean_ms: of.rtt.map(ms),
            retransmits: of.retransmits,
        }
    }
}

impl Share {
    fn of(of: &Shares) -> Self {
        let network = short(of.network_ms);
        let share = Self {
            network,
            ..Self::default()
        };
        match of.rest {
            Rest::Whole(rest) => Self {
                rest: Some(short(rest)),
                ..share
            },
            Rest::Apart {
                upstream_ms,
                proxy_ms,
            } => Self {
                upstream: Some(short(upstream_ms)),
                proxy: Some(short(proxy_ms)),
                ..share
            },
        }
    }
}

impl Spread {
    fn of(of: &Difference) -> Self {
        Self {
            difference: short(of.ms),
            low: short(of.low_ms),
            high: short(of.high_ms),
            seen: of.is_seen(),
        }
    }
}

impl Slo {
    fn of(of: &Judgement) -> Self {
        Self {
            target: of.target.clone(),
            objective: of.objective.clone(),
            measured: of.measured.clone(),
            met: of.is_met,
        }
    }
}

fn ms(time: Duration) -> f64 {
    short(millis(time))
}

/// To the microsecond: beyond that a clock says nothing.
fn short(ms: f64) -> f64 {
    (ms * 1e3).round() / 1e3
}
