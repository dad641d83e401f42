//! What the bench of memory prints.
#![expect(clippy::print_stdout, reason = "the report is this program's output")]

use std::fmt::Write;

use serde::Serialize;

use super::{Held, Holding};
use crate::facts::Facts;
use crate::report::{print_facts, print_wrapped};
use crate::statistics::Spread;

/// The product's name.
const OWN: &str = "holysheep";
/// What it may hold, and hold for a stream: DESIGN's targets, in KiB.
const IDLE: f64 = 12.0 * 1024.0;
const STREAM: f64 = 32.0;
/// What it may take until its first answer, in milliseconds.
const START: f64 = 100.0;

/// Everything one run measured; this is also the shape of the JSON file.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) facts: Facts,
    /// What could not be measured, and why.
    pub(super) missing: Vec<String>,
    pub(super) holdings: Vec<Holding>,
}

/// What the columns mean.
const NOTES: [&str; 3] = [
    "start: from starting the program to its first right answer, which has gone to upstream and back; median (least–most).",
    "Memory in MiB, of all processes of a contender, what they share counted once (PSS); each in KiB: what was added, by the \
     number of connections or streams. gone: after they have been closed.",
    "A connection has carried one request and idles. A stream has brought one event and waits for the next, with a TLS \
     connection to upstream of its own. Sockets' memory in the kernel is not in it.",
];

impl Report {
    /// Prints it for people.
    pub(super) fn print(&self) {
        print_facts(&self.facts);
        println!();
        print!("{}", self.figures());
        println!();
        for note in NOTES {
            print_wrapped("", note);
        }
        println!();
        for line in self.targets() {
            print_wrapped("", &line);
        }
        for what in &self.missing {
            print_wrapped("NOT MEASURED ", what);
        }
    }

    fn figures(&self) -> String {
        let mut text = format!("{:<18} {:>20} {:>10}", "", "start ms", "idle MiB");
        let mut columns: Vec<Held> = Vec::new();
        for memory in self.holdings.iter().flat_map(|one| &one.memory) {
            if memory.held != Held::Nothing && !columns.contains(&memory.held) {
                columns.push(memory.held);
            }
        }
        for held in &columns {
            let title = match held {
                Held::Connections(count) => format!("{count} conns"),
                Held::Streams(count) => format!("{count} streams"),
                Held::Nothing | Held::Gone(_) => "gone".to_owned(),
            };
            let _ = match held {
                Held::Gone(_) => write!(text, " {title:>8}"),
                _ => write!(text, " {title:>13} {:>8}", "each KiB"),
            };
        }
        text.push('\n');
        for holding in &self.holdings {
            let _ = write!(text, "{:<18}", holding.contender);
            let start = Spread::of(holding.starts_ms.iter().copied());
            let start = start.map_or("–".to_owned(), |start| {
                format!("{:.0} ({:.0}–{:.0})", start.median, start.min, start.max)
            });
            let idle = holding.idle().map_or("–".to_owned(), mib);
            let _ = write!(text, " {start:>20} {idle:>10}");
            for held in &columns {
                let kib = holding.kib(*held).map_or("–".to_owned(), mib);
                let each = holding
                    .each(*held)
                    .map_or("–".to_owned(), |each| format!("{each:.1}"));
                let _ = match held {
                    Held::Gone(_) => write!(text, " {kib:>8}"),
                    _ => write!(text, " {kib:>13} {each:>8}"),
                };
            }
            text.push('\n');
        }
        text
    }

    /// Whether the product holds no more than it may.
    fn targets(&self) -> Vec<String> {
        let own = self.holdings.iter().find(|one| one.contender == OWN);
        let Some(own) = own else {
            return Vec::new();
        };
        let judged = |what: &str, figure: Option<f64>, most: f64, unit: &str| {
            let figure = figure?;
            let verdict = if figure <= most { "MET" } else { "MISSED" };
            Some(format!(
                "target: {what} at most {most:.0} {unit}: {figure:.1} {unit}: {verdict}"
            ))
        };
        let start = Spread::of(own.starts_ms.iter().copied());
        let streams = own.memory.iter().find_map(|memory| match memory.held {
            Held::Streams(_) => own.each(memory.held),
            _ => None,
        });
        let idle = own.idle().map(|kib| kib as f64 / 1024.0);
        [
            judged("memory idle", idle, IDLE / 1024.0, "MiB"),
            judged("memory of a stream", streams, STREAM, "KiB"),
            judged("start", start.map(|start| start.median), START, "ms"),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

impl Holding {
    fn kib(&self, held: Held) -> Option<u64> {
        let found = self.memory.iter().find(|memory| memory.held == held)?;
        Some(found.kib)
    }

    /// Of the started program.
    fn idle(&self) -> Option<u64> {
        self.kib(Held::Nothing)
    }

    /// What was added for each, against what the same process held before.
    fn each(&self, held: Held) -> Option<f64> {
        let at = self.memory.iter().position(|memory| memory.held == held)?;
        let before = self.memory.get(..at)?.iter().rev();
        let mut before = before.filter(|memory| memory.held == Held::Nothing);
        let count = match held {
            Held::Connections(count) | Held::Streams(count) => count,
            Held::Nothing | Held::Gone(_) => return None,
        };
        let added = self.kib(held)? as f64 - before.next()?.kib as f64;
        Some(added / count as f64)
    }
}

fn mib(kib: u64) -> String {
    format!("{:.1}", kib as f64 / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::super::Memory;
    use super::*;

    #[test]
    fn what_is_added_is_told_against_the_same_process_before() {
        let memory = [
            (Held::Nothing, 1_000),
            (Held::Connections(100), 3_000),
            (Held::Gone(100), 1_100),
            (Held::Nothing, 2_000),
            (Held::Streams(10), 2_200),
        ];
        let holding = Holding {
            contender: OWN.to_owned(),
            starts_ms: vec![30.0, 200.0, 40.0],
            memory: memory.map(|(held, kib)| Memory { held, kib }).into(),
        };
        assert_eq!(holding.each(Held::Connections(100)), Some(20.0));
        assert_eq!(holding.each(Held::Streams(10)), Some(20.0));
        assert_eq!(holding.each(Held::Gone(100)), None);
        let report = Report {
            facts: Facts::gather(None),
            missing: Vec::new(),
            holdings: vec![holding],
        };
        let lines = report.targets();
        assert!(lines.iter().all(|line| line.ends_with("MET")), "{lines:?}");
        assert_eq!(lines.len(), 3);
        let table = report.figures();
        assert!(
            table.contains("100 conns") && table.contains("40 (30–200)"),
            "{table}"
        );
    }
}
