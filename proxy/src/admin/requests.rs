//! Requests as clients see them, for `/status` and its page.

use serde::Serialize;

use super::Admin;
use super::totals::Totals;

/// Requests since the start.
#[derive(Debug, Serialize)]
pub struct RequestsStatus {
    /// Answered.
    pub total: u64,
    /// A second, over the last ten.
    pub per_second: f64,
    /// By status.
    pub by_status: Vec<StatusCount>,
}

/// Requests that were answered with one status.
#[derive(Debug, Serialize)]
pub struct StatusCount {
    /// The status code, or `other`.
    pub status: String,
    /// How many.
    pub count: u64,
}

impl RequestsStatus {
    pub(super) fn of(admin: &Admin, now: &Totals) -> Self {
        let mut by_status: Vec<StatusCount> = Vec::new();
        let workers = admin.readiness.metrics.workers().iter();
        for (status, count) in workers.flat_map(|worker| worker.http.by_status()) {
            let status = status.map_or_else(|| "other".to_owned(), |status| status.to_string());
            match by_status.iter_mut().find(|known| known.status == status) {
                Some(known) => known.count += count,
                None => by_status.push(StatusCount { status, count }),
            }
        }
        by_status.sort_by(|one, other| one.status.cmp(&other.status));
        Self {
            total: now.requests,
            per_second: admin.history.borrow().rate(now),
            by_status,
        }
    }
}

impl RequestsStatus {
    /// For the status page.
    pub(super) fn in_words(&self) -> String {
        let mut words = format!("{}; {} a second", self.total, self.per_second);
        for of in &self.by_status {
            words.push_str(&format!("; {}: {}", of.status, of.count));
        }
        words
    }
}
