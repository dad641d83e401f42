//! What the probe thread answers and hands on.

use super::cell::Counter;
use super::queue::QueueMetrics;

/// The paths of probes, as they are answered on the probe listeners.
pub const PATHS: [&str; 3] = ["/health", "/livez", "/readyz"];

/// The probe thread's share.
#[derive(Debug, Default)]
pub struct ProbeMetrics {
    /// Its listeners' queues, taken together.
    pub queue: QueueMetrics,
    /// By path; first those answered 200, then those answered 503.
    answers: [[Counter; 2]; PATHS.len()],
    /// Steered connections that turned out to be no probes, and went to a worker.
    pub handed_over: Counter,
}

impl ProbeMetrics {
    /// Counts an answer.
    pub fn answered(&self, path: &str, ok: bool) {
        let index = PATHS.iter().position(|known| *known == path);
        let counters = index.and_then(|index| self.answers.get(index));
        if let Some([good, bad]) = counters {
            if ok { good.inc() } else { bad.inc() }
        }
    }

    /// Path, status and number of the answers.
    pub fn answers(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        let by_path = PATHS.iter().zip(&self.answers);
        by_path
            .flat_map(|(path, [good, bad])| [(*path, "200", good.get()), (*path, "503", bad.get())])
    }
}
