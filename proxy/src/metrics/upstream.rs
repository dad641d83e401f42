//! Requests as upstream answers them, and the connections to it.

use std::time::Duration;

use super::cell::{Counter, Gauge, Histogram, Lazy};
use super::gen_ai::GenAiMetrics;
use super::http::{REASONS, ms, us};
use super::kernel::KernelMetrics;

/// 1 ms to 60 s, dense around the article's 37 to 62 ms.
const FIRST_BYTE_BUCKETS: [u64; 20] = ms([
    1, 5, 10, 20, 30, 40, 50, 60, 80, 100, 150, 250, 500, 1_000, 2_500, 5_000, 10_000, 20_000,
    30_000, 60_000,
]);

/// 250 µs to 8 s: name resolution and TLS handshakes, powers of two.
pub(super) const HANDSHAKE_BUCKETS: [u64; 16] = us([
    250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000, 512_000,
    1_024_000, 2_048_000, 4_096_000, 8_192_000,
]);

/// How one request to upstream went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Upstream answered with this status.
    Status(u16),
    /// Upstream began to answer, and said then that it has failed.
    ErrorWithin,
    /// The proxy gave up, with this error code.
    Failed(&'static str),
}

const CLASSES: [&str; 5] = ["2xx", "3xx", "4xx", "5xx", "error_within"];
const OUTCOMES: usize = CLASSES.len() + REASONS.len();

impl Outcome {
    fn index(self) -> usize {
        match self {
            Self::Status(status) => usize::from((status / 100).clamp(2, 5)) - 2,
            Self::ErrorWithin => 4,
            Self::Failed(code) => REASONS
                .iter()
                .position(|reason| *reason == code)
                .map_or(OUTCOMES, |index| CLASSES.len() + index),
        }
    }
}

/// What became of a second request sent beside a first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hedged {
    /// It was answered first.
    Won,
    /// The first one was answered first.
    Lost,
    /// It failed.
    Failed,
    /// It was not sent: the budget was spent.
    Denied,
}

impl Hedged {
    /// In the order of their counters.
    pub const ALL: [Self; 4] = [Self::Won, Self::Lost, Self::Failed, Self::Denied];

    /// As a label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Won => "won",
            Self::Lost => "lost",
            Self::Failed => "failed",
            Self::Denied => "denied",
        }
    }
}

/// Why a request was sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retried {
    /// No connection could be made.
    NoConnection,
    /// The connection ended, and upstream had certainly had nothing of it.
    Unread,
    /// Nothing of it was acknowledged in time.
    Unacknowledged,
    /// Upstream refused the key.
    KeyRefused,
    /// Upstream's limit was reached.
    Status429,
    /// 502.
    Status502,
    /// 503.
    Status503,
    /// 504.
    Status504,
}

impl Retried {
    /// In the order of their counters.
    pub const ALL: [Self; 8] = [
        Self::NoConnection,
        Self::Unread,
        Self::Unacknowledged,
        Self::KeyRefused,
        Self::Status429,
        Self::Status502,
        Self::Status503,
        Self::Status504,
    ];

    /// As a label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoConnection => "no_connection",
            Self::Unread => "unread",
            Self::Unacknowledged => "unacknowledged",
            Self::KeyRefused => "key_refused",
            Self::Status429 => "status_429",
            Self::Status502 => "status_502",
            Self::Status503 => "status_503",
            Self::Status504 => "status_504",
        }
    }
}

/// Count and first-byte time of requests with one outcome.
#[derive(Debug)]
pub struct Series {
    /// `holysheep_upstream_requests_total`
    pub requests: Counter,
    /// `holysheep_upstream_first_byte_seconds`
    pub first_byte: Histogram,
}

