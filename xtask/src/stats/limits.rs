//! What was measured beside what was agreed.
//!
//! The numbers are those a reader feels: a file or function that does not fit the head, a panic the
//! outside can cause, a block nobody vouches for.

use std::fmt::Display;

use super::census::Census;

const FILE_LINES: usize = 400;
const FUNCTION_LINES: usize = 80;
const UNWRAPS_PER_KLOC: f64 = 0.4;
const TODO_PER_KLOC: f64 = 0.3;
const TEST_RATIO: f64 = 0.7;

/// A line of the table.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) measured: String,
    pub(super) target: String,
    pub(super) is_met: bool,
    /// A limit fails the check; a target only warns.
    pub(super) is_limit: bool,
    pub(super) offenders: Vec<String>,
}

impl Row {
    pub(super) fn mark(&self) -> &'static str {
        match (self.is_met, self.is_limit) {
            (true, _) => "ok",
            (false, true) => "BROKEN",
            (false, false) => "missed (a target, no limit)",
        }
    }

    fn limit(name: &str, measured: &dyn Display, target: &dyn Display) -> Self {
        Self {
            is_limit: true,
            ..Self::target(name, measured, target)
        }
    }

    fn target(name: &str, measured: &dyn Display, target: &dyn Display) -> Self {
        Self {
            name: name.to_owned(),
            measured: measured.to_string(),
            target: target.to_string(),
            is_met: true,
            is_limit: false,
            offenders: Vec::new(),
        }
    }

    fn met(mut self, is_met: bool) -> Self {
        self.is_met = is_met;
        self
    }

    /// Met when there are none.
    fn offenders(mut self, offenders: Vec<String>) -> Self {
        self.is_met = offenders.is_empty();
        self.offenders = offenders;
        self
    }
}

/// All rows, in the order of the table.
pub(super) fn rows(census: &Census) -> Vec<Row> {
    let mut rows = sizes(census);
    rows.extend(functions(census));
    rows.extend(habits(census));
    rows
}

fn sizes(census: &Census) -> Vec<Row> {
    let (median, p90) = (census.lines_at(50), census.lines_at(90));
    let long: Vec<_> = census
        .files
        .iter()
        .filter(|(lines, _)| *lines > FILE_LINES)
        .map(|(lines, path)| format!("{lines} {}", path.display()))
        .collect();
    let ratio = census.test_lines as f64 / census.production_lines.max(1) as f64;
    let lines = format!("{} + {}", census.production_lines, census.test_lines);
    vec![
        Row::target("files", &census.files.len(), &"-"),
        Row::target("lines of the product + of tests", &lines, &"-"),
        Row::target("lines a file, median", &median, &"<= 120").met(median <= 120),
        Row::target("lines a file, 90th percentile", &p90, &"<= 250").met(p90 <= 250),
        Row::limit("lines a file, longest", &census.lines_at(100), &FILE_LINES).offenders(long),
        Row::target(
            "tests for each line of the product",
            &format!("{ratio:.2}"),
            &">= 0.7",
        )
        .met(ratio >= TEST_RATIO),
    ]
}

fn functions(census: &Census) -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, longest) in &census.longest {
        let title = format!("longest function of {name}");
        let measured = longest.lines;
        let mut row = Row::target(&title, &measured, &format!("<= {FUNCTION_LINES}"));
        row.offenders = vec![longest.place.clone()];
        rows.push(row.met(measured <= FUNCTION_LINES));
    }
    let long = census
        .functions
        .iter()
        .filter(|(lines, _)| *lines > FUNCTION_LINES);
    let long: Vec<_> = long
        .map(|(lines, place)| format!("{lines} {place}"))
        .collect();
    let title = format!("functions over {FUNCTION_LINES} lines");
    rows.push(Row::limit(&title, &long.len(), &0).offenders(long));
    rows
}

fn habits(census: &Census) -> Vec<Row> {
    let unwraps = census.per_kloc(census.unwraps.len());
    let mut unwrap_row = Row::limit(
        "unwrap and expect per 1000 lines",
        &format!("{unwraps:.2}"),
        &UNWRAPS_PER_KLOC,
    );
    unwrap_row.offenders.clone_from(&census.unwraps);
    let todo = census.per_kloc(census.todo_marks);
    let reasons = census.unsafe_blocks - census.unsafe_without_reason.len();
    let safety = format!("{reasons} of {}", census.unsafe_blocks);
    vec![
        unwrap_row.met(unwraps <= UNWRAPS_PER_KLOC),
        Row::limit("unsafe blocks with a SAFETY note", &safety, &"all")
            .offenders(census.unsafe_without_reason.clone()),
        Row::limit("files called mod.rs", &census.mod_files.len(), &0)
            .offenders(census.mod_files.clone()),
        Row::target("files with anyhow below the top", &census.anyhow.len(), &0)
            .offenders(census.anyhow.clone()),
        Row::target("TODO marks per 1000 lines", &format!("{todo:.2}"), &"< 0.3")
            .met(todo < TODO_PER_KLOC),
    ]
}

#[cfg(test)]
mod tests;
