//! `/status`: the state of the proxy as JSON.

use std::time::SystemTime;

use serde::Serialize;

use super::Admin;
pub use super::clients::ClientsStatus;
pub use super::cost::CostStatus;
pub use super::failures::FailureStatus;
use super::failures::moment;
pub use super::file::FileStatus;
pub use super::history::HistoryStatus;
pub use super::latency::LatencyStatus;
pub use super::limits::{KeptStatus, LimitsStatus};
pub use super::process::{LogStatus, TakeOverStatus};
pub use super::requests::RequestsStatus;
use super::totals::Totals;
pub use super::traces::TracesStatus;
pub use super::upstream::UpstreamStatus;
pub use super::usage::UsageStatus;
pub use super::webhook::WebhookStatus;
use crate::kernel::{Kernel, Program};

/// Everything the status page shows.
#[derive(Debug, Serialize)]
pub struct Status {
    /// Program version.
    pub version: &'static str,
    /// When this was written.
    pub time: String,
    /// Seconds since the start.
    pub uptime_seconds: u64,
    /// Whether traffic should come.
    pub ready: bool,
    /// Why not.
    pub not_ready: Vec<String>,
    /// Data port.
    pub listen: String,
    /// TLS data port.
    pub tls_listen: Option<String>,
    /// Who may use it.
    pub auth: crate::config::Auth,
    /// The clients, where they have keys of their own.
    pub clients: Option<ClientsStatus>,
    /// Worker threads.
    pub workers: usize,
    /// The configuration file, if there is one.
    pub config: Option<FileStatus>,
    /// Kernel programs, and why they are off.
    pub kernel: KernelStatus,
    /// Health probes.
    pub probes: ProbeStatus,
    /// Requests being worked on.
    pub in_flight: i64,
    /// Open client connections.
    pub connections: i64,
    /// Requests answered.
    pub requests: RequestsStatus,
    /// Where time goes.
    pub latency: LatencyStatus,
    /// The upstream; of several, the first.
    pub upstream: UpstreamStatus,
    /// The others.
    pub upstreams: Vec<UpstreamStatus>,
    /// What requests to models used.
    pub usage: UsageStatus,
    /// What clients have left of their limits.
    pub limits: Vec<LimitsStatus>,
    /// Where it is kept what clients with budgets cost.
    pub budgets: KeptStatus,
    /// What they cost.
    pub cost: CostStatus,
    /// Notices of payments, if they are taken.
    pub webhook: Option<WebhookStatus>,
    /// Spans of requests, if there are any.
    pub traces: Option<TracesStatus>,
    /// The access log.
    pub log: LogStatus,
    /// How one process takes the place of another, if it may.
    pub take_over: Option<TakeOverStatus>,
    /// The proxy's own errors by code, since the start.
    pub errors: Vec<ErrorCount>,
    /// Its last errors.
    pub last_errors: Vec<FailureStatus>,
    /// The last five minutes.
    pub history: Option<HistoryStatus>,
}

/// What watches the sockets.
#[derive(Debug, Serialize)]
pub struct KernelStatus {
    /// Each program.
    pub programs: Vec<ProgramStatus>,
    /// The cgroup they are attached to.
    pub cgroup: Option<String>,
    /// Whether the capabilities were given up after attaching.
    pub capabilities: Option<String>,
}

/// A kernel program.
#[derive(Debug, Serialize)]
pub struct ProgramStatus {
    /// Its name.
    pub name: &'static str,
    /// Whether it runs.
    pub attached: bool,
    /// Why it does not.
    pub reasons: Vec<String>,
}

impl KernelStatus {
    /// For the status page.
    pub(super) fn in_words(&self) -> String {
        let programs = self.programs.iter().map(|program| {
            let state = match program.attached {
                true => "runs".to_owned(),
                false => format!("off ({})", program.reasons.join("; ")),
            };
            format!("{} {state}", program.name)
        });
        programs.collect::<Vec<_>>().join(", ")
    }

    fn of(kernel: &Kernel) -> Self {
        let programs = kernel.programs().iter().map(|(program, result)| {
            let reasons = result.as_ref().err().into_iter().flatten();
            ProgramStatus {
                name: program.name(),
                attached: result.is_ok(),
                reasons: reasons.map(ToString::to_string).collect(),
            }
        });
        Self {
            programs: programs.collect(),
            cgroup: kernel.cgroup().map(|path| path.display().to_string()),
            capabilities: kernel.capabilities().map(ToString::to_string),
        }
    }
}

