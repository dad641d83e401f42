//! The traces' part of `/status` and its page.

use serde::Serialize;

use super::Admin;

/// Spans of requests, where they are exported.
#[derive(Debug, Serialize)]
pub struct TracesStatus {
    /// Where they go.
    pub endpoint: String,
    /// The share of requests that is traced.
    pub sample: f64,
    /// Whether upstream is told.
    pub propagate: bool,
    /// Spans the receiver has, since the start.
    pub exported: u64,
    /// Spans that it does not have.
    pub failed: u64,
    /// Spans that were dropped because too many waited.
    pub dropped: u64,
}

impl TracesStatus {
    pub(super) fn of(admin: &Admin) -> Option<Self> {
        let config = admin.readiness.config.load();
        let settings = config.traces.as_ref()?;
        let metrics = &admin.readiness.metrics;
        let traces = &metrics.control().traces;
        let workers = metrics.workers().iter();
        Some(Self {
            endpoint: settings.endpoint.to_string(),
            sample: settings.sample,
            propagate: settings.propagate,
            exported: traces.exported.get(),
            failed: traces.failed.get(),
            dropped: workers.map(|worker| worker.spans_dropped.get()).sum(),
        })
    }

    /// For the status page.
    pub(super) fn in_words(&self) -> String {
        format!(
            "to {} (share {}): {} spans exported, {} failed, {} dropped",
            self.endpoint, self.sample, self.exported, self.failed, self.dropped
        )
    }
}
