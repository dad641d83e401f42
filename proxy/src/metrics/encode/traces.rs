//! Spans, of all workers and of the control thread.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;

use super::{Collector, counters};

impl Collector {
    pub(super) fn traces(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let control = &self.control.traces;
        let rows = [
            ("exported", control.exported.get()),
            ("failed", control.failed.get()),
            ("dropped", self.sum(|worker| &worker.spans_dropped)),
        ];
        counters(
            encoder,
            "holysheep_trace_spans",
            "Spans of requests, by what became of them",
            rows.map(|(result, count)| (vec![("result", result)], count)),
        )
    }
}