/// Where probes are answered, and what was answered.
#[derive(Debug, Serialize)]
pub struct ProbeStatus {
    /// The port for probes.
    pub listen: Option<String>,
    /// Whether probes to the data ports are steered past their queues.
    pub steered: bool,
    /// Where probes come from, for those that are.
    pub sources: Vec<String>,
    /// Connections the kernel has steered.
    pub steered_connections: u64,
    /// Of these, how many were no probes and went to a worker.
    pub handed_over: u64,
    /// Answers of the probe thread.
    pub answers: Vec<ProbeAnswers>,
}

/// How often one probe was answered in one way.
#[derive(Debug, Serialize)]
pub struct ProbeAnswers {
    /// Its path.
    pub path: &'static str,
    /// The status it was answered with.
    pub status: &'static str,
    /// How often.
    pub count: u64,
}

impl ProbeStatus {
    /// For the status page.
    pub(super) fn in_words(&self) -> String {
        let mut words = match self.steered {
            true => format!(
                "steered from {} ({} connections, {} handed over)",
                self.sources.join(", "),
                self.steered_connections,
                self.handed_over
            ),
            false => "not steered".to_owned(),
        };
        for answers in &self.answers {
            words.push_str(&format!(
                "; {} {}: {}",
                answers.path, answers.status, answers.count
            ));
        }
        words
    }

    fn of(admin: &Admin) -> Self {
        let steered = admin.kernel.steered().ok().flatten();
        let metrics = admin.readiness.metrics.probe();
        let answers = metrics.iter().flat_map(|metrics| metrics.answers());
        let answers = answers.filter(|(_, _, count)| *count > 0);
        Self {
            listen: admin.addresses.probe.map(|address| address.to_string()),
            steered: admin.kernel.runs(Program::ProbeSteering),
            sources: admin.sources.iter().map(ToString::to_string).collect(),
            steered_connections: steered.map_or(0, |counts| counts.steered),
            handed_over: metrics.map_or(0, |metrics| metrics.handed_over.get()),
            answers: answers
                .map(|(path, status, count)| ProbeAnswers {
                    path,
                    status,
                    count,
                })
                .collect(),
        }
    }
}

/// How often one error occurred.
#[derive(Debug, Serialize)]
pub struct ErrorCount {
    /// Its code.
    pub code: &'static str,
    /// How often.
    pub count: u64,
}

impl Status {
    pub(super) fn of(admin: &Admin, not_ready: Vec<String>) -> Self {
        let workers = admin.readiness.metrics.workers();
        let mut errors: Vec<ErrorCount> = Vec::new();
        for (code, count) in workers.iter().flat_map(|worker| worker.http.rejections()) {
            match errors.iter_mut().find(|error| error.code == code) {
                Some(error) => error.count += count,
                None => errors.push(ErrorCount { code, count }),
            }
        }
        let config = admin.readiness.config.load();
        errors.retain(|error| error.count > 0);
        let (now, uptime) = (Totals::of(admin), admin.started.elapsed());
        let history = admin.history.borrow();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            time: moment(SystemTime::now()),
            uptime_seconds: uptime.as_secs(),
            ready: not_ready.is_empty(),
            not_ready,
            listen: admin.addresses.data.to_string(),
            tls_listen: admin.addresses.tls.map(|address| address.to_string()),
            auth: config.auth,
            clients: admin.clients.as_deref().map(ClientsStatus::of),
            workers: config.workers,
            config: FileStatus::of(&admin.reloads.state.load()),
            kernel: KernelStatus::of(&admin.kernel),
            probes: ProbeStatus::of(admin),
            in_flight: workers.iter().map(|w| w.http.in_flight.get()).sum(),
            connections: workers.iter().map(|w| w.http.open_connections.get()).sum(),
            requests: RequestsStatus::of(admin, &now),
            latency: LatencyStatus::of(&now, history.minute_ago(), uptime.as_secs_f64()),
            upstream: UpstreamStatus::first(admin),
            upstreams: UpstreamStatus::others(admin),
            usage: UsageStatus::of(admin),
            limits: LimitsStatus::all(admin),
            budgets: KeptStatus::of(admin),
            cost: CostStatus::of(admin),
            webhook: WebhookStatus::of(admin),
            traces: TracesStatus::of(admin),
            log: LogStatus::of(admin),
            take_over: TakeOverStatus::of(admin),
            errors,
            last_errors: FailureStatus::all(admin),
            // Numbers and nothing else, which can always be written.
            history: history.status().ok(),
        }
    }
}
