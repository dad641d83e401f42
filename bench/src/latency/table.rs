//! What the benches of latency print.
#![expect(clippy::print_stdout, reason = "the report is this program's output")]

use std::fmt::Write;

use super::Bench;
use super::report::{Report, Share};
use super::shares::Parts;
use super::turn::Turn;
use super::verdict::{self, Figure};
use crate::peer::Kind;
use crate::report::{print_disturbed, print_facts, print_wrapped};
use crate::statistics::Spread;

/// The article's rows, in milliseconds: mean, p95, p99.
const ARTICLE: [(&str, [f64; 3]); 2] = [
    ("article, from a pod", [37.2, 48.5, 62.3]),
    ("article, by ingress", [52.4, 68.7, 89.2]),
];

impl Report {
    /// Prints it for people.
    pub(super) fn print(&self) {
        print_facts(&self.facts);
        print_wrapped("", &ceiling(self.ceiling, self.rate));
        print_wrapped("", &self.setting());
        if let Some(setting) = self.gateway_setting() {
            print_wrapped("", &setting);
        }
        println!();
        print!("{}", self.figures());
        print_wrapped("", &self.connecting());
        println!();
        for note in self.notes() {
            print_wrapped("", note);
        }
        println!();
        print!("{}", verdict::against_direct(self));
        println!();
        print!("{}", self.parts());
        println!();
        print!("{}", verdict::targets(self));
        self.print_doubts();
    }

    fn setting(&self) -> String {
        let what = match (self.bench, &self.thinking) {
            (Bench::Table, Some(thinking)) => {
                format!("path to upstream: round trip 30 ms; upstream thinks {thinking}")
            }
            _ => "all on loopback; upstream answers at once".to_owned(),
        };
        let awake = match self.awake {
            true => "; CPUs are kept awake by loops at idle priority",
            false => "",
        };
        format!(
            "{} rounds of {} requests to each contender, {} a second at random times (seed {}), on {} connections; {what}{awake}",
            self.rounds, self.requests, self.rate, self.seed, self.connections
        )
    }

    /// Milliseconds over a path, microseconds on loopback: factor, decimals, name.
    fn unit(&self) -> (f64, usize, &'static str) {
        match self.bench {
            Bench::Table => (1.0, 2, "ms"),
            Bench::Latency => (1000.0, 0, "µs"),
        }
    }

    fn figures(&self) -> String {
        let (_, _, unit) = self.unit();
        let mut text = format!(
            "{:<20}{:>7}{:>8}{:>8}{:>16}{:>8}{:>16}{:>8}{:>9}\n",
            format!("latency in {unit}"),
            "mean",
            "p50",
            "p95",
            "min–max",
            "p99",
            "min–max",
            "p99.9",
            "max"
        );
        for contender in &self.contenders {
            let _ = writeln!(text, "{}", self.row(contender));
        }
        if self.bench == Bench::Table {
            for (name, [mean, p95, p99]) in ARTICLE {
                let _ = writeln!(
                    text,
                    "{name:<20}{mean:>7.1}{:>8}{p95:>8.1}{:>16}{p99:>8.1}",
                    "–", ""
                );
            }
        }
        text
    }

    fn row(&self, contender: &str) -> String {
        let (factor, decimals, _) = self.unit();
        let spread = |figure: fn(&Turn) -> f64| {
            Spread::of(self.turns(contender).map(|turn| figure(turn) * factor))
        };
        let say = |figure: Option<f64>| {
            figure.map_or("–".to_owned(), |one| format!("{one:.decimals$}"))
        };
        let median = |(_, figure): Figure| say(spread(figure).map(|spread| spread.median));
        let range = |(_, figure): Figure| {
            spread(figure).map_or("–".to_owned(), |Spread { min, max, .. }| {
                format!("{min:.decimals$}–{max:.decimals$}")
            })
        };
        let [mean, p50, p95, p99, p999] = verdict::FIGURES;
        format!(
            "{contender:<20}{:>7}{:>8}{:>8}{:>16}{:>8}{:>16}{:>8}{:>9}",
            median(mean),
            median(p50),
            median(p95),
            range(p95),
            median(p99),
            range(p99),
            median(p999),
            say(spread(|turn| turn.figures.max).map(|spread| spread.max)),
        )
    }

