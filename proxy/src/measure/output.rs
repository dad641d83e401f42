//! Prints a report: as tables for a person, as JSON, or as CSV. Times are in milliseconds.

mod json;
mod tables;

use std::io::{self, BufWriter, Write};
use std::time::Duration;

use super::Report;
use super::objective::millis;
use super::results::Results;
use super::shares::Rest;
use super::statistics::Times;
use crate::table::{self, Format};

/// Prints to standard output.
///
/// # Errors
/// If it cannot be written to.
pub(super) fn print(report: &Report, format: Format) -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    match format {
        Format::Table => tables::print(&mut out, report)?,
        Format::Json => table::json(&mut out, &json::Document::of(report))?,
        Format::Csv => csv(&mut out, report)?,
    }
    out.flush()
}

/// A row for each target; what is not known is empty.
fn csv(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let mut titles = true;
    for of in &report.results {
        let cells = cells(of, report);
        if std::mem::take(&mut titles) {
            table::csv(out, &cells.iter().map(|cell| cell.0).collect::<Vec<_>>())?;
        }
        table::csv(
            out,
            &cells.iter().map(|cell| cell.1.as_str()).collect::<Vec<_>>(),
        )?;
    }
    Ok(())
}

type Cell = (&'static str, String);

fn cells(of: &Results, report: &Report) -> Vec<Cell> {
    let time = |time: Option<Duration>| number(time.map(millis));
    let of_latency = |pick: fn(&Times) -> Duration| time(of.latency.as_ref().map(pick));
    let mean = |times: &Option<Times>| time(times.as_ref().map(|times| times.mean));
    let errors = of.errors.iter();
    let errors: Vec<_> = errors
        .map(|(code, of)| format!("{code}:{}", of.count))
        .collect();
    let (upstream, proxy, rest) = match of.shares.map(|shares| shares.rest) {
        Some(Rest::Whole(rest)) => (None, None, Some(rest)),
        Some(Rest::Apart {
            upstream_ms,
            proxy_ms,
        }) => (Some(upstream_ms), Some(proxy_ms), None),
        None => (None, None, None),
    };
    let mut cells = vec![
        ("target", of.name.clone()),
        ("url", of.url.clone()),
        ("sent", of.sent.to_string()),
        ("good", of.good().to_string()),
        ("errors", errors.join(" ")),
        ("failed", of.failed.clone().unwrap_or_default()),
        ("on_new_connection", of.on_new_connection.to_string()),
        ("from_cache", of.from_cache.to_string()),
        ("mean_ms", of_latency(|times| times.mean)),
        ("min_ms", of_latency(|times| times.min)),
        ("p50_ms", of_latency(|times| times.p50)),
        ("p95_ms", of_latency(|times| times.p95)),
        ("p99_ms", of_latency(|times| times.p99)),
        ("max_ms", of_latency(|times| times.max)),
        ("first_byte_mean_ms", mean(&of.first_byte)),
        ("handshakes_failed", of.handshakes.failed.to_string()),
        ("dns_mean_ms", mean(&of.handshakes.name)),
        ("connect_mean_ms", mean(&of.handshakes.connect)),
        ("tls_mean_ms", mean(&of.handshakes.tls)),
        ("handshake_mean_ms", mean(&of.handshakes.all)),
        ("min_rtt_ms", time(of.kernel.min_rtt)),
        ("rtt_mean_ms", time(of.kernel.rtt)),
        ("retransmits", of.kernel.retransmits.to_string()),
        (
            "network_ms",
            number(of.shares.map(|shares| shares.network_ms)),
        ),
        ("upstream_ms", number(upstream)),
        ("proxy_ms", number(proxy)),
        ("rest_ms", number(rest)),
    ];
    cells.extend(differences(of));
    let judged = report.judgements.iter();
    let slo = judged
        .filter(|judged| judged.target == of.name)
        .map(|judged| {
            let verdict = if judged.is_met { "met" } else { "missed" };
            format!("{} {verdict}", judged.objective)
        });
    cells.push(("slo", slo.collect::<Vec<_>>().join("; ")));
    cells
}

fn differences(of: &Results) -> Vec<Cell> {
    const TITLES: [[&str; 3]; 3] = [
        [
            "mean_difference_ms",
            "mean_difference_low_ms",
            "mean_difference_high_ms",
        ],
        [
            "p95_difference_ms",
            "p95_difference_low_ms",
            "p95_difference_high_ms",
        ],
        [
            "p99_difference_ms",
            "p99_difference_low_ms",
            "p99_difference_high_ms",
        ],
    ];
    let found = of.against_first.as_ref().map(|against| against.differences);
    let mut cells = Vec::new();
    for (index, [ms, low, high]) in TITLES.into_iter().enumerate() {
        let difference = found.as_ref().and_then(|all| all.get(index));
        cells.push((ms, number(difference.map(|of| of.ms))));
        cells.push((low, number(difference.map(|of| of.low_ms))));
        cells.push((high, number(difference.map(|of| of.high_ms))));
    }
    cells
}

/// To the microsecond.
fn number(ms: Option<f64>) -> String {
    ms.map(|ms| format!("{ms:.3}")).unwrap_or_default()
}
