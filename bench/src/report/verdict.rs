//! Ratios between targets, and whether the project's targets are met.

use std::fmt::Write;

use super::Report;
use crate::peer::{BARE, Feature, Http2, Kind, LIMITS, NO_DELAY, NO_EBPF, SYSTEM_WINDOW};
use crate::statistics::{Spread, paired_ratio};

/// At most this share of the CPU time of the better of HAProxy and kept-alive nginx.
const AGAINST_TUNED: f64 = 0.85;
/// At most this share of the CPU time of nginx as the article configures it.
const AGAINST_ARTICLE: f64 = 1.0 / 7.0;

/// At most this many times the CPU time of the product without kernel programs.
const AGAINST_NO_EBPF: f64 = 1.03;

/// At most this many times the CPU time of the product without limits.
const AGAINST_NO_LIMITS: f64 = 1.03;

/// The product, and whatever stands in for it.
fn subjects(report: &Report) -> Vec<&str> {
    let others = [
        "direct",
        BARE,
        "nginx-article",
        "nginx",
        "haproxy",
        NO_DELAY,
        NO_EBPF,
        SYSTEM_WINDOW,
        Kind::LiteLlm.name(),
        Kind::Portkey.name(),
    ];
    report
        .targets()
        .into_iter()
        .filter(|target| !others.contains(target))
        .filter(|target| Http2::named(target).is_none_or(Http2::is_product))
        .collect()
}

/// Whether that is the product with one thing more, which is compared with the product alone.
fn is_feature(name: &str) -> bool {
    Feature::ALL.iter().any(|feature| feature.name() == name)
}

/// Whether one differs from the other in one way only: by a feature, by h2 on a side, or by being another proxy.
fn is_comparable(subject: &str, other: &str) -> bool {
    let product = |name: &str| name.starts_with("holysheep");
    match (Http2::named(subject), Http2::named(other)) {
        (None, None) => !(is_feature(subject) && is_feature(other)),
        (Some(one), Some(other)) => one.is_for_clients() == other.is_for_clients(),
        (Some(_), None) => product(other),
        (None, Some(_)) => false,
    }
}

/// Every subject against every other proxy.
pub(super) fn ratios(report: &Report) -> String {
    let mut text =
        "CPU time per request, one divided by the other; min – median – max over paired rounds\n"
            .to_owned();
    let subjects = subjects(report);
    let width = super::table::name_width(report);
    if subjects.is_empty() {
        text.push_str("  neither holysheep nor an --extra was measured\n");
    }
    for (index, subject) in subjects.iter().enumerate() {
        // Two subjects are compared once only.
        for other in report
            .targets()
            .into_iter()
            .filter(|other| !subjects[index..].contains(other))
            .filter(|other| is_comparable(subject, other))
        {
            for &connections in &report.connections {
                if let Some(ratio) = ratio(report, subject, other, connections) {
                    let _ = writeln!(
                        text,
                        "  {subject:<width$} / {other:<14} {connections:>4} connections   {}{}",
                        range(ratio),
                        if ratio.covers(1.0) {
                            "   no difference seen"
                        } else {
                            ""
                        }
                    );
                }
            }
        }
    }
    text
}

/// One line per subject, number of connections and target.
pub(super) fn targets(report: &Report) -> String {
    let mut text = "targets, by the median ratio\n".to_owned();
    let subjects = subjects(report);
    if subjects.is_empty() {
        text.push_str("  not measured\n");
    }
    for subject in subjects {
        for &connections in &report.connections {
            for (wording, other, limit) in comparisons(report, subject, connections) {
                let _ = writeln!(text, "  {subject} at {connections}: {wording}");
                let _ = match ratio(report, subject, other, connections) {
                    Some(ratio) => writeln!(
                        text,
                        "      {} (against {other}, {}, limit {limit:.3})",
                        judgement(ratio, limit),
                        range(ratio)
                    ),
                    None => writeln!(text, "      not measured"),
                };
            }
        }
    }
    text
}

/// The targets that concern what was measured: in words, the peer, and the limit.
fn comparisons(
    report: &Report,
    subject: &str,
    connections: usize,
) -> Vec<(&'static str, &'static str, f64)> {
    let measured = report.targets();
    let median = |other: &&str| {
        let figures = cpu(report, other, connections).into_iter();
        Spread::of(figures.map(|(_, figure)| figure)).map(|spread| spread.median)
    };
    // No target was set for h2.
    let peers = match Http2::named(subject) {
        Some(_) => &[][..],
        None => &["haproxy", "nginx"][..],
    };
    let better = peers
        .iter()
        .copied()
        .filter_map(|other| Some((other, median(&other)?)))
        .min_by(|left, right| left.1.total_cmp(&right.1))
        .map(|(other, _)| other);
    let known = |name| measured.contains(&name).then_some(name);
    let all = [
        (
            "at most 0.85 × the better of HAProxy and kept-alive nginx",
            better,
            AGAINST_TUNED,
        ),
        (
            "at most 1/7 of the article's nginx",
            known("nginx-article").filter(|_| Http2::named(subject).is_none()),
            AGAINST_ARTICLE,
        ),
        (
            "kernel programs cost at most 3 %",
            known(NO_EBPF).filter(|_| Http2::named(subject).is_none()),
            AGAINST_NO_EBPF,
        ),
        (
            "limits for clients cost at most 3 %",
            known("holysheep").filter(|_| subject == LIMITS),
            AGAINST_NO_LIMITS,
        ),
    ];
    all.into_iter()
        .filter_map(|(wording, other, limit)| Some((wording, other?, limit)))
        .collect()
}

/// The median decides; a range that reaches across the limit is said.
pub(crate) fn judgement(figure: Spread, limit: f64) -> &'static str {
    match (
        figure.median <= limit,
        figure.min <= limit && figure.max > limit,
    ) {
        (true, false) => "MET",
        (true, true) => "MET, but not in every round",
        (false, false) => "MISSED",
        (false, true) => "MISSED, but not in every round",
    }
}

fn range(ratio: Spread) -> String {
    format!("{:.3} – {:.3} – {:.3}", ratio.min, ratio.median, ratio.max)
}

fn cpu(report: &Report, target: &str, connections: usize) -> Vec<(usize, f64)> {
    report.series(target, connections, |turn| turn.cpu_us)
}

/// `None` where either side has no valid round.
fn ratio(report: &Report, own: &str, other: &str, connections: usize) -> Option<Spread> {
    paired_ratio(
        &cpu(report, own, connections),
        &cpu(report, other, connections),
    )
}

#[cfg(test)]
mod tests;
