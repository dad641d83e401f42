//! What a soak prints, and the shape of its JSON file.
#![expect(clippy::print_stdout, reason = "the report is this program's output")]

use std::collections::BTreeMap;

use serde::Serialize;

use super::NAMES;
use super::flat::Verdict;
use super::operator::{Done, Floor, Mark};
use super::outcome::LEFT;
use super::proxy::Ended;
use super::sample::{Object, Sample};
use super::verdict::{Check, Judged, Rest, checks, judge};
use crate::facts::Facts;
use crate::report::{print_facts, print_wrapped};
use crate::statistics::Spread;

/// A run shorter than this, minutes, is said not to show much.
const SHORT: f64 = 20.0;

/// How the run went.
#[derive(Debug, Serialize)]
pub(super) struct Course {
    pub(super) minutes: f64,
    /// Requests a second that were aimed at.
    pub(super) rate: u32,
    pub(super) replace_every_s: f64,
    /// Why there were no kernel programs, if there were none.
    pub(super) no_ebpf: Option<String>,
    pub(super) is_interrupted: bool,
    /// When the load began and ended.
    pub(super) window_s: [f64; 2],
    /// Before the load and after it, by line.
    pub(super) rest: [[Rest; 2]; 2],
    pub(super) upstream_in_flight: u64,
    pub(super) objects_left: Vec<Object>,
}

/// Everything a run found; this is also the shape of the JSON file.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) facts: Facts,
    pub(super) course: Course,
    pub(super) done: Done,
    pub(super) requests: u64,
    /// By kind of client, then by outcome.
    pub(super) outcomes: BTreeMap<String, BTreeMap<String, u64>>,
    /// Sent again by clients whose connection was closed before an answer had begun.
    pub(super) repeated: u64,
    pub(super) unexpected_count: u64,
    pub(super) unexpected: Vec<String>,
    pub(super) problems: Vec<String>,
    pub(super) billed: usize,
    pub(super) billed_twice: Vec<String>,
    /// BPF objects that were seen in all.
    pub(super) objects: usize,
    pub(super) ended: Vec<Ended>,
    /// Errors of the resident proxy's own that its clients saw: at least, and with all who left.
    pub(super) counted_errors: [u64; 2],
    /// Those it counted.
    pub(super) errors_told: u64,
    pub(super) judged: Vec<Judged>,
    pub(super) checks: Vec<Check>,
    pub(super) marks: Vec<Mark>,
    pub(super) samples: Vec<Sample>,
}

impl Report {
    /// Judges a run that is over.
    pub(super) fn make(floor: &Floor<'_>, facts: Facts, course: Course) -> Self {
        let book = floor.book.borrow();
        let samples = floor.samples.take();
        let mut outcomes: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
        for ((client, _, outcome), count) in &book.counts {
            let of_client = outcomes.entry((*client).to_owned()).or_default();
            *of_client.entry(outcome.clone()).or_default() += count;
        }
        let of_resident = |is_it: &dyn Fn(&str) -> bool| -> u64 {
            let counts = book.counts.iter();
            let own = counts.filter(|((_, line, outcome), _)| *line == 0 && is_it(outcome));
            own.map(|(_, count)| count).sum()
        };
        let seen = of_resident(&|outcome| outcome.contains('`') || outcome.contains("broken off"));
        let left = of_resident(&|outcome| outcome == LEFT);
        let told = (samples.iter().rev())
            .find_map(|sample| (sample.line == 0).then_some(sample.said.as_ref()?.errors()));
        let site = floor.site.borrow();
        let (billed, billed_twice) = site.billed();
        let mut report = Self {
            facts,
            done: floor.done.get(),
            requests: book.requests,
            outcomes,
            repeated: book.repeated,
            unexpected_count: book.unexpected_count,
            unexpected: book.unexpected.iter().map(ToString::to_string).collect(),
            problems: floor.problems.take(),
            billed,
            billed_twice: billed_twice.to_vec(),
            objects: floor.objects.borrow().len(),
            ended: floor.ended.take(),
            counted_errors: [seen, seen + left],
            errors_told: told.unwrap_or_default() as u64,
            judged: judge(&samples, course.window_s),
            checks: Vec::new(),
            marks: floor.marks.take(),
            samples,
            course,
        };
        report.checks = checks(&report);
        report
    }

    /// Whether nothing has grown and everything holds. What is doubtful is no failure.
    pub(super) fn is_well(&self) -> bool {
        !self.judged.is_empty()
            && self.judged.iter().all(|row| row.verdict != Verdict::Rising)
            && self.checks.iter().all(|check| check.holds)
    }

    /// Prints it for people.
    pub(super) fn print(&self) {
        print_facts(&self.facts);
        self.print_course();
        println!();
        self.print_outcomes();
        println!();
        self.print_trends();
        println!();
        self.print_checks();
        println!();
        self.print_complaints();
        self.print_limits();
        println!();
        match self.is_well() {
            true => println!(
                "FLAT: nothing has grown, and every answer was one that had to be expected."
            ),
            false => println!("NOT WELL: see what is marked NO or RISING above."),
        }
    }

