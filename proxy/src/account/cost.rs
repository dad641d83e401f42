//! What a request cost, when it has ended.

use super::RequestRecord;
use super::usage::Source;
use crate::cost::Tokens;
use crate::metrics::cost::Charge;

impl RequestRecord {
    /// Computes and counts it; `is_real` says that upstream has answered with the model that was asked for.
    ///
    /// The model that answered says what it costs, since it is the one that upstream bills; the one asked for where
    /// upstream calls it by a name that has no price.
    pub(super) fn charge(&mut self, is_real: bool) {
        let Some(observed) = &self.observed else {
            return;
        };
        let source = observed.source(self.end);
        if source == Source::Unknown {
            return;
        }
        let found = observed.found();
        let mut charge = Charge {
            tokens: Tokens::of(&found.usage(), observed.output(self.end)),
            is_estimate: source == Source::Estimated,
            amount: None,
        };
        let asked = self.model.as_deref();
        let worker = &self.worker;
        let (ledger, metrics) = (&worker.ledger, &worker.metrics.cost);
        let prices = worker.prices();
        match prices.find_either(found.model.as_deref(), asked) {
            Some(entry) => {
                charge.amount = Some(entry.price.of(&charge.tokens));
                ledger.count(metrics, (self.client_name(), &entry.name), &charge);
            }
            None => {
                let labels = (self.client_name(), asked);
                ledger.count_unpriced(metrics, labels, is_real, &charge);
            }
        }
        drop(prices);
        self.cost = charge.amount;
    }
}
