//! A report as tables for a terminal.

use std::io::{self, Write};
use std::time::Duration;

use super::super::Report;
use super::super::objective::millis;
use super::super::results::Results;
use super::super::shares::Rest;
use super::super::statistics::{Difference, Times};
use crate::table::{Side, Table, short};

/// From so late on, of the 99th percentile, this program has not had the CPU it needs.
const LATE: Duration = Duration::from_millis(1);
/// A quantile that fewer requests than these lie beyond is a matter of chance.
const BEYOND: u64 = 10;
/// Characters of a reason from outside.
const REASON: usize = 120;
/// What is not known.
const UNKNOWN: &str = "–";

pub(super) fn print(out: &mut impl Write, report: &Report) -> io::Result<()> {
    head(out, report)?;
    latencies(out, report)?;
    errors(out, report)?;
    differences(out, report)?;
    shares(out, report)?;
    handshakes(out, report)?;
    notes(out, report)?;
    verdict(out, report)
}

fn head(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let extent = &report.extent;
    writeln!(
        out,
        "{}: {} requests to each target at {}/s, within {:.1} s, after {} to warm up\n",
        report.shape.in_words(),
        extent.rounds,
        extent.rate,
        report.took.as_secs_f64(),
        report.warm_up
    )?;
    let widest = report.results.iter().map(|of| of.name.len()).max();
    for of in &report.results {
        writeln!(
            out,
            "{:<width$}  {}",
            of.name,
            of.url,
            width = widest.unwrap_or(0)
        )?;
    }
    writeln!(out)
}

fn latencies(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let titles = ["good", "failed", "mean", "p50", "p95", "p99", "max"];
    let mut table = of_numbers("latency, ms", &titles);
    for of in &report.results {
        let failed = of.sent - of.good();
        let times = of.latency.as_ref();
        let time = |pick: fn(&Times) -> Duration| cell(times.map(pick));
        table.row([
            of.name.clone(),
            of.good().to_string(),
            failed.to_string(),
            time(|times| times.mean),
            time(|times| times.p50),
            time(|times| times.p95),
            time(|times| times.p99),
            time(|times| times.max),
        ]);
    }
    table.print(out)
}

fn errors(out: &mut impl Write, report: &Report) -> io::Result<()> {
    for of in &report.results {
        if let Some(failed) = &of.failed {
            writeln!(out, "\nFAIL  {}: {}", of.name, short(failed, REASON))?;
        }
        for (code, count) in &of.errors {
            let first = short(&count.first, REASON);
            writeln!(out, "\n{}: {} × {code}; {first}", of.name, count.count)?;
        }
        if let Some(remedy) = of.remedy {
            writeln!(out, "      → {remedy}")?;
        }
    }
    Ok(())
}

fn differences(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let compared = report.results.iter();
    let compared = compared.filter_map(|of| Some((of, of.against_first.as_ref()?)));
    let mut compared = compared.peekable();
    let Some((_, against)) = compared.peek() else {
        return Ok(());
    };
    writeln!(
        out,
        "\nAgainst {}, in the rounds in which both answered:\n",
        against.first
    )?;
    let mut table = Table::new([
        ("difference, ms", Side::Left),
        ("", Side::Left),
        ("", Side::Right),
        ("95 of 100 resamplings", Side::Left),
        ("", Side::Left),
    ]);
    for (of, against) in compared {
        let mut name = of.name.clone();
        for (what, difference) in ["mean", "p95", "p99"].into_iter().zip(against.differences) {
            table.row([
                std::mem::take(&mut name),
                what.to_owned(),
                signed(difference.ms),
                format!(
                    "{} to {}",
                    signed(difference.low_ms),
                    signed(difference.high_ms)
                ),
                seen(&difference).to_owned(),
            ]);
        }
    }
    table.print(out)
}

fn seen(difference: &Difference) -> &'static str {
    match difference.is_seen() {
        false => "no difference seen",
        true if difference.ms > 0.0 => "slower",
        true => "faster",
    }
}

fn shares(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let told = |of: &&Results| of.shares.is_some();
    if !report.results.iter().any(|of| told(&of)) {
        return Ok(());
    }
    let titles = [
        "network", "upstream", "proxy", "the rest", "min rtt", "mean rtt", "resent",
    ];
    let mut table = of_numbers("share of mean, ms", &titles);
    for of in report.results.iter().filter(told) {
        let [network, upstream, proxy, rest] = parts(of);
        table.row([
            of.name.clone(),
            network,
            upstream,
            proxy,
            rest,
            cell(of.kernel.min_rtt),
            cell(of.kernel.rtt),
            of.kernel.retransmits.to_string(),
        ]);
    }
    writeln!(out)?;
    table.print(out)
}

