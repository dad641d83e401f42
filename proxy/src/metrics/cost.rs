//! What requests cost, by client and model.
//!
//! A model that has a price is a series by its name in the catalogue, whatever of its names was asked for. One that has none
//! gets a series once upstream has answered with it, as with `gen_ai.rs`: names that clients make up do not become labels.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};

use super::WorkerMetrics;
use super::cell::Counter;
use super::gen_ai::OTHER;
use super::usage::TOKENS;
use crate::by_name::ByName;
use crate::cost::{Amount, Tokens};

/// Models without a price that have series of their own, for each client of a worker.
const MAX_UNPRICED: usize = 100;

/// An amount that only grows, in millionths of a millionth of a dollar: 18 million dollars fit.
#[derive(Debug, Default)]
pub struct Money(Counter);

impl Money {
    /// Adds to it. Only the owning thread may call it.
    pub fn add(&self, amount: Amount) {
        self.0.add(u64::try_from(amount.pico()).unwrap_or(u64::MAX));
    }

    /// The present amount.
    pub fn get(&self) -> Amount {
        Amount::from_pico(self.0.get().into())
    }
}

/// What one client's requests to one model cost.
#[derive(Debug, Default)]
pub struct Series {
    /// Requests whose tokens are reported, and priced.
    pub requests: Counter,
    /// Their tokens: of the prompt in all, of those the cached and those put into the cache, and of the answer.
    tokens: [Counter; 4],
    /// What they cost.
    pub cost: Money,
    /// What requests cost whose tokens are estimated.
    pub estimated: Money,
    /// Tokens, reported or estimated, that have no price, by [`TOKENS`].
    pub unpriced: [Counter; TOKENS.len()],
}

impl Series {
    /// Tokens of the requests whose tokens are reported and priced.
    pub fn tokens(&self) -> Tokens {
        let [input, cached, cache_written, output] = &self.tokens;
        Tokens {
            input: input.get(),
            cached: cached.get(),
            cache_written: cache_written.get(),
            cache_written_1h: 0,
            output: output.get(),
        }
    }

    fn count(&self, charge: &Charge) {
        let tokens = &charge.tokens;
        match (charge.amount, charge.is_estimate) {
            (Some(amount), false) => {
                self.requests.inc();
                self.cost.add(amount);
                let counts = [
                    tokens.input,
                    tokens.cached,
                    tokens.cache_written,
                    tokens.output,
                ];
                for (counter, count) in self.tokens.iter().zip(counts) {
                    counter.add(count);
                }
            }
            (Some(amount), true) => self.estimated.add(amount),
            (None, _) => {
                let counts = [tokens.input, tokens.output];
                for (counter, count) in self.unpriced.iter().zip(counts) {
                    counter.add(count);
                }
            }
        }
    }
}

/// What is to be counted of a request.
#[derive(Clone, Copy, Debug)]
pub struct Charge {
    /// What it used.
    pub tokens: Tokens,
    /// Upstream has not said it.
    pub is_estimate: bool,
    /// What that costs, if its model has a price.
    pub amount: Option<Amount>,
}

/// All series of one worker, for whoever reads them.
#[derive(Debug, Default)]
pub struct CostMetrics(Mutex<Vec<Labelled>>);

/// A series with its labels.
#[derive(Clone, Debug)]
pub struct Labelled {
    /// The client's name.
    pub client: Arc<str>,
    /// The model's.
    pub model: Arc<str>,
    /// What is counted.
    pub series: Arc<Series>,
}

impl CostMetrics {
    /// The series there are now.
    pub fn all(&self) -> Vec<Labelled> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Makes a series. Rare enough for a lock: once for each client and model.
    fn add(&self, client: &str, model: &str) -> Arc<Series> {
        let series = Arc::<Series>::default();
        let labelled = Labelled {
            client: client.into(),
            model: model.into(),
            series: Arc::clone(&series),
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(labelled);
        series
    }
}

/// All workers' series, those of one client and model one after the other.
pub fn sorted(workers: &[Arc<WorkerMetrics>]) -> Vec<Labelled> {
    let mut all: Vec<_> = workers
        .iter()
        .flat_map(|worker| worker.cost.all())
        .collect();
    all.sort_by(|one, other| one.labels().cmp(&other.labels()));
    all
}

/// Those of each client and model.
pub fn groups(sorted: &[Labelled]) -> impl Iterator<Item = &[Labelled]> {
    sorted.chunk_by(|one, other| one.labels() == other.labels())
}

impl Labelled {
    fn labels(&self) -> (&str, &str) {
        (&self.client, &self.model)
    }
}

/// The models of one client.
#[derive(Debug, Default)]
struct Models {
    known: ByName<Arc<Series>>,
    unpriced: usize,
}

/// One worker's way to its series, without a lock for those there are.
#[derive(Debug, Default)]
pub struct Ledger(RefCell<ByName<Models>>);

impl Ledger {
    /// Counts a request to a model with a price.
    pub fn count(&self, metrics: &CostMetrics, (client, model): (&str, &str), charge: &Charge) {
        self.with(client, |models| {
            models.count(metrics, (client, model), charge);
        });
    }

