//! What spans are made of, on its way from requests that are over to the exporter.

use std::time::Instant;

use super::Worker;
use crate::account::RequestRecord;
use crate::traces::{self, Finished};

impl Worker {
    /// Keeps what spans are made of until it is handed over.
    #[cold]
    pub fn keep_spans(&self, record: &mut RequestRecord, ended: Instant) {
        let Some(finished) = Finished::of(record, ended) else {
            return;
        };
        self.finished.borrow_mut().push(finished);
        if self.finished.borrow().len() >= traces::HAND_OVER {
            self.flush_spans();
        }
    }

    /// Hands over what spans are made of.
    pub(super) fn flush_spans(&self) {
        let Some(tracer) = &self.tracer else {
            return;
        };
        let finished = self.finished.take();
        if !finished.is_empty() {
            let dropped = tracer.hand_over(finished);
            self.metrics.spans_dropped.add(dropped);
        }
    }

    /// Bits for ids; nothing secret is made with them.
    pub fn random_bits(&self) -> u128 {
        self.random.borrow_mut().u128(..)
    }
}
