//! Requests to models, of all workers, as OpenTelemetry names them.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::{Collector, Labels};
use crate::metrics::cell::{Histogram, NANOS, Snapshot};
use crate::metrics::gen_ai::{Labelled, Series};

/// Where a histogram is counted.
type Of = fn(&Series) -> &Histogram;

/// A metric: name, meaning, how many of what is counted are one unit, and its histograms with the token type of each.
struct Metric {
    name: &'static str,
    help: &'static str,
    unit: f64,
    histograms: &'static [(Option<&'static str>, Of)],
}

const METRICS: [Metric; 4] = [
    Metric {
        name: "gen_ai_client_token_usage",
        help: "Tokens that a request used, as upstream reported them",
        unit: 1.0,
        histograms: &[
            (Some("input"), |series| &series.input),
            (Some("output"), |series| &series.output),
        ],
    },
    Metric {
        name: "gen_ai_client_operation_duration_seconds",
        help: "From the head of a request to a model to the end of its response",
        unit: NANOS,
        histograms: &[(None, |series| &series.duration)],
    },
    Metric {
        name: "gen_ai_server_time_to_first_token_seconds",
        help: "From sending a request to the first output of its stream",
        unit: NANOS,
        histograms: &[(None, |series| &series.first_token)],
    },
    Metric {
        name: "gen_ai_server_time_per_output_token_seconds",
        help: "From the first output of a stream to its end, for each token after the first",
        unit: NANOS,
        histograms: &[(None, |series| &series.per_token)],
    },
];

impl Collector {
    pub(super) fn gen_ai(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut all: Vec<(&str, Labelled)> = Vec::new();
        for link in self.links.iter() {
            let workers = self.workers.iter();
            let series = workers.flat_map(|worker| worker.upstream(link.slot).gen_ai.all());
            all.extend(series.map(|one| (link.settings.name.as_str(), one)));
        }
        let key = |(upstream, one): &(&str, Labelled)| {
            (
                one.operation.as_str(),
                one.model.clone(),
                (*upstream).to_owned(),
            )
        };
        all.sort_by_key(key);
        for metric in &METRICS {
            let kind = MetricType::Histogram;
            let mut family = encoder.encode_descriptor(metric.name, metric.help, None, kind)?;
            for group in all.chunk_by(|one, other| key(one) == key(other)) {
                for (token, of) in metric.histograms {
                    let snapshot = Snapshot::of(group.iter().map(|(_, one)| of(&one.series)));
                    if snapshot.count() == 0 {
                        continue;
                    }
                    let Some((upstream, one)) = group.first() else {
                        continue;
                    };
                    let labels = of_model(upstream, one, *token);
                    family
                        .encode_family(&labels)?
                        .encode_histogram::<NoLabelSet>(
                            snapshot.sum(metric.unit),
                            snapshot.count(),
                            &snapshot.buckets_in(metric.unit),
                            None,
                        )?;
                }
            }
        }
        Ok(())
    }
}

fn of_model<'a>(upstream: &'a str, one: &'a Labelled, token: Option<&'a str>) -> Labels<'a> {
    let mut labels: Labels<'_> = vec![
        ("gen_ai_provider_name", upstream),
        ("gen_ai_operation_name", one.operation.as_str()),
        ("gen_ai_request_model", &one.model),
    ];
    labels.extend(token.map(|token| ("gen_ai_token_type", token)));
    labels
}