    fn print_course(&self) {
        let done = &self.done;
        let [from, until] = self.course.window_s;
        let ended = if self.course.is_interrupted {
            ", interrupted"
        } else {
            ""
        };
        println!(
            "load of {:.1} minutes{ended}; {} requests in all, with the warm-up",
            (until - from) / 60.0,
            self.requests
        );
        print_wrapped(
            "meanwhile: ",
            &format!(
                "{} configurations that can be used and {} that cannot, {} certificates, {} troubles upstream, {} scrapes; \
                 the second proxy replaced {} times by take-over, {} times stopped and followed, {} times stopped and started; \
                 {} take-overs broken off",
                done.reloads[0],
                done.reloads[1],
                done.certificates,
                done.events,
                done.scrapes,
                done.replaced[0],
                done.replaced[1],
                done.replaced[2],
                done.take_overs_broken,
            ),
        );
        match &self.course.no_ebpf {
            Some(reason) => println!("WITHOUT KERNEL PROGRAMS: {reason}"),
            None => println!("with kernel programs"),
        }
    }

    fn print_outcomes(&self) {
        println!("what clients got:");
        for (client, outcomes) in &self.outcomes {
            let mut sorted: Vec<(&String, &u64)> = outcomes.iter().collect();
            sorted.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
            let said: Vec<String> = (sorted.iter())
                .map(|(outcome, count)| format!("{outcome}: {count}"))
                .collect();
            print_wrapped(&format!("  {client:<12} "), &said.join("; "));
        }
        println!(
            "  sent again, since a connection was closed before an answer: {}",
            self.repeated
        );
    }

    fn print_trends(&self) {
        println!(
            "{:<33} {:>8} {:>8} {:>8} {:>18} {:>7}",
            format!("{}, second half of the load", NAMES[0]),
            "begins",
            "ends",
            "change",
            "within (95 %)",
            "allowed"
        );
        for row in &self.judged {
            let trend = &row.trend;
            let name = match row.unit {
                "" => row.name.to_owned(),
                unit => format!("{}, {unit}", row.name),
            };
            let verdict = match row.verdict {
                Verdict::Flat => "flat",
                Verdict::Doubtful => "DOUBTFUL",
                Verdict::Rising => "RISING",
            };
            println!(
                "  {name:<31} {:>8.0} {:>8.0} {:>+8.0} {:>18} {:>7.0} {verdict:>9}",
                trend.first,
                trend.last,
                trend.change,
                format!("{:+.0} to {:+.0}", trend.least, trend.most),
                row.tolerance,
            );
        }
        if self.judged.is_empty() {
            println!("  NOT JUDGED: too few samples");
        }
    }

    fn print_checks(&self) {
        for check in &self.checks {
            let lead = if check.holds { "ok   " } else { "NO   " };
            print_wrapped(lead, &check.what);
        }
        for line in self.unexpected.iter().chain(&self.problems) {
            print_wrapped("     ", line);
        }
    }

    fn print_complaints(&self) {
        let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
        for (said, count) in self.ended.iter().flat_map(|ended| &ended.complaints) {
            *sums.entry(said).or_default() += count;
        }
        if !sums.is_empty() {
            println!("the proxies' logs, all processes:");
        }
        for (said, count) in sums {
            print_wrapped(&format!("  {count:>6} × "), said);
        }
    }

    /// Requests that the resident was asked over the second half of the load.
    fn requests_judged(&self) -> f64 {
        let [from, until] = self.course.window_s;
        let half = f64::midpoint(from, until);
        let own = self.samples.iter().filter(|sample| sample.line == 0);
        let judged = own.filter(|sample| sample.at_s >= half && sample.at_s <= until);
        let counts = Spread::of(judged.filter_map(|sample| Some(sample.said.as_ref()?.requests)));
        counts.map_or(f64::NAN, |spread| (spread.max - spread.min).max(1.0))
    }

    /// What a run of this length cannot show.
    fn print_limits(&self) {
        let [from, until] = self.course.window_s;
        let minutes = (until - from) / 60.0;
        let memory = self
            .judged
            .iter()
            .find(|row| row.name.starts_with("memory"));
        if let Some(row) = memory {
            let requests = self.requests_judged();
            print_wrapped(
                "",
                &format!(
                    "A leak of less than {:.0} bytes a request, or {:.0} KiB a minute, would not have been seen.",
                    row.could_see * 1024.0 / requests,
                    row.could_see / row.trend.seconds * 60.0,
                ),
            );
        }
        if minutes < SHORT {
            print_wrapped(
                "SHORT: ",
                &format!(
                    "a load of {minutes:.0} minutes is over before buffers and tables have found their size, and before anything \
                     that happens by the hour (key rotation of TLS tickets, the day's end of budgets) has happened. It shows wrong \
                     answers and coarse leaks; for the rest take 30 minutes or more."
                ),
            );
        }
    }
}
