//! What a soak comes to: the list of what has to hold, and whether it does.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;
use tokio::time::sleep;

use super::flat::{Trend, Verdict};
use super::operator::Floor;
use super::sample::{Object, Sample, census};
use super::table::Report;
use crate::statistics::Spread;

/// The kernel frees its objects some time after nobody holds them any more.
const FREED: Duration = Duration::from_secs(10);

/// By how much more memory a proxy may hold at rest after the load than before it.
const RESIDUE_KIB: f64 = 3072.0;

/// A figure of the resident proxy that must not grow under load: its name, its unit, by how much it may over the second half
/// of the load, how it is had, and why it may grow by that.
type Row = (&'static str, &'static str, f64, fn(&Sample) -> Option<f64>);

/// Tolerances are absolute, so that a longer run is a sharper one.
const ROWS: [Row; 9] = [
    // Pools and buffers find their size in minutes; what leaks with requests is more than that within a quarter of an hour.
    ("memory (RSS)", "KiB", 1024.0, |sample| {
        Some(sample.held.rss_kib)
    }),
    ("anonymous memory", "KiB", 1024.0, |sample| {
        Some(sample.held.anonymous_kib)
    }),
    // Those that are no connections; a reading between two of the kernel's and the proxy's own is off by a few.
    ("sockets but connections", "", 3.0, Sample::other_sockets),
    ("other descriptors", "", 1.0, |sample| {
        Some(sample.held.other_descriptors)
    }),
    ("threads", "", 0.0, |sample| Some(sample.held.threads)),
    ("BPF objects", "", 0.0, |sample| {
        Some(sample.held.bpf_objects)
    }),
    ("connections of clients", "", 5.0, |sample| {
        Some(sample.said.as_ref()?.connections)
    }),
    ("connections to upstream", "", 8.0, |sample| {
        let said = sample.said.as_ref()?;
        Some(said.upstream_idle + said.upstream_active)
    }),
    // A status of a route that has not been seen before adds some thirty, which seldom ones do late.
    ("series of metrics", "", 200.0, |sample| {
        Some(sample.said.as_ref()?.series)
    }),
];

/// A figure under load.
#[derive(Debug, Serialize)]
pub(super) struct Judged {
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    pub(super) tolerance: f64,
    pub(super) trend: Trend,
    pub(super) verdict: Verdict,
    pub(super) could_see: f64,
}

/// What a proxy held while nothing was asked of it.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Rest {
    pub(super) rss_kib: f64,
    pub(super) threads: f64,
    pub(super) other_sockets: f64,
    pub(super) other_descriptors: f64,
    pub(super) bpf_objects: f64,
    pub(super) in_flight: f64,
    pub(super) connections: f64,
    pub(super) upstream_active: f64,
    pub(super) upstream_idle: f64,
    /// Errors it counted from the first look to the last.
    pub(super) errors: f64,
}

impl Rest {
    /// Of a line, from some looks: medians, but the most of what has to be nothing.
    pub(super) fn of(looks: &[Sample], line: usize) -> Self {
        let own = || looks.iter().filter(|sample| sample.line == line);
        let median = |figure: &dyn Fn(&Sample) -> Option<f64>| {
            Spread::of(own().filter_map(figure)).map_or(f64::NAN, |spread| spread.median)
        };
        let said = || own().filter_map(|sample| sample.said.as_ref());
        let most =
            |figure: fn(&super::scrape::Scrape) -> f64| said().map(figure).fold(f64::NAN, f64::max);
        let errors = Spread::of(said().map(super::scrape::Scrape::errors));
        Self {
            rss_kib: median(&|sample| Some(sample.held.rss_kib)),
            threads: median(&|sample| Some(sample.held.threads)),
            other_sockets: median(&Sample::other_sockets),
            other_descriptors: median(&|sample| Some(sample.held.other_descriptors)),
            bpf_objects: median(&|sample| Some(sample.held.bpf_objects)),
            in_flight: most(|said| said.in_flight),
            connections: most(|said| said.connections),
            upstream_active: most(|said| said.upstream_active),
            upstream_idle: most(|said| said.upstream_idle),
            errors: errors.map_or(f64::NAN, |spread| spread.max - spread.min),
        }
    }
}

/// Whether the last look at each line found nothing under way, and no connection of a client.
pub(super) fn is_settled(samples: &[Sample]) -> bool {
    [0, 1].iter().all(|line| {
        let mut last = samples.iter().rev().filter(|sample| sample.line == *line);
        let said = last.next().and_then(|sample| sample.said.as_ref());
        said.is_some_and(|said| said.in_flight + said.connections + said.upstream_active == 0.0)
    })
}

