//! Requests to models, under OpenTelemetry's names for them, so that existing dashboards work.
//!
//! Names, buckets and meanings are those of its semantic conventions for generative AI; the proxy is a client that also
//! sees when the first token came. A model has series of its own once upstream has answered with it: names that clients
//! make up do not become labels.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::cell::{Histogram, nanos};
use super::http::ms;
use crate::by_name::ByName;
use crate::route::Operation;

/// Models with series of their own, in each worker and operation.
const MAX_MODELS: usize = 100;
/// The label of all others.
pub const OTHER: &str = "other";

/// `gen_ai.client.token.usage`: tokens, each four times the one before.
const TOKEN_BUCKETS: [u64; 14] = [
    1, 4, 16, 64, 256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216,
    67_108_864,
];
/// `gen_ai.client.operation.duration`: 10 ms to 82 s, each twice the one before.
const DURATION_BUCKETS: [u64; 14] = ms([
    10, 20, 40, 80, 160, 320, 640, 1_280, 2_560, 5_120, 10_240, 20_480, 40_960, 81_920,
]);
/// `gen_ai.server.time_to_first_token`: 1 ms to 10 s, and what Envoy AI Gateway adds, to 60 s.
const FIRST_TOKEN_BUCKETS: [u64; 21] = ms([
    1, 5, 10, 20, 40, 60, 80, 100, 250, 500, 750, 1_000, 2_500, 5_000, 7_500, 10_000, 15_000,
    20_000, 30_000, 45_000, 60_000,
]);
/// `gen_ai.server.time_per_output_token`: 10 ms to 2.5 s.
const PER_TOKEN_BUCKETS: [u64; 13] = ms([
    10, 25, 50, 75, 100, 150, 200, 300, 400, 500, 750, 1_000, 2_500,
]);

/// What there is to count of one request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request {
    /// Tokens of the prompt.
    pub input: Option<u64>,
    /// Tokens of the answer.
    pub output: Option<u64>,
    /// From its head to the end of its response.
    pub duration: Duration,
    /// From sending it to the first output of a stream.
    pub first_token: Option<Duration>,
    /// From there to the end of the stream.
    pub streamed: Option<Duration>,
}

/// The series of one operation and model.
#[derive(Debug)]
pub struct Series {
    /// `gen_ai_client_token_usage{gen_ai_token_type="input"}`
    pub input: Histogram,
    /// `gen_ai_client_token_usage{gen_ai_token_type="output"}`
    pub output: Histogram,
    /// `gen_ai_client_operation_duration_seconds`
    pub duration: Histogram,
    /// `gen_ai_server_time_to_first_token_seconds`
    pub first_token: Histogram,
    /// `gen_ai_server_time_per_output_token_seconds`
    pub per_token: Histogram,
}

impl Default for Series {
    fn default() -> Self {
        Self {
            input: Histogram::new(&TOKEN_BUCKETS),
            output: Histogram::new(&TOKEN_BUCKETS),
            duration: Histogram::new(&DURATION_BUCKETS),
            first_token: Histogram::new(&FIRST_TOKEN_BUCKETS),
            per_token: Histogram::new(&PER_TOKEN_BUCKETS),
        }
    }
}

impl Series {
    fn count(&self, request: &Request) {
        for (histogram, tokens) in [(&self.input, request.input), (&self.output, request.output)] {
            if let Some(tokens) = tokens {
                histogram.observe_number(tokens);
            }
        }
        self.duration.observe(request.duration);
        if let Some(first) = request.first_token {
            self.first_token.observe(first);
        }
        // The first one is not waited for after itself.
        let others = request.output.and_then(|tokens| tokens.checked_sub(1));
        if let (Some(streamed), Some(others @ 1..)) = (request.streamed, others) {
            self.per_token
                .observe(Duration::from_nanos(nanos(streamed) / others));
        }
    }
}

/// All series of one worker, for whoever reads them.
#[derive(Debug, Default)]
pub struct GenAiMetrics(Mutex<Vec<Labelled>>);

/// A series with its labels.
#[derive(Clone, Debug)]
pub struct Labelled {
    /// `gen_ai_operation_name`
    pub operation: Operation,
    /// `gen_ai_request_model`
    pub model: Box<str>,
    /// What is counted.
    pub series: Arc<Series>,
}

impl GenAiMetrics {
    /// The series there are now.
    pub fn all(&self) -> Vec<Labelled> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Makes a series. Rare enough for a lock: once for each model.
    fn add(&self, operation: Operation, model: &str) -> Arc<Series> {
        let series = Arc::<Series>::default();
        let labelled = Labelled {
            operation,
            model: model.into(),
            series: Arc::clone(&series),
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(labelled);
        series
    }
}

/// One worker's way to its series, without a lock for those there are.
#[derive(Debug, Default)]
pub struct Models([RefCell<ByName<Arc<Series>>>; Operation::COUNT]);

impl Models {
    /// Counts a request that upstream has answered; `is_real` says that it did so with that model.
    pub fn count(
        &self,
        metrics: &GenAiMetrics,
        (operation, model): (Operation, Option<&str>),
        is_real: bool,
        request: &Request,
    ) {
        let Some(known) = self.0.get(operation as usize) else {
            return;
        };
        let mut known = known.borrow_mut();
        if let Some(series) = model.and_then(|model| known.get(model)) {
            return series.count(request);
        }
        let is_new = is_real && known.len() < MAX_MODELS;
        let label = model.filter(|_| is_new).unwrap_or(OTHER);
        let series = match known.get(label) {
            Some(series) => Arc::clone(series),
            None => {
                let series = metrics.add(operation, label);
                known.insert(label.into(), Arc::clone(&series));
                series
            }
        };
        series.count(request);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_that_clients_make_up_are_no_labels_and_there_is_an_end_to_them() {
        let (metrics, models) = (GenAiMetrics::default(), Models::default());
        let request = Request::default();
        models.count(
            &metrics,
            (Operation::Chat, Some("made-up")),
            false,
            &request,
        );
        models.count(&metrics, (Operation::Chat, None), true, &request);
        assert_eq!(metrics.all().len(), 1, "both are other");
        for number in 0..2 * MAX_MODELS {
            let model = format!("m{number}");
            models.count(&metrics, (Operation::Chat, Some(&model)), true, &request);
        }
        assert_eq!(metrics.all().len(), MAX_MODELS);
        models.count(
            &metrics,
            (Operation::Embeddings, Some("m0")),
            true,
            &request,
        );
        let all = metrics.all();
        assert_eq!(all.len(), MAX_MODELS + 1);
        assert_eq!(&*all[0].model, OTHER);
    }

    #[test]
    fn the_first_token_is_not_waited_for_after_itself() {
        let series = Series::default();
        for output in [0, 1, 11] {
            series.count(&Request {
                output: Some(output),
                streamed: Some(Duration::from_secs(1)),
                ..Request::default()
            });
        }
        let snapshot = crate::metrics::cell::Snapshot::of([&series.per_token]);
        assert_eq!(snapshot.count(), 1);
        assert!((snapshot.sum_seconds() - 0.1).abs() < 1e-9);
    }
}