    fn connecting(&self) -> String {
        let each = self.contenders.iter().map(|contender| {
            let seen = || self.turns(contender).map(|turn| turn.upstream);
            let opened: usize = seen().map(|seen| seen.connections).sum();
            let sent: usize = seen().map(|seen| seen.requests).sum();
            let per_thousand = opened as f64 * 1000.0 / sent.max(1) as f64;
            format!("{contender} {per_thousand:.1}")
        });
        let each: Vec<String> = each.collect();
        format!(
            "TLS connections to upstream opened for 1000 requests: {}",
            each.join(", ")
        )
    }

    fn notes(&self) -> &'static [&'static str] {
        match self.bench {
            Bench::Table => &[
                "Medians of rounds; min–max: over rounds; max: of all. A request is counted from when it was to be sent, \
                 whether or not anything was free then.",
                "Clients are beside the proxy and speak plain HTTP to it; the path and TLS are between proxy and upstream, \
                 for direct between client and upstream. Connections that are kept have been opened before.",
                "All contenders get the same requests at the same times, and in each round upstream thinks exactly the \
                 distribution's times, in another order; direct shows what the article measured from a pod.",
            ],
            Bench::Latency => &[
                "Medians of rounds; min–max: over rounds; max: of all. A request is counted from when it was to be sent, \
                 whether or not anything was free then.",
                "The client of direct speaks TLS, the others' do not; proxies run on the other CPU, which sleeps between \
                 requests, so waking it up counts as added.",
            ],
        }
    }

    fn parts(&self) -> String {
        let mut text = format!(
            "{:<26}{:>9}{:>10}{:>10}{:>10}{:>10}{:>11}\n",
            "where the time goes, in ms",
            "whole",
            "network",
            "upstream",
            "proxy",
            "rest",
            "requests"
        );
        for Share {
            contender,
            figure,
            known,
            parts,
        } in &self.shares
        {
            let Parts {
                whole,
                network,
                upstream,
                proxy,
                rest,
            } = parts;
            let _ = writeln!(
                text,
                "  {contender:<18}{figure:<6}{whole:>9.3}{network:>10.3}{upstream:>10.3}{proxy:>10.3}{rest:>10.3}{known:>11}"
            );
        }
        let told: Vec<&str> = self
            .shares
            .iter()
            .map(|share| share.contender.as_str())
            .collect();
        let others = self
            .contenders
            .iter()
            .filter(|name| !told.contains(&name.as_str()));
        // The product tells, if its kernel programs run; nothing is guessed of others.
        let (silent, others): (Vec<&str>, Vec<&str>) = others
            .map(String::as_str)
            .partition(|name| name.starts_with(Kind::HolySheep.name()));
        for (names, why) in [
            (others, "not told"),
            (silent, "not known, since its kernel programs do not run"),
        ] {
            if !names.is_empty() {
                let _ = writeln!(text, "  {why}: {}", names.join(", "));
            }
        }
        text.push_str(
            "  By the product's access log and what the kernel saw of each request (docs/kernel.md). rest:\n  \
             client, loopback, until the product reads the request, ingress. Quantiles: the mean around them.\n",
        );
        text
    }

    fn print_doubts(&self) {
        for what in &self.missing {
            print_wrapped("NOT MEASURED ", what);
        }
        for turn in self.turns.iter().filter(|turn| !turn.valid()) {
            let first = turn.first_error.as_deref().unwrap_or("no answer at all");
            let (contender, round) = (&turn.contender, turn.round + 1);
            let what = format!(
                "{contender}, round {round}: {} errors, first: {first}",
                turn.errors
            );
            print_wrapped("INVALID ", &what);
        }
        for text in self.too_busy() {
            print_wrapped("DOUBTFUL ", &text);
        }
        if self.overruns > 0 {
            println!(
                "DOUBTFUL the paths lost {} packets: too slow",
                self.overruns
            );
        }
        let late = Spread::of(self.turns.iter().map(|turn| turn.late_p99_us));
        if let Some(Spread { median, max, .. }) = late {
            let text = format!(
                "the generator itself was late by {median:.0} µs at p99 (median of turns; at most {max:.0}), which is counted"
            );
            print_wrapped("", &text);
        }
        let shares = |turn: &Turn| (turn.foreign, turn.steal);
        print_disturbed(&self.turns.iter().map(shares).collect::<Vec<_>>());
    }

    /// One turn in one line, for progress.
    pub(super) fn line(&self, turn: &Turn) -> String {
        let (factor, decimals, unit) = self.unit();
        let say = |figure: f64| format!("{:.decimals$}", figure * factor);
        let figures = &turn.figures;
        format!(
            "round {}/{}: {:<18} mean {:>6}, p95 {:>6}, p99 {:>6}, p99.9 {:>6} {unit}{}",
            turn.round + 1,
            self.rounds,
            turn.contender,
            say(figures.mean),
            say(figures.p95),
            say(figures.p99),
            say(figures.p999),
            if turn.valid() { "" } else { ", INVALID" },
        )
    }
}