/// One worker's metrics of one upstream.
#[derive(Debug)]
pub struct UpstreamMetrics {
    by_outcome: [Lazy<Series>; OUTCOMES],
    /// `holysheep_upstream_connections{state="idle"}`
    pub idle: Gauge,
    /// `holysheep_upstream_connections{state="active"}`
    pub active: Gauge,
    /// `holysheep_upstream_connects_total{result="ok"}`
    pub connects: Counter,
    /// `holysheep_upstream_connects_total{result="failed"}`
    pub connect_failures: Counter,
    /// `holysheep_upstream_connects_total{result="cold"}`: a request had to wait for it.
    pub cold: Counter,
    /// `holysheep_upstream_connections_worn_total`
    pub worn: Counter,
    /// `holysheep_upstream_retries_total`, by [`Retried`]
    retries: [Counter; Retried::ALL.len()],
    /// `holysheep_upstream_hedges_total`, by [`Hedged`]
    hedges: [Counter; Hedged::ALL.len()],
    /// `holysheep_upstream_retries_denied_total`: the budget was spent.
    pub retries_denied: Counter,
    /// `holysheep_upstream_ejections_by_kernel_total`
    pub ejected_by_kernel: Counter,
    /// Requests to its models.
    pub gen_ai: GenAiMetrics,
    /// What the kernel says of its connections.
    pub kernel: KernelMetrics,
    /// `holysheep_upstream_tls_handshake_seconds`
    pub tls_handshake: Histogram,
}

impl Default for UpstreamMetrics {
    fn default() -> Self {
        Self {
            by_outcome: std::array::from_fn(|_| Lazy::default()),
            idle: Gauge::default(),
            active: Gauge::default(),
            connects: Counter::default(),
            connect_failures: Counter::default(),
            cold: Counter::default(),
            worn: Counter::default(),
            retries: Default::default(),
            hedges: Default::default(),
            retries_denied: Counter::default(),
            ejected_by_kernel: Counter::default(),
            gen_ai: GenAiMetrics::default(),
            kernel: KernelMetrics::default(),
            tls_handshake: Histogram::new(&HANDSHAKE_BUCKETS),
        }
    }
}

impl UpstreamMetrics {
    /// Counts one request to upstream; `first_byte` where a head came.
    #[inline]
    pub fn finished(&self, outcome: Outcome, first_byte: Option<Duration>) {
        let Some(series) = self.by_outcome.get(outcome.index()) else {
            return;
        };
        let series = series.get_or(|| Series {
            requests: Counter::default(),
            first_byte: Histogram::new(&FIRST_BYTE_BUCKETS),
        });
        series.requests.inc();
        if let Some(first_byte) = first_byte {
            series.first_byte.observe(first_byte);
        }
    }

    /// Times to the first byte, however the requests ended.
    pub fn first_bytes(&self) -> impl Iterator<Item = &Histogram> {
        let used = self.by_outcome.iter().filter_map(Lazy::get);
        used.map(|series| &series.first_byte)
    }

    /// A request is sent again.
    pub fn retried(&self, reason: Retried) {
        // A reason's number is its position in `ALL`.
        if let Some(counter) = self.retries.get(reason as usize) {
            counter.inc();
        }
    }

    /// What became of a second request.
    pub fn hedged(&self, what: Hedged) {
        // As above.
        if let Some(counter) = self.hedges.get(what as usize) {
            counter.inc();
        }
    }

    /// How often that was so, by its label.
    pub fn hedges(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.hedges.iter().map(Counter::get);
        Hedged::ALL.iter().map(|what| what.as_str()).zip(counts)
    }

    /// How often requests were sent again, by the reason's label.
    pub fn retries(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.retries.iter().map(Counter::get);
        Retried::ALL
            .iter()
            .map(|reason| reason.as_str())
            .zip(counts)
    }

    /// The series at one position, if used.
    pub(super) fn series(&self, outcome: usize) -> Option<&Series> {
        self.by_outcome.get(outcome)?.get()
    }
}

/// Labels of all possible outcomes, by position.
pub(super) fn labels() -> impl Iterator<Item = (usize, &'static str)> {
    CLASSES.iter().chain(&REASONS).copied().enumerate()
}