/// Objects of the kernel that proxies held and that are still there though all of them have ended.
///
/// # Errors
/// When the kernel does not tell.
pub(super) async fn objects_left(floor: &Floor<'_>, were_loaded: bool) -> Result<Vec<Object>> {
    if !were_loaded {
        return Ok(Vec::new());
    }
    let deadline = Instant::now() + FREED;
    loop {
        let there = census()?;
        let left: Vec<Object> = (floor.objects.borrow().iter())
            .filter(|object| there.contains(object))
            .copied()
            .collect();
        if left.is_empty() || Instant::now() > deadline {
            return Ok(left);
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// The trends of the resident proxy over the second half of the load.
pub(super) fn judge(samples: &[Sample], [from, until]: [f64; 2]) -> Vec<Judged> {
    let half = f64::midpoint(from, until);
    let own: Vec<&Sample> = (samples.iter())
        .filter(|sample| sample.line == 0 && sample.at_s >= half && sample.at_s <= until)
        .collect();
    let judged = ROWS.iter().filter_map(|(name, unit, tolerance, figure)| {
        let points = own
            .iter()
            .filter_map(|sample| Some((sample.at_s, figure(sample)?)));
        let trend = Trend::of(&points.collect::<Vec<_>>())?;
        Some(Judged {
            name,
            unit,
            tolerance: *tolerance,
            trend,
            verdict: trend.judge(*tolerance),
            could_see: trend.could_see(*tolerance),
        })
    });
    judged.collect()
}

/// Something that has to hold.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    pub(super) what: String,
    pub(super) holds: bool,
}

/// All that has to hold but the trends.
pub(super) fn checks(report: &Report) -> Vec<Check> {
    let mut checks = Checks::default();
    let problems = report.problems.len();
    checks.none(problems, "things that went wrong in operating", "");
    let (unexpected, of) = (report.unexpected_count as usize, report.requests);
    checks.none(
        unexpected,
        "answers that nobody expected",
        &format!(" of {of}"),
    );
    let (twice, of) = (report.billed_twice.len(), report.billed);
    checks.none(twice, "requests billed twice", &format!(" of {of} billed"));
    let in_flight = report.course.upstream_in_flight as usize;
    checks.none(in_flight, "requests that upstreams still work on", "");
    let badly = report.ended.iter().filter(|ended| !ended.is_well).count();
    let of = format!(" of {}", report.ended.len());
    checks.none(badly, "processes that did not end well", &of);
    let panics: u64 = report.ended.iter().map(|ended| ended.panics).sum();
    checks.none(panics as usize, "panics", "");
    match &report.course.no_ebpf {
        Some(reason) => checks.add(true, format!("NOT LOOKED AT, BPF objects: {reason}")),
        None => {
            let of = format!(" of {} that were loaded", report.objects);
            let left = report.course.objects_left.len();
            checks.none(left, "BPF objects left behind", &of);
        }
    }
    let [least, most] = report.counted_errors;
    let told = report.errors_told;
    checks.add(
        (least..=most).contains(&told),
        format!(
            "errors that the resident counted: {told}; its clients saw {least}, and {} had left",
            most - least
        ),
    );
    let [before, after] = &report.course.rest;
    for (name, (before, after)) in super::NAMES.iter().zip(before.iter().zip(after)) {
        checks.at_rest(name, before, after);
    }
    checks.0
}

#[derive(Default)]
struct Checks(Vec<Check>);

impl Checks {
    fn add(&mut self, holds: bool, what: String) {
        self.0.push(Check { what, holds });
    }

    fn none(&mut self, count: usize, what: &str, of: &str) {
        self.add(count == 0, format!("{what}: {count}{of}"));
    }

    /// What a proxy held at rest: nothing of some things, and no more than before of others.
    fn at_rest(&mut self, name: &str, before: &Rest, after: &Rest) {
        let zero = [
            ("requests in flight", after.in_flight),
            ("connections of clients", after.connections),
            ("busy connections to upstream", after.upstream_active),
            ("new errors", after.errors),
        ];
        let seen = zero.iter().map(|(what, count)| format!("{what} {count}"));
        let seen = seen.collect::<Vec<_>>().join(", ");
        let holds = zero.iter().all(|(_, count)| *count == 0.0);
        self.add(holds, format!("{name} at rest: {seen}"));
        let same = [
            ("threads", before.threads, after.threads, 0.0),
            ("BPF objects", before.bpf_objects, after.bpf_objects, 0.0),
            (
                "sockets but connections",
                before.other_sockets,
                after.other_sockets,
                1.0,
            ),
            (
                "other descriptors",
                before.other_descriptors,
                after.other_descriptors,
                1.0,
            ),
            // Of what a load has needed at most, the allocator keeps some.
            ("memory, KiB", before.rss_kib, after.rss_kib, RESIDUE_KIB),
        ];
        for (what, before, after, allowed) in same {
            self.add(
                after - before <= allowed,
                format!("{name} at rest, {what}: {before} before the load, {after} after it (+{allowed} allowed)"),
            );
        }
    }
}
