//! The take-overs' part of `/status`.

use serde::Serialize;

use super::Admin;

/// Whose place this process has, and where the next one may ask for it.
#[derive(Debug, Serialize)]
pub struct TakeOverStatus {
    /// The Unix socket where listening sockets are handed over.
    pub path: String,
    /// Whether this process has its own from another.
    pub taken: bool,
    /// How many processes asked for them and did not come to serve.
    pub failed: u64,
}

impl TakeOverStatus {
    pub(super) fn of(admin: &Admin) -> Option<Self> {
        let config = admin.readiness.config.load();
        let path = config.take_over.as_ref()?.display().to_string();
        let counts = &admin.readiness.metrics.control().take_overs;
        Some(Self {
            path,
            taken: counts.taken.get() > 0,
            failed: counts.failed.get(),
        })
    }
}
