//! Spans handed to the receiver. The control thread alone counts here; what workers drop they count themselves.

use super::cell::Counter;

/// What became of spans.
#[derive(Debug, Default)]
pub struct TraceMetrics {
    /// The receiver has them.
    pub exported: Counter,
    /// It refused them, or could not be reached for long enough.
    pub failed: Counter,
}
