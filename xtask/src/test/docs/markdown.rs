//! As much of Markdown as the checks need: fences, headings, links, and words.
//!
//! Headings become anchors as code hosts make them; a parser of the whole language would be far more
//! code than what it checks here.

use std::collections::HashMap;

/// What a document contains.
#[derive(Debug, Default)]
pub(super) struct Document {
    pub(super) lines: usize,
    /// What `#…` may name in it.
    pub(super) anchors: Vec<String>,
    /// Links to files and anchors, not those to the web.
    pub(super) links: Vec<Link>,
    /// The line of a code fence that is never closed.
    pub(super) open_fence: Option<usize>,
    /// The names after `cargo xtask`.
    pub(super) tasks: Vec<String>,
    text: String,
}

/// A link as written, and its line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) line: usize,
    pub(super) target: String,
}

impl Document {
    pub(super) fn parse(text: &str) -> Self {
        let mut document = Self {
            lines: text.lines().count(),
            tasks: tasks(text),
            text: text.to_owned(),
            ..Self::default()
        };
        let mut fence: Option<(usize, String)> = None;
        let mut taken = HashMap::new();
        for (number, line) in (1..).zip(text.lines()) {
            let marker = fence_marker(line);
            match (&fence, marker) {
                (Some((_, open)), Some(marker)) if closes(line, marker, open) => fence = None,
                (Some(_), _) => {}
                (None, Some(marker)) => fence = Some((number, marker.to_owned())),
                (None, None) => document.prose(number, line, &mut taken),
            }
        }
        document.open_fence = fence.map(|(line, _)| line);
        document
    }

    /// A line outside of code.
    fn prose(&mut self, number: usize, line: &str, taken: &mut HashMap<String, usize>) {
        if let Some(heading) = heading(line) {
            let anchor = anchor(heading);
            let before = taken.entry(anchor.clone()).or_insert(0);
            self.anchors.push(match *before {
                0 => anchor,
                repeated => format!("{anchor}-{repeated}"),
            });
            *before += 1;
        }
        let line = without_code(line);
        for attribute in ["id=\"", "name=\""] {
            self.anchors
                .extend(values(&line, attribute, '"').map(str::to_owned));
        }
        let definition = line
            .trim_start()
            .strip_prefix('[')
            .and_then(|l| l.split_once("]: "));
        let inline = values(&line, "](", ')');
        let html = values(&line, "href=\"", '"').chain(values(&line, "src=\"", '"'));
        for target in inline
            .chain(html)
            .chain(definition.map(|(_, target)| target))
        {
            // A title may follow, and angle brackets may enclose.
            let target = target.split_whitespace().next().unwrap_or_default();
            let target = target.trim_matches(['<', '>']);
            if !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:") {
                self.links.push(Link {
                    line: number,
                    target: target.to_owned(),
                });
            }
        }
    }

    /// Lines that mention a path below one of `prefixes`, code included, with the prefix.
    pub(super) fn mentions<'a>(&self, prefixes: &'a [&str]) -> Vec<(usize, &'a str)> {
        let mut found = Vec::new();
        for (number, line) in (1..).zip(self.text.lines()) {
            for prefix in prefixes {
                // Within a URL or a longer path it is not the beginning of a path.
                let begins = |at: usize| {
                    let before = line.get(..at).and_then(|before| before.chars().last());
                    !before.is_some_and(|c| c.is_alphanumeric() || "./_-~}".contains(c))
                };
                if line.match_indices(prefix).any(|(at, _)| begins(at)) {
                    found.push((number, *prefix));
                }
            }
        }
        found
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

/// The backticks or tildes a fence line begins with.
fn fence_marker(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let end = line.find(|c| !line.starts_with(c)).unwrap_or(line.len());
    let marker = line.get(..end)?;
    let rest = line.get(end..).unwrap_or_default();
    let inline_code = marker.starts_with('`') && rest.contains('`');
    ((marker.starts_with("```") || marker.starts_with("~~~")) && !inline_code).then_some(marker)
}

/// Whether a line with this marker ends a fence begun with `open`.
fn closes(line: &str, marker: &str, open: &str) -> bool {
    marker.starts_with(open) && line.trim() == marker
}

fn heading(line: &str) -> Option<&str> {
    let text = line.trim_start_matches('#');
    let depth = line.len() - text.len();
    ((1..=6).contains(&depth) && text.starts_with(' ')).then(|| text.trim())
}

/// A heading's anchor: lower case, spaces to hyphens, other punctuation dropped.
fn anchor(heading: &str) -> String {
    let mut anchor = String::new();
    let mut rest = heading;
    while let Some((before, link)) = rest.split_once("](") {
        anchor.push_str(before);
        rest = link.split_once(')').map_or("", |(_, after)| after);
    }
    anchor.push_str(rest);
    let kept = anchor.trim_end_matches([' ', '#']).to_lowercase();
    let kept = kept
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The line with inline code blanked, for what looks like a link in code is none.
fn without_code(line: &str) -> String {
    let mut parts = line.split('`');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for (position, part) in parts.enumerate() {
        if position % 2 == 1 {
            text.push_str(part);
        }
    }
    text
}

/// What stands between each `open` and the next `close`.
fn values<'a>(line: &'a str, open: &'a str, close: char) -> impl Iterator<Item = &'a str> {
    line.split(open)
        .skip(1)
        .filter_map(move |rest| rest.split(close).next())
}

/// The names after `cargo xtask`; a placeholder such as `COMMAND` or `…` is none.
fn tasks(text: &str) -> Vec<String> {
    let names = text.split("cargo xtask ").skip(1).map(|rest| {
        let end = rest.find(|c: char| !(c.is_ascii_lowercase() || c == '-'));
        rest.get(..end.unwrap_or(rest.len())).unwrap_or_default()
    });
    names
        .filter(|name| !name.is_empty() && !name.starts_with('-'))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests;
