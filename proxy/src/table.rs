//! What commands print their findings as: tables for a terminal, and the same rows for a spreadsheet.

use std::io::{self, Write};

use serde::Serialize;

/// Form of what is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For a person.
    Table,
    /// For a program.
    Json,
    /// For a spreadsheet.
    Csv,
}

/// How many columns of a terminal a table may take; wider ones get shorter cells.
pub(crate) const WIDTH: usize = 100;

/// Between two columns.
const GAP: &str = "  ";

/// On which side of a column its cells stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Names.
    Left,
    /// Numbers.
    Right,
}

/// Rows under titles.
#[derive(Debug, Default)]
pub(crate) struct Table {
    columns: Vec<(&'static str, Side)>,
    rows: Vec<Vec<String>>,
    /// Before which rows there is a line.
    rules: Vec<usize>,
}

impl Table {
    pub(crate) fn new(columns: impl IntoIterator<Item = (&'static str, Side)>) -> Self {
        Self {
            columns: columns.into_iter().collect(),
            ..Self::default()
        }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// A line before the next row.
    pub(crate) fn rule(&mut self) {
        self.rules.push(self.rows.len());
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.columns.iter().enumerate();
        let widths = columns.map(|(index, (title, _))| {
            let cells = self.rows.iter().filter_map(|row| row.get(index));
            let cells = cells.map(|cell| width(cell));
            cells.chain([width(title)]).max().unwrap_or(0)
        });
        widths.collect()
    }

    /// How many columns of a terminal it takes.
    pub(crate) fn width(&self) -> usize {
        let gaps = GAP.len() * self.columns.len().saturating_sub(1);
        self.widths().iter().sum::<usize>() + gaps
    }

    pub(crate) fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let widths = self.widths();
        let rule = "─".repeat(self.width());
        let titles: Vec<_> = self.columns.iter().map(|(title, _)| *title).collect();
        self.line(out, &titles, &widths)?;
        writeln!(out, "{rule}")?;
        for (index, row) in self.rows.iter().enumerate() {
            if self.rules.contains(&index) {
                writeln!(out, "{rule}")?;
            }
            let cells: Vec<_> = row.iter().map(String::as_str).collect();
            self.line(out, &cells, &widths)?;
        }
        Ok(())
    }

    fn line(&self, out: &mut impl Write, cells: &[&str], widths: &[usize]) -> io::Result<()> {
        let mut line = String::new();
        for ((cell, (_, side)), widest) in cells.iter().zip(&self.columns).zip(widths) {
            if !line.is_empty() {
                line.push_str(GAP);
            }
            let blank = " ".repeat(widest.saturating_sub(width(cell)));
            match side {
                Side::Left => line.extend([*cell, &blank]),
                Side::Right => line.extend([&blank, *cell]),
            }
        }
        writeln!(out, "{}", line.trim_end())
    }
}

fn width(text: &str) -> usize {
    text.chars().count()
}

/// Text from outside as a cell: in one line, and no longer than `most`.
pub(crate) fn short(text: &str, most: usize) -> String {
    let mut characters = text.chars().map(|character| match character.is_control() {
        true => '\u{fffd}',
        false => character,
    });
    let mut short: String = characters.by_ref().take(most).collect();
    if characters.next().is_some() {
        short.pop();
        short.push('…');
    }
    short
}

/// A row as RFC 4180 has it.
pub(crate) fn csv(out: &mut impl Write, cells: &[&str]) -> io::Result<()> {
    for (index, cell) in cells.iter().enumerate() {
        if index > 0 {
            write!(out, ",")?;
        }
        match cell.contains(['"', ',', '\n', '\r']) {
            true => write!(out, "\"{}\"", cell.replace('"', "\"\""))?,
            false => write!(out, "{cell}")?,
        }
    }
    writeln!(out)
}

/// A value for a program.
pub(crate) fn json(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_on_the_right_and_nothing_hangs_over() {
        let mut table = Table::new([("model", Side::Left), ("¥", Side::Right)]);
        table.row(["m".to_owned(), "1.00".to_owned()]);
        table.rule();
        table.row(["longer…".to_owned(), "23,456.00".to_owned()]);
        let mut out = Vec::new();
        table.print(&mut out).unwrap();
        let expected = "model            ¥\n\
                        ──────────────────\n\
                        m             1.00\n\
                        ──────────────────\n\
                        longer…  23,456.00\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        assert_eq!(table.width(), 18);
    }

    #[test]
    fn cells_from_outside_stay_in_their_place() {
        assert_eq!(short("gpt-4.1", 7), "gpt-4.1");
        assert_eq!(short("gpt-4.1-mini", 7), "gpt-4.…");
        assert_eq!(short("a\x1b[2J\nb", 9), "a\u{fffd}[2J\u{fffd}b");
        let mut out = Vec::new();
        csv(&mut out, &["a", "b,c", "d\"e", ""]).unwrap();
        assert_eq!(out, b"a,\"b,c\",\"d\"\"e\",\n");
    }
}
