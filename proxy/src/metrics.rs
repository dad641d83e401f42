//! What `/metrics` shows.
//!
//! Each worker counts in its own [`WorkerMetrics`], without locks or shared
//! cache lines; a scrape adds the workers up. The names are fixed by the
//! project's contract and listed in `docs/metrics.md`.

pub mod cell;
mod classic;
pub mod client;
pub mod condition;
pub mod cost;
mod encode;
pub mod failures;
pub mod gen_ai;
pub mod http;
pub mod kernel;
pub mod probe;
pub mod queue;
pub mod trace;
pub mod upstream;
pub mod usage;
pub mod webhook;

use std::sync::Arc;

use prometheus_client::registry::Registry;

use crate::kernel::Kernel;
use crate::limits::Quotas;
use crate::upstream::Slots;

pub use cell::{Counter, Gauge, Histogram};
pub use client::ClientCounts;
pub use condition::Condition;
pub use cost::CostMetrics;
pub use failures::Failures;
pub use gen_ai::GenAiMetrics;
pub use http::HttpMetrics;
pub use kernel::KernelMetrics;
pub use probe::ProbeMetrics;
pub use queue::QueueMetrics;
pub use trace::TraceMetrics;
pub use upstream::{Outcome, UpstreamMetrics};
pub use usage::UsageMetrics;
pub use webhook::WebhookMetrics;

/// Everything one worker counts.
#[derive(Debug, Default)]
pub struct WorkerMetrics {
    /// The side towards clients.
    pub http: HttpMetrics,
    /// The side towards each upstream.
    upstreams: Slots<UpstreamMetrics>,
    /// How it is known what they used.
    pub usage: UsageMetrics,
    /// What they cost.
    pub cost: CostMetrics,
    /// Deliveries to the payment webhook.
    pub webhooks: WebhookMetrics,
    /// Connections that wait on the plain listener.
    pub queue: QueueMetrics,
    /// Connections that wait on the TLS listener.
    pub queue_tls: QueueMetrics,
    /// Access-log lines dropped because the log thread was behind.
    pub log_dropped: Counter,
    /// Those that were left out because only a share of them is written.
    pub log_left_out: Counter,
    /// Spans dropped because too many waited.
    pub spans_dropped: Counter,
    /// The last errors.
    pub failures: Failures,
}

impl WorkerMetrics {
    /// The side towards the upstream with this slot.
    #[inline]
    pub fn upstream(&self, slot: usize) -> &UpstreamMetrics {
        self.upstreams.get(slot)
    }

    /// Both listeners' queues.
    pub fn queues(&self) -> impl Iterator<Item = &QueueMetrics> {
        [&self.queue, &self.queue_tls].into_iter()
    }
}

/// All workers' metrics, and what goes with them into the text.
#[derive(Debug)]
pub struct Metrics {
    kernel: Arc<Kernel>,
    quotas: Arc<Quotas>,
    workers: Arc<[Arc<WorkerMetrics>]>,
    control: Arc<ControlMetrics>,
    probe: Option<Arc<ProbeMetrics>>,
}

/// A text format of `/metrics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `OpenMetrics` 1.0.0.
    OpenMetrics,
    /// Prometheus' older one, version 0.0.4.
    Text,
}

impl Format {
    /// The value for `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// What the control thread counts.
#[derive(Debug, Default)]
pub struct ControlMetrics {
    /// Of each upstream.
    dns: Slots<DnsMetrics>,
    /// Spans handed on.
    pub traces: Arc<TraceMetrics>,
    /// Whose place this process has taken, and who did not take its own.
    pub take_overs: TakeOverMetrics,
}

/// Take-overs of the listening sockets. One that was handed over is told by nobody: the admin port is the next process' then.
#[derive(Debug, Default)]
pub struct TakeOverMetrics {
    /// This process has the place of another. The main thread alone counts here.
    pub taken: Counter,
    /// Another process asked for the sockets and did not come to serve. The control thread alone counts here.
    pub failed: Counter,
}

/// Questions for the addresses of one upstream's name.
#[derive(Debug)]
pub struct DnsMetrics {
    /// Time of one question to the name servers.
    pub times: Histogram,
    /// Questions without an answer to go by.
    pub failures: Counter,
}

impl Default for DnsMetrics {
    fn default() -> Self {
        Self {
            times: Histogram::new(&upstream::HANDSHAKE_BUCKETS),
            failures: Counter::default(),
        }
    }
}

impl ControlMetrics {
    /// Those of the upstream with this slot.
    pub fn dns(&self, slot: usize) -> &DnsMetrics {
        self.dns.get(slot)
    }
}

impl Metrics {
    /// The metrics of `workers` workers, of the kernel programs, of what clients have had, and of the probe thread if there is one.
    pub fn new(workers: usize, kernel: Arc<Kernel>, quotas: Arc<Quotas>, probe: bool) -> Self {
        Self {
            kernel,
            quotas,
            workers: (0..workers).map(|_| Arc::default()).collect(),
            control: Arc::default(),
            probe: probe.then(Arc::default),
        }
    }

    /// What clients have had of late.
    pub fn quotas(&self) -> &Quotas {
        &self.quotas
    }

    /// The kernel programs.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// The metrics of one worker.
    pub fn worker(&self, index: usize) -> Option<Arc<WorkerMetrics>> {
        self.workers.get(index).cloned()
    }

    /// The metrics of all workers.
    pub fn workers(&self) -> &[Arc<WorkerMetrics>] {
        &self.workers
    }

    /// The metrics of the control thread.
    pub fn control(&self) -> &Arc<ControlMetrics> {
        &self.control
    }

    /// The metrics of the probe thread, if there is one.
    pub fn probe(&self) -> Option<&Arc<ProbeMetrics>> {
        self.probe.as_ref()
    }

    /// The exposition in one of the text formats; `condition` is what has no counters.
    ///
    /// # Errors
    /// Only if formatting into memory fails.
    pub fn encode(&self, format: Format, condition: Condition) -> Result<String, std::fmt::Error> {
        // Nothing is kept in a registry, so each scrape can have its own.
        let mut registry = Registry::default();
        registry.register_collector(Box::new(encode::Collector {
            workers: Arc::clone(&self.workers),
            control: Arc::clone(&self.control),
            links: Arc::clone(&condition.links),
            kernel: Arc::clone(&self.kernel),
            quotas: Arc::clone(&self.quotas),
            probe: self.probe.clone(),
            condition,
        }));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry)?;
        Ok(match format {
            Format::OpenMetrics => text,
            Format::Text => classic::from_openmetrics(&text),
        })
    }
}
