//! How much connections to upstream may send at once, for `/status` and its page.

use serde::Serialize;

use super::Admin;
use crate::kernel::{PathState, Program, now_ns};

/// The windows of connections to upstream.
#[derive(Debug, Serialize)]
pub struct WindowsStatus {
    /// With how many segments connections begin: `auto`, `off`, or a number.
    pub initial_window: String,
    /// Why connections begin with the system's default nevertheless.
    pub initial_window_lost: Option<String>,
    /// The most they begin with.
    pub max_window_bytes: u32,
    /// What keeps windows open while connections idle.
    pub after_idle: AfterIdleStatus,
    /// What is known of the paths to upstream's addresses, the last connected to first.
    pub paths: Vec<PathStatus>,
}

/// What keeps windows open while connections idle.
#[derive(Debug, Serialize)]
pub struct AfterIdleStatus {
    /// `system`, `congestion_control`, `sysctl`, `bbr` or `nothing`.
    pub by: &'static str,
    /// Whether they are kept now; with `bbr`, each connection is by itself.
    pub kept: Option<bool>,
    /// How, or why not.
    pub because: String,
}

/// The path to an address.
#[derive(Debug, Serialize)]
pub struct PathStatus {
    /// The address.
    pub address: String,
    /// The most bytes acknowledged within a quarter of a round trip without a loss, of late.
    pub carried_bytes: Option<u32>,
    /// Bytes the last connection began with.
    pub started_bytes: Option<u32>,
    /// The round trip then.
    pub rtt_ms: f64,
    /// For how much longer the system's default holds, after a loss.
    pub on_hold_seconds: Option<u64>,
}

impl WindowsStatus {
    pub(super) fn of(admin: &Admin) -> Self {
        let config = admin.readiness.config.load();
        let tcp = &config.upstream.tcp;
        let kernel = &admin.kernel;
        let lost = (!kernel.runs(Program::UpstreamWindow)).then(|| {
            let reasons = kernel.why_not(Program::UpstreamWindow).iter();
            let reasons = reasons.map(ToString::to_string);
            reasons.collect::<Vec<_>>().join("; ")
        });
        let idle = kernel.idle_windows();
        let paths = kernel.windows().map(|windows| windows.paths(now_ns()));
        Self {
            initial_window: tcp.initial_window.to_string(),
            initial_window_lost: lost,
            max_window_bytes: tcp.max_window,
            after_idle: AfterIdleStatus {
                by: idle.means().name(),
                kept: idle.are_kept(),
                because: idle.means().to_string(),
            },
            paths: paths.iter().flatten().map(PathStatus::of).collect(),
        }
    }

    /// With how much connections begin, for the status page.
    pub(super) fn start_in_words(&self) -> String {
        let mut words = match &self.initial_window_lost {
            Some(reason) => format!("the system's default ({reason})"),
            None => format!(
                "{}, up to {} KB",
                self.initial_window,
                kilobytes(self.max_window_bytes)
            ),
        };
        for path in &self.paths {
            words.push_str(&path.in_words());
        }
        words
    }
}

impl AfterIdleStatus {
    /// For the status page.
    pub(super) fn in_words(&self) -> String {
        let kept = match self.kept {
            Some(true) => "kept",
            Some(false) => "not kept",
            None => "each by itself",
        };
        format!("{kept}: {}", self.because)
    }
}

impl PathStatus {
    fn of(path: &PathState) -> Self {
        Self {
            address: path.endpoint.to_string(),
            carried_bytes: path.carried,
            started_bytes: path.started,
            rtt_ms: path.rtt.as_secs_f64() * 1e3,
            on_hold_seconds: path.on_hold.map(|left| left.as_secs()),
        }
    }

    fn in_words(&self) -> String {
        if self.started_bytes.is_none() && self.carried_bytes.is_none() {
            return format!("; {}: nothing is known yet", self.address);
        }
        let bytes = |bytes: Option<u32>| match bytes {
            Some(bytes) => format!("{} KB", kilobytes(bytes)),
            None => "nothing".to_owned(),
        };
        let mut words = format!(
            "; {}: began with {}, carried {}",
            self.address,
            bytes(self.started_bytes),
            bytes(self.carried_bytes)
        );
        if let Some(seconds) = self.on_hold_seconds {
            words.push_str(&format!(", on hold for {seconds} s after a loss"));
        }
        words
    }
}

const fn kilobytes(bytes: u32) -> u32 {
    bytes / 1000
}
