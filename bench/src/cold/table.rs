//! What the bench of cold pools prints.
#![expect(clippy::print_stdout, reason = "the report is this program's output")]

use std::fmt::Write;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use super::turn::{Sample, Situation};
use crate::facts::Facts;
use crate::peer::Kind;
use crate::report::{Bars, print_facts, print_wrapped};
use crate::statistics::{Spread, paired_difference};

/// Everything one run measured; this is also the shape of the JSON file.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) facts: Facts,
    /// In the order of the table.
    pub(super) contenders: Vec<String>,
    /// What could not be measured, and why.
    pub(super) missing: Vec<String>,
    pub(super) rounds: usize,
    /// For how many seconds upstream keeps idle connections, and for how many they are idle.
    pub(super) keep_alive_s: f64,
    pub(super) idle_s: f64,
    /// Requests at once.
    pub(super) burst: usize,
    pub(super) samples: Vec<Sample>,
}

impl Report {
    /// Prints it for people.
    pub(super) fn print(&self) {
        print_facts(&self.facts);
        print_wrapped(
            "",
            &format!(
                "path to upstream: round trip 30 ms; upstream answers at once and closes connections that were idle for \
                 {} s. {} rounds; idling is {} s, a burst is {} requests at once. direct: TLS from the client, a new \
                 connection each but for warm.",
                self.keep_alive_s, self.rounds, self.idle_s, self.burst
            ),
        );
        println!();
        print!("{}", self.table());
        println!();
        print!("{}", self.differences());
        for what in &self.missing {
            print_wrapped("NOT MEASURED ", what);
        }
    }

    /// A finished round in a line.
    pub(super) fn line(&self, round: usize) -> String {
        let of = |contender: &String| {
            let mut samples = self.samples.iter().filter(|sample| {
                sample.round == round
                    && sample.contender == *contender
                    && sample.situation == Situation::Idle
            });
            let sample = samples.next()?;
            Some(format!("{contender} {:.1}", sample.milliseconds))
        };
        let all: Vec<String> = self.contenders.iter().filter_map(of).collect();
        let all = all.join(", ");
        format!(
            "round {}/{}: after idling, ms: {all}",
            round + 1,
            self.rounds
        )
    }

    fn table(&self) -> String {
        let mut text = format!("{:<14}", "ms");
        for contender in &self.contenders {
            let _ = write!(text, "{contender:>22}");
        }
        text.push('\n');
        for situation in Situation::ALL {
            let _ = write!(text, "{:<14}", situation.name());
            for contender in &self.contenders {
                let said = self.spread(contender, situation).map_or_else(
                    || "–".to_owned(),
                    |Spread { min, median, max }| format!("{median:.1} ({min:.1}–{max:.1})"),
                );
                let _ = write!(text, "{said:>22}");
            }
            text.push('\n');
        }
        text.push_str("medians of rounds, with the least and the most; warm is the median of five requests in each round\n");
        text
    }

    /// The product against everybody else, round by round.
    fn differences(&self) -> String {
        let own = Kind::HolySheep.name();
        let mut text = format!(
            "{own}, ms more than others (less where negative); min – median – max over paired rounds\n"
        );
        for other in self.contenders.iter().filter(|other| *other != own) {
            for situation in Situation::ALL {
                let (own, against) = (self.series(own, situation), self.series(other, situation));
                let Some(Spread { min, median, max }) = paired_difference(&own, &against) else {
                    continue;
                };
                let said = match (min > 0.0, max < 0.0) {
                    (true, _) => "   slower in every round",
                    (_, true) => "",
                    _ => "   no difference seen",
                };
                let _ = writeln!(
                    text,
                    "  against {other:<17} {:<14}{min:>7.1} – {median:>6.1} – {max:>6.1}{said}",
                    situation.name()
                );
            }
        }
        text
    }

    /// Medians as a picture.
    ///
    /// # Errors
    /// When there are none, or the file cannot be written.
    pub(super) fn draw(&self, path: &Path) -> Result<()> {
        let group = |situation: Situation| {
            let bar =
                |contender: &String| Some((contender.clone(), self.spread(contender, situation)?));
            let bars = self.contenders.iter().filter_map(bar).collect();
            (situation.name().to_owned(), bars)
        };
        Bars {
            title: "A request over a path of 30 ms, by what the proxy has open for it".to_owned(),
            unit: "ms",
            groups: Situation::ALL.into_iter().map(group).collect(),
            note: "Medians of rounds, with the least and the most; less is better.",
        }
        .draw(path)
    }

    fn spread(&self, contender: &str, situation: Situation) -> Option<Spread> {
        let series = self.series(contender, situation).into_iter();
        Spread::of(series.map(|(_, figure)| figure))
    }

    /// The figures of one contender in one situation, by round.
    fn series(&self, contender: &str, situation: Situation) -> Vec<(usize, f64)> {
        let samples = self.samples.iter();
        samples
            .filter(|sample| sample.contender == contender && sample.situation == situation)
            .map(|sample| (sample.round, sample.milliseconds))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_situations_and_differences_are_of_the_same_round() {
        let sample = |contender: &str, round, situation, milliseconds| Sample {
            contender: contender.to_owned(),
            round,
            situation,
            milliseconds,
        };
        let report = Report {
            facts: Facts::gather(None),
            contenders: vec!["direct".to_owned(), "holysheep".to_owned()],
            missing: Vec::new(),
            rounds: 2,
            keep_alive_s: 3.0,
            idle_s: 5.0,
            burst: 16,
            samples: vec![
                sample("direct", 0, Situation::Idle, 90.0),
                sample("direct", 1, Situation::Idle, 94.0),
                sample("holysheep", 0, Situation::Idle, 31.0),
                sample("holysheep", 1, Situation::Idle, 32.0),
                sample("direct", 0, Situation::Warm, 30.0),
                sample("holysheep", 0, Situation::Warm, 30.5),
                sample("direct", 1, Situation::Started, 30.0),
                sample("holysheep", 0, Situation::Started, 30.5),
            ],
        };
        let table = report.table();
        let idle = table.lines().find(|line| line.starts_with("after idling"));
        let words: Vec<&str> = idle.unwrap().split_ascii_whitespace().collect();
        assert_eq!(words[2..], ["92.0", "(90.0–94.0)", "31.5", "(31.0–32.0)"]);
        assert!(table.contains("–\n"), "what was not measured");
        let differences = report.differences();
        assert!(
            differences.contains("-62.0 –  -60.5 –  -59.0\n"),
            "{differences}"
        );
        let slower = "0.5 –    0.5 –    0.5   slower in every round";
        assert!(differences.contains(slower), "{differences}");
        assert!(!differences.contains("1 s after"), "no round has both");
        let line = report.line(1);
        assert!(line.ends_with("direct 94.0, holysheep 32.0"), "{line}");
    }
}
