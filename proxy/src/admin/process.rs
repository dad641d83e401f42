//! The process itself, for `/status` and its page: its log, and whose place it takes.

use std::path::Path;

use serde::Serialize;

use super::Admin;
use crate::config::{AccessLog, LogFormat};

/// The access log.
#[derive(Debug, Serialize)]
pub struct LogStatus {
    /// Where lines go: `stdout`, `off`, or a file.
    pub access: String,
    /// How they are written.
    pub format: LogFormat,
    /// The share of requests that went well that have one.
    pub sample: f64,
    /// What took so long has one anyway.
    pub slow_seconds: f64,
    /// Requests without a line because only a share of them has one.
    pub left_out: u64,
    /// Lines that could not be written in time.
    pub dropped: u64,
}

/// How one process takes the place of another.
#[derive(Debug, Serialize)]
pub struct TakeOverStatus {
    /// The Unix socket where the listening sockets are handed over.
    pub socket: String,
    /// Whether this process has got its own from another.
    pub took_over: bool,
    /// How many processes asked for them and did not come to serve.
    pub failed: u64,
}

impl LogStatus {
    pub(super) fn of(admin: &Admin) -> Self {
        let config = admin.readiness.config.load();
        let workers = || admin.readiness.metrics.workers().iter();
        Self {
            access: match &config.access_log {
                AccessLog::Stdout => "stdout".to_owned(),
                AccessLog::Off => "off".to_owned(),
                AccessLog::File(path) => path.display().to_string(),
            },
            format: config.log_format,
            sample: config.sampling.share,
            slow_seconds: config.sampling.slow.as_secs_f64(),
            left_out: workers().map(|worker| worker.log_left_out.get()).sum(),
            dropped: workers().map(|worker| worker.log_dropped.get()).sum(),
        }
    }

    /// For the status page.
    pub(super) fn in_words(&self) -> String {
        let mut words = self.access.clone();
        if self.sample < 1.0 {
            words.push_str(&format!(
                ", a share of {} of what went well and took less than {} s ({} left out)",
                self.sample, self.slow_seconds, self.left_out
            ));
        }
        if self.dropped > 0 {
            words.push_str(&format!(", lines dropped: {}", self.dropped));
        }
        words
    }
}

impl TakeOverStatus {
    pub(super) fn of(admin: &Admin) -> Option<Self> {
        let config = admin.readiness.config.load();
        let socket = config.take_over.as_deref().map(Path::display)?;
        let counts = &admin.readiness.metrics.control().take_overs;
        Some(Self {
            socket: socket.to_string(),
            took_over: counts.taken.get() > 0,
            failed: counts.failed.get(),
        })
    }

    /// For the status page.
    pub(super) fn in_words(&self) -> String {
        let before = match self.took_over {
            true => "another process was before this one",
            false => "this process was the first",
        };
        format!("at {}; {before}", self.socket)
    }
}
