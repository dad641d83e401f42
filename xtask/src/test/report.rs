//! What the steps came to: the table, the closing line, and what to do next.

use std::fmt::Write;
use std::time::Duration;

/// What a step counted. A step of many checks counts each.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
    /// Why something failed or was skipped, a line each.
    notes: Vec<String>,
    remedy: Option<&'static str>,
}

impl Outcome {
    pub(crate) fn passed(count: usize) -> Self {
        Self {
            passed: count,
            ..Self::default()
        }
    }

    pub(crate) fn failed(reason: String) -> Self {
        let mut outcome = Self::default();
        outcome.fail(reason);
        outcome
    }

    pub(crate) fn skipped(reason: String) -> Self {
        Self {
            skipped: 1,
            notes: vec![reason],
            ..Self::default()
        }
    }

    /// Prints and counts a check; it passed if there are no problems.
    pub(super) fn check(&mut self, name: &str, problems: &[String]) {
        if problems.is_empty() {
            println!("ok    {name}");
            self.passed += 1;
            return;
        }
        println!("FAIL  {name}");
        for problem in problems {
            println!("      {problem}");
        }
        self.fail(format!("{name}: {}", problems.join("; ")));
    }

    /// Counts one more failure.
    pub(crate) fn fail(&mut self, reason: String) {
        self.failed += 1;
        self.notes.push(reason);
    }

    /// Counts one more that could not be checked.
    pub(crate) fn skip(&mut self, reason: String) {
        self.skipped += 1;
        self.notes.push(reason);
    }

    /// Adds what a part of the step came to; its notes say which part.
    pub(crate) fn add(&mut self, part: Self, name: &str) {
        self.passed += part.passed;
        self.failed += part.failed;
        self.skipped += part.skipped;
        let notes = part.notes.into_iter();
        self.notes
            .extend(notes.map(|note| format!("{name}: {note}")));
    }

    pub(crate) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// With what to do, should it have failed.
    pub(super) fn or_remedy(mut self, remedy: &'static str) -> Self {
        self.remedy = (self.failed > 0).then_some(remedy);
        self
    }

    fn verdict(&self) -> &'static str {
        match (self.failed, self.passed) {
            (0, 0) => "skipped",
            (0, _) => "passed",
            _ => "FAILED",
        }
    }

    fn counts(&self) -> String {
        let all = [
            (self.passed, "passed"),
            (self.failed, "failed"),
            (self.skipped, "skipped"),
        ];
        let some = all.iter().filter(|(count, _)| *count > 0);
        let texts: Vec<_> = some
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        texts.join(", ")
    }
}

/// A step that was run.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) outcome: Outcome,
    pub(super) time: Duration,
}

impl Row {
    /// For the end of the step's own output.
    pub(super) fn summary(&self) -> String {
        let (verdict, counts) = (self.outcome.verdict(), self.outcome.counts());
        format!(
            "{}: {verdict} ({counts}) in {:.1} s",
            self.name,
            self.time.as_secs_f64()
        )
    }
}

/// The end of the whole output.
pub(super) fn render(rows: &[Row]) -> String {
    // Writing to a String cannot fail.
    let mut text = String::new();
    let _ = writeln!(text, "{:<11} {:<8} {:>8}  checks", "step", "result", "time");
    for Row {
        name,
        outcome,
        time,
    } in rows
    {
        let (verdict, counts) = (outcome.verdict(), outcome.counts());
        let seconds = time.as_secs_f64();
        let _ = writeln!(text, "{name:<11} {verdict:<8} {seconds:>6.1} s  {counts}");
        for note in &outcome.notes {
            let _ = writeln!(text, "{:<11} - {}", "", first_line(note));
        }
    }
    let sum = |count: fn(&Outcome) -> usize| rows.iter().map(|row| count(&row.outcome)).sum();
    let line = closing_line(sum(|o| o.passed), sum(|o| o.failed), sum(|o| o.skipped));
    let _ = writeln!(text, "\n{line}\n");
    text.push_str(&next(rows));
    text
}

/// The line other programs look for.
fn closing_line(passed: usize, failed: usize, skipped: usize) -> String {
    format!("{passed} passed, {failed} failed, {skipped} skipped")
}

fn next(rows: &[Row]) -> String {
    let failed = rows
        .iter()
        .filter_map(|row| Some((row.name, row.outcome.remedy?)));
    let lines: Vec<_> = failed
        .map(|(name, remedy)| format!("  {name}: {remedy}\n"))
        .collect();
    if !lines.is_empty() {
        return format!("What to do next:\n{}", lines.concat());
    }
    if rows.iter().any(|row| row.outcome.skipped > 0) {
        return "Nothing failed, but what was skipped above was NOT checked.\n".to_owned();
    }
    "Nothing failed and nothing was skipped. Next: `cargo xtask run` starts the proxy.\n".to_owned()
}

fn first_line(note: &str) -> &str {
    note.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests;