/// Network, upstream, proxy, and what is not taken apart, as cells.
fn parts(of: &Results) -> [String; 4] {
    let parts = of.shares.map(|shares| match shares.rest {
        Rest::Whole(rest) => [Some(shares.network_ms), None, None, Some(rest)],
        Rest::Apart {
            upstream_ms,
            proxy_ms,
        } => [
            Some(shares.network_ms),
            Some(upstream_ms),
            Some(proxy_ms),
            None,
        ],
    });
    let number = |ms: f64| format!("{ms:.2}");
    parts
        .unwrap_or_default()
        .map(|ms| ms.map_or_else(|| UNKNOWN.to_owned(), number))
}

fn handshakes(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let tried = |of: &Results| of.handshakes.failed > 0 || of.handshakes.all.is_some();
    if !report.results.iter().any(tried) {
        return Ok(());
    }
    writeln!(out)?;
    let titles = ["good", "failed", "dns", "connect", "tls", "together", "max"];
    let mut table = of_numbers("new connection, ms", &titles);
    for of in report.results.iter().filter(|of| tried(of)) {
        let shakes = &of.handshakes;
        let mean = |times: &Option<Times>| cell(times.as_ref().map(|times| times.mean));
        table.row([
            of.name.clone(),
            shakes.all.map_or(0, |times| times.count).to_string(),
            shakes.failed.to_string(),
            mean(&shakes.name),
            mean(&shakes.connect),
            mean(&shakes.tls),
            mean(&shakes.all),
            cell(shakes.all.map(|times| times.max)),
        ]);
    }
    table.print(out)
}

fn notes(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let mut notes = Vec::new();
    if report.is_stopped {
        notes.push("Stopped by a signal: this is what was measured until then.".to_owned());
    }
    if let Some(late) = report.late.filter(|late| late.p99 >= LATE) {
        notes.push(format!(
            "Requests were begun up to {:.2} ms late (p99), which is in the latencies: this program did not get\n\
             the CPU it needs. Give it more, or a lower --rate.",
            millis(late.p99)
        ));
    }
    for of in &report.results {
        let name = &of.name;
        if of.on_new_connection > 0 {
            notes.push(format!(
                "{name}: {} of {} requests waited for a new connection, and have its handshake in them.",
                of.on_new_connection, of.sent
            ));
        }
        if of.from_cache > 0 {
            notes.push(format!(
                "{name}: {} answers came out of a cache (Age), not from upstream.",
                of.from_cache
            ));
        }
    }
    let fewest = report
        .results
        .iter()
        .map(Results::good)
        .filter(|good| *good > 0)
        .min();
    if let Some(fewest) = fewest.filter(|fewest| fewest / 100 < BEYOND) {
        notes.push(format!(
            "p99 rests on {} of {fewest} requests; for {BEYOND} take --samples {}.",
            fewest.div_ceil(100),
            BEYOND * 100
        ));
    }
    for note in notes {
        writeln!(out, "\n{note}")?;
    }
    Ok(())
}

fn verdict(out: &mut impl Write, report: &Report) -> io::Result<()> {
    if report.judgements.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let widest = report.results.iter().map(|of| of.name.len()).max();
    for judged in &report.judgements {
        let mark = if judged.is_met { "met   " } else { "MISSED" };
        writeln!(
            out,
            "{mark}  {:<width$}  {:<12}  {}",
            judged.target,
            judged.objective,
            judged.measured,
            width = widest.unwrap_or(0)
        )?;
    }
    Ok(())
}

fn of_numbers(name: &'static str, titles: &[&'static str]) -> Table {
    let titles = titles.iter().map(|title| (*title, Side::Right));
    Table::new(std::iter::once((name, Side::Left)).chain(titles))
}

fn cell(time: Option<Duration>) -> String {
    time.map_or_else(|| UNKNOWN.to_owned(), |time| format!("{:.2}", millis(time)))
}

/// With its sign.
fn signed(ms: f64) -> String {
    format!("{ms:+.2}").replace('-', "−")
}
