//! What the bench of prompts prints.
#![expect(clippy::print_stdout, reason = "the report is this program's output")]

use std::fmt::Write;

use serde::Serialize;

use super::cell::{Cell, Key};
use super::lane::Sample;
use super::paths::{Emulated, HANDSHAKES};
use super::plan::{Situation, Size};
use super::verdict;
use crate::facts::Facts;
use crate::peer::Kind;
use crate::report::{print_facts, print_wrapped};

/// Everything one run measured; this is also the shape of the JSON file.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) facts: Facts,
    pub(super) paths: Vec<Emulated>,
    /// In the order of the table.
    pub(super) contenders: Vec<String>,
    pub(super) sizes: Vec<Size>,
    pub(super) situations: Vec<Situation>,
    /// What could not be measured, and why.
    pub(super) missing: Vec<String>,
    /// Requests that were not as meant, and were sent again later.
    pub(super) repeated: usize,
    /// Packets the emulation was too slow for; any makes the run doubtful.
    pub(super) overruns: u64,
    pub(super) samples: Vec<Sample>,
}

/// What the columns mean.
const NOTES: [&str; 6] = [
    "p50, p99: milliseconds from before the connection is opened (fresh, cold) or the first byte written (idle) to the \
     whole answer; p99 is the greatest where a cell has fewer than 100 samples. again: segments the client's kernel \
     sent again, for a request.",
    "fresh: first request of a new connection of the client, 1 s after the one before; a proxy has its pool as it is.",
    "cold: the same, and the proxy's connection to upstream has carried no request before, since upstream closes each \
     with its answer. Whether it was opened before the request came is said below. Compare with fresh of direct.",
    "loss: the first sample of a cell meets the same losses with every contender, segment by segment, and so does each \
     other; which segments are lost depends on nothing but the numbers of the sample and the segment. A proxy may answer losses with another connection to upstream, a new \
     one too, so there fresh and idle are of whichever it takes.",
    "idle: the client's connection, and with it the proxy's to upstream, which has carried requests before, has been idle for so long. Not every proxy keeps it for 30 s; who did not is said below.",
    "floor: round trip, 1 ms in which upstream thinks, and on the narrow link the size at its rate; floor+hs: and two \
     round trips of handshakes (TCP, TLS 1.3), which fresh of direct has to have, and cold where nothing is opened ahead.",
];

impl Report {
    /// Prints it for people.
    pub(super) fn print(&self) {
        print_facts(&self.facts);
        println!(
            "one request at a time; hosts with cubic; each row has a path and a process of its own for each size"
        );
        for path in &self.paths {
            println!();
            print!("{}", section(self, path));
        }
        println!();
        for situation in &self.situations {
            println!("samples, {situation:<10}{}", self.counts(*situation));
        }
        for note in NOTES {
            print_wrapped("", note);
        }
        println!();
        print!("{}", verdict::all(self));
        self.print_chosen();
        self.print_doubts();
    }

    /// Requests after a pause that a proxy sent over a connection that had carried none.
    fn print_chosen(&self) {
        let pauses = self.situations.iter();
        for &situation in pauses.filter(|one| matches!(one, Situation::Idle(_))) {
            for contender in self
                .contenders
                .iter()
                .filter(|name| *name != Kind::Direct.name())
            {
                let mut all = 0;
                let mut first = 0;
                for sample in &self.samples {
                    if sample.situation == situation && sample.contender == *contender {
                        all += 1;
                        first += usize::from(sample.number == 1);
                    }
                }
                if first > 0 {
                    let what = "requests went over a connection to upstream that had carried none";
                    print_wrapped(
                        "NOTE ",
                        &format!("{situation}, {contender}: {first} of {all} {what}"),
                    );
                }
            }
        }
    }

    fn print_doubts(&self) {
        for what in &self.missing {
            print_wrapped("NOT MEASURED ", what);
        }
        if self.repeated > 0 {
            let what = "requests came after a longer pause than they should, or on another connection, and were repeated";
            print_wrapped("NOTE ", &format!("{} {what}", self.repeated));
        }
        if self.overruns > 0 {
            let what = "packets were dropped because the emulation was too slow";
            print_wrapped("DOUBTFUL ", &format!("{} {what}", self.overruns));
        }
    }

    /// The figures of a cell, if it was measured.
    pub(super) fn cell(
        &self,
        path: &str,
        contender: &str,
        size: Size,
        situation: Situation,
    ) -> Option<Cell> {
        let key = Key {
            path,
            contender,
            size,
            situation,
        };
        Cell::of(&self.samples, key)
    }

    /// Samples of a cell of each size.
    fn counts(&self, situation: Situation) -> String {
        let mut text = String::new();
        for &size in &self.sizes {
            let cells = self.paths.iter().flat_map(|path| {
                let cell = move |name: &String| self.cell(path.name, name, size, situation);
                self.contenders.iter().filter_map(cell)
            });
            let counts: Vec<usize> = cells.map(|cell| cell.count).collect();
            let (least, most) = (counts.iter().min(), counts.iter().max());
            let counts = match (least, most) {
                (Some(least), Some(most)) if least == most => least.to_string(),
                (Some(least), Some(most)) => format!("{least} to {most}"),
                _ => "–".to_owned(),
            };
            let _ = write!(text, "  {size}: {counts:<4}");
        }
        text.trim_end().to_owned()
    }
}

/// Everything about one path.
fn section(report: &Report, path: &Emulated) -> String {
    let mut text = format!("{}: {}\n{:24}", path.name, path.described(), "");
    for size in &report.sizes {
        let _ = write!(text, "{:>24}", size.to_string());
    }
    text.push('\n');
    let _ = write!(text, "{:24}", "");
    for _ in &report.sizes {
        let _ = write!(text, "{:>9}{:>9}{:>6}", "p50", "p99", "again");
    }
    text.push('\n');
    for &situation in &report.situations {
        let mut label = situation.to_string();
        let mut line = |name: &str, cells: String| {
            let _ = writeln!(text, "{label:<11}{name:<13}{}", cells.trim_end());
            label.clear();
        };
        line("floor", floor(report, path, 0));
        if !matches!(situation, Situation::Idle(_)) {
            line("floor+hs", floor(report, path, HANDSHAKES));
        }
        for contender in &report.contenders {
            if situation == Situation::Cold && contender == Kind::Direct.name() {
                continue;
            }
            let cells = report.sizes.iter().map(|&size| {
                let cell = report.cell(path.name, contender, size, situation);
                cell.map_or_else(|| format!("{:>9}{:>9}{:>6}", "–", "–", "–"), figures)
            });
            line(contender, cells.collect());
        }
    }
    text
}

fn floor(report: &Report, path: &Emulated, handshakes: u32) -> String {
    let floor = |size: &Size| {
        let floor = path.floor_ms(size.0, handshakes);
        format!("{floor:>9.1}{:15}", "")
    };
    report.sizes.iter().map(floor).collect()
}

fn figures(cell: Cell) -> String {
    let again = cell.again_per_request();
    format!("{:>9.1}{:>9.1}{again:>6.1}", cell.p50, cell.p99)
}
