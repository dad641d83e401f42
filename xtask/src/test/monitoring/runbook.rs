//! That `docs/alerts.md` has one section for each alert, and each section an alert.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;

use super::chart::Chart;
use crate::workspace::Workspace;

const DOCUMENT: &str = "docs/alerts.md";

pub(super) fn check(workspace: &Workspace, chart: &Chart) -> Result<Vec<String>> {
    let text = workspace.read(Path::new(DOCUMENT))?;
    let alerts: BTreeSet<_> = chart.alerts().map(|rule| rule.name.as_str()).collect();
    Ok(compare(&sections(&text), &alerts))
}

fn sections(text: &str) -> BTreeSet<&str> {
    text.lines()
        .filter_map(|line| line.strip_prefix("## "))
        .map(str::trim)
        .collect()
}

fn compare(sections: &BTreeSet<&str>, alerts: &BTreeSet<&str>) -> Vec<String> {
    let unexplained = alerts.difference(sections);
    let unexplained = unexplained.map(|name| format!("{DOCUMENT} has no section {name}"));
    let invented = sections.difference(alerts);
    let invented = invented.map(|name| format!("{DOCUMENT}: there is no alert {name}"));
    unexplained.chain(invented).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_are_compared() {
        let found = sections("# Alerts\n\n## A\n\n### part\n\n## B\n");
        assert_eq!(found, ["A", "B"].into());
        assert_eq!(compare(&found, &["A", "C"].into()).len(), 2);
    }
}