    /// Counts one to a model without; `is_real` says that upstream has answered with that model.
    pub fn count_unpriced(
        &self,
        metrics: &CostMetrics,
        (client, model): (&str, Option<&str>),
        is_real: bool,
        charge: &Charge,
    ) {
        self.with(client, |models| {
            let is_new =
                |model: &&str| is_real && models.unpriced < MAX_UNPRICED && *model != OTHER;
            let label = match model {
                Some(model) if models.known.contains_key(model) => model,
                model => match model.filter(is_new) {
                    Some(model) => {
                        models.unpriced += 1;
                        model
                    }
                    None => OTHER,
                },
            };
            models.count(metrics, (client, label), charge);
        });
    }

    fn with(&self, client: &str, count: impl FnOnce(&mut Models)) {
        let mut clients = self.0.borrow_mut();
        match clients.get_mut(client) {
            Some(models) => count(models),
            None => count(clients.entry(client.into()).or_default()),
        }
    }
}

impl Models {
    fn count(&mut self, metrics: &CostMetrics, (client, model): (&str, &str), charge: &Charge) {
        match self.known.get(model) {
            Some(series) => series.count(charge),
            None => {
                let series = metrics.add(client, model);
                series.count(charge);
                self.known.insert(model.into(), series);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHARGE: Charge = Charge {
        tokens: Tokens {
            input: 10,
            cached: 3,
            cache_written: 2,
            cache_written_1h: 0,
            output: 7,
        },
        is_estimate: false,
        amount: Some(Amount::from_pico(1_000)),
    };

    fn found(metrics: &CostMetrics, client: &str, model: &str) -> Arc<Series> {
        let all = metrics.all();
        let mut all = all.iter();
        let found = all.find(|one| &*one.client == client && &*one.model == model);
        Arc::clone(&found.unwrap().series)
    }

    #[test]
    fn reports_estimates_and_what_has_no_price_are_told_apart() {
        let (metrics, ledger) = (CostMetrics::default(), Ledger::default());
        let estimate = Charge {
            is_estimate: true,
            ..CHARGE
        };
        for charge in [CHARGE, CHARGE, estimate] {
            ledger.count(&metrics, ("a", "m"), &charge);
        }
        ledger.count(&metrics, ("b", "m"), &CHARGE);
        let unpriced = Charge {
            amount: None,
            ..estimate
        };
        ledger.count_unpriced(&metrics, ("a", Some("n")), true, &unpriced);
        assert_eq!(metrics.all().len(), 3);
        let series = found(&metrics, "a", "m");
        assert_eq!(series.requests.get(), 2);
        assert_eq!(series.cost.get().pico(), 2_000);
        assert_eq!(series.estimated.get().pico(), 1_000);
        assert_eq!(series.tokens(), CHARGE.tokens.plus(&CHARGE.tokens));
        let series = found(&metrics, "a", "n");
        assert_eq!(series.requests.get(), 0);
        assert_eq!(series.unpriced.each_ref().map(Counter::get), [10, 7]);
    }

    #[test]
    fn models_that_clients_make_up_are_no_labels_and_there_is_an_end_to_them() {
        let (metrics, ledger) = (CostMetrics::default(), Ledger::default());
        let charge = Charge {
            amount: None,
            ..CHARGE
        };
        ledger.count_unpriced(&metrics, ("a", Some("made-up")), false, &charge);
        ledger.count_unpriced(&metrics, ("a", None), true, &charge);
        assert_eq!(metrics.all().len(), 1);
        for number in 0..2 * MAX_UNPRICED {
            let model = format!("m{number}");
            ledger.count_unpriced(&metrics, ("a", Some(&model)), true, &charge);
        }
        assert_eq!(metrics.all().len(), 1 + MAX_UNPRICED);
        assert_eq!(
            found(&metrics, "a", OTHER).unpriced[0].get(),
            10 * (2 + MAX_UNPRICED as u64)
        );
        // Of another client, and one with a price, there is still room.
        ledger.count_unpriced(&metrics, ("b", Some("m0")), true, &charge);
        ledger.count(&metrics, ("a", "priced"), &CHARGE);
        assert_eq!(metrics.all().len(), 3 + MAX_UNPRICED);
    }
}
