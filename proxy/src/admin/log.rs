//! The access log's part of `/status`.

use serde::Serialize;

use super::Admin;
use crate::config::AccessLog;

/// What becomes of access-log lines.
#[derive(Debug, Serialize)]
pub struct LogStatus {
    /// Where they go: `stdout`, a file, or `off`.
    pub to: String,
    /// The share of requests that went well which have one.
    pub sample: f64,
    /// Requests without one for that reason, since the start.
    pub left_out: u64,
    /// Lines that were dropped because they could not be written in time.
    pub dropped: u64,
}

impl LogStatus {
    pub(super) fn of(admin: &Admin) -> Self {
        let config = admin.readiness.config.load();
        let workers = || admin.readiness.metrics.workers().iter();
        Self {
            to: match &config.access_log {
                AccessLog::Stdout => "stdout".to_owned(),
                AccessLog::Off => "off".to_owned(),
                AccessLog::File(path) => path.display().to_string(),
            },
            sample: config.sampling.share,
            left_out: workers().map(|worker| worker.log_left_out.get()).sum(),
            dropped: workers().map(|worker| worker.log_dropped.get()).sum(),
        }
    }
}