/// What the rig can do, against what is asked of it.
pub(super) fn ceiling(ceiling: Spread, rate: f64) -> String {
    let Spread { min, median, max } = ceiling;
    let share = rate / median * 100.0;
    format!(
        "load generator and upstream by themselves, without delay or proxy: {min:.0} – {median:.0} – {max:.0} req/s; \
         sent: {rate:.0}, {share:.1} % of that"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::Bench;
    use crate::latency::report::filled;

    #[test]
    fn every_contender_has_its_row_and_the_article_its_own() {
        let text = filled(Bench::Table).figures();
        let direct = text.lines().find(|line| line.starts_with("direct"));
        let words: Vec<&str> = direct.unwrap().split_whitespace().collect();
        let expected = [
            "direct",
            "40.05",
            "40.05",
            "40.05",
            "40.00–40.10",
            "40.05",
            "40.00–40.10",
            "40.05",
            "40.10",
        ];
        assert_eq!(words, expected);
        let article = text
            .lines()
            .find(|line| line.starts_with("article, from a pod"));
        assert!(article.unwrap().contains("37.2"));
        let text = filled(Bench::Latency).figures();
        assert!(
            text.contains("40050") && !text.contains("article"),
            "{text}"
        );
    }

    #[test]
    fn connections_are_counted_against_all_requests_upstream_saw() {
        let text = filled(Bench::Table).connecting();
        assert!(text.ends_with("direct 500.0, holysheep 500.0"), "{text}");
    }

    #[test]
    fn where_no_kernel_programs_run_the_report_says_so() {
        let mut report = filled(Bench::Table);
        let text = report.parts();
        assert!(text.contains("not told: direct"), "{text}");
        assert!(text.contains("do not run: holysheep"), "{text}");
        for turn in report
            .turns
            .iter_mut()
            .filter(|turn| turn.contender == "holysheep")
        {
            turn.parts = vec![Parts {
                whole: 40.1,
                network: 30.1,
                upstream: 9.8,
                proxy: 0.125,
                rest: 0.075,
            }];
        }
        report.finish();
        let text = report.parts();
        assert!(!text.contains("do not run"), "{text}");
        let mean = text.lines().find(|line| line.contains("mean")).unwrap();
        let words: Vec<&str> = mean.split_whitespace().collect();
        let expected = [
            "holysheep",
            "mean",
            "40.100",
            "30.100",
            "9.800",
            "0.125",
            "0.075",
            "2",
        ];
        assert_eq!(words, expected);
    }

    #[test]
    fn lines_fit_a_terminal() {
        let mut report = filled(Bench::Table);
        report.contenders.push("holysheep-ingress".to_owned());
        for (round, figure) in [(0, 39.0), (1, 4_000.0)] {
            let turn = crate::latency::report::turn("holysheep-ingress", round, figure);
            report.turns.push(turn);
        }
        let text = [
            report.figures(),
            report.parts(),
            verdict::against_direct(&report),
            verdict::targets(&report),
        ]
        .concat();
        for line in text.lines() {
            assert!(line.chars().count() <= 100, "{line}");
        }
    }
}
