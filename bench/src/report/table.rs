//! The tables of the report, as text.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::Report;
use crate::cpu::Turn;
use crate::statistics::Spread;
use crate::syscalls::Syscalls;
use crate::upstream::Tally;

/// Widest line, in columns.
const WIDTH: usize = 100;
/// Calls that happen less often than once in two hundred requests are left out.
const RARE: f64 = 0.005;

/// Requests, latencies and CPU time of every target at one number of connections.
pub(super) fn figures(report: &Report, connections: usize) -> String {
    let width = name_width(report);
    let mut text = format!(
        "{:<width$} {:>7} {:>6} {:>7} {:>10} {:>13} {:>6} {:>6} {:>5} {:>5} {:>5}\n",
        "",
        "req/s",
        "p50 µs",
        "p99 µs",
        "CPU µs/req",
        "min–max",
        "user",
        "system",
        "peer",
        "rig",
        "other"
    );
    for target in report.targets() {
        let median = |figure: fn(&Turn) -> f64| {
            let series = report.series(target, connections, |turn| Some(figure(turn)));
            Spread::of(series.into_iter().map(|(_, figure)| figure)).map(|spread| spread.median)
        };
        let cpu = report.series(target, connections, |turn| turn.cpu_us);
        let cpu = Spread::of(cpu.into_iter().map(|(_, figure)| figure));
        let proxied = cpu.is_some();
        let figure = |value: Option<f64>, decimals: usize| match value {
            Some(value) => format!("{value:.decimals$}"),
            None => "–".to_owned(),
        };
        let percent = |value: Option<f64>| figure(value.map(|share| share * 100.0), 0) + " %";
        let range = cpu.map_or("–".to_owned(), |cpu| {
            format!("{:.1}–{:.1}", cpu.min, cpu.max)
        });
        let _ = writeln!(
            text,
            "{target:<width$} {:>7} {:>6} {:>7} {:>10} {range:>13} {:>6} {:>6} {:>5} {:>5} {:>5}",
            figure(median(|turn| turn.requests_per_second), 0),
            figure(median(|turn| turn.p50_us), 0),
            figure(median(|turn| turn.p99_us), 0),
            figure(cpu.map(|cpu| cpu.median), 1),
            figure(median(|turn| turn.user_us).filter(|_| proxied), 1),
            figure(median(|turn| turn.system_us).filter(|_| proxied), 1),
            percent(median(|turn| turn.peer_utilisation).filter(|_| proxied)),
            percent(median(|turn| turn.rig_utilisation)),
            percent(median(Turn::foreign)),
        );
    }
    let _ = writeln!(
        text,
        "of the rig's CPU time per request: generator {} µs, upstream {} µs (least over targets)",
        least(report, connections, |turn| turn.generator_us),
        least(report, connections, |turn| turn.upstream_us),
    );
    text
}

/// Room for the longest name.
pub(super) fn name_width(report: &Report) -> usize {
    let names = report
        .targets()
        .into_iter()
        .map(|name| name.chars().count());
    names.max().unwrap_or_default().max(14)
}

fn least(report: &Report, connections: usize, figure: fn(&Turn) -> f64) -> String {
    let least = report
        .turns
        .iter()
        .filter(|turn| turn.valid() && turn.connections == connections)
        .map(figure)
        .min_by(f64::total_cmp);
    least.map_or("–".to_owned(), |figure| format!("{figure:.1}"))
}

/// Which TLS each target used towards the upstream, and how often it connected.
pub(super) fn handshakes(report: &Report) -> String {
    let width = name_width(report);
    let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
    for turn in &report.turns {
        tallies.entry(&turn.target).or_default().add(&turn.upstream);
    }
    let mut text =
        "TLS towards the upstream, warm-up included but not the start (connections per 1000 requests)\n".to_owned();
    for target in report.targets() {
        let Some(tally) = tallies.get(target) else {
            continue;
        };
        let per_thousand = tally.connections as f64 * 1000.0 / tally.requests.max(1) as f64;
        let mut kinds: Vec<_> = tally.handshakes.iter().collect();
        kinds.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let mut kinds: Vec<String> = kinds
            .into_iter()
            .map(|(kind, count)| format!("{count} × {kind}"))
            .collect();
        if tally.multiplexed > 0 {
            let share = tally.multiplexed as f64 * 100.0 / tally.requests.max(1) as f64;
            kinds.push(format!("{share:.0} % of requests in h2"));
        }
        if kinds.is_empty() {
            kinds.push("those of its start".to_owned());
        }
        text.push_str(&wrapped(
            &format!("  {target:<width$} {per_thousand:>8.1}  "),
            &kinds,
            ",",
        ));
    }
    text
}

/// System calls per request by name.
pub(super) fn syscalls(all: &[Syscalls]) -> String {
    let names = all.iter().map(|one| one.target.chars().count());
    let width = names.max().unwrap_or_default().max(14);
    let mut text = String::new();
    let mut heading = String::new();
    for one in all {
        let next = format!(
            "system calls per request at {} connections ({}, {} requests)\n",
            one.connections, one.tool, one.requests
        );
        if heading != next {
            text.push_str(&next);
            heading = next;
        }
        let mut calls: Vec<_> = one
            .per_request
            .iter()
            .filter(|(_, count)| **count >= RARE)
            .collect();
        calls.sort_by(|left, right| right.1.total_cmp(left.1));
        let calls: Vec<String> = calls
            .into_iter()
            .map(|(name, count)| format!("{name} {count:.2}"))
            .collect();
        text.push_str(&wrapped(
            &format!("  {:<width$} {:>8.2}  ", one.target, one.total()),
            &calls,
            ",",
        ));
    }
    text
}

/// `lead`, then `items` with `separator` after each but the last, broken into lines that
/// are indented to the end of `lead`.
pub(super) fn wrapped(lead: &str, items: &[String], separator: &str) -> String {
    let indent = lead.chars().count();
    let mut text = lead.to_owned();
    let mut column = indent;
    for (index, item) in items.iter().enumerate() {
        let last = index + 1 == items.len();
        let item = if last {
            item.clone()
        } else {
            format!("{item}{separator}")
        };
        let width = item.chars().count();
        if index > 0 && column + 1 + width > WIDTH {
            text.push('\n');
            text.push_str(&" ".repeat(indent));
            column = indent;
        } else if index > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(&item);
        column += width;
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_broken_and_aligned() {
        let item = "x".repeat(30);
        let text = wrapped("  lead  ", &vec![item; 4], ",");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|line| line.len() <= WIDTH));
        assert!(lines[0].ends_with(','));
        assert_eq!(lines[1].find('x'), Some(8));
    }
}
