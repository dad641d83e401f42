//! That `docs/operations.md` has one section for each alert below its heading `Alerts`, and each section there an alert.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;

use super::chart::Chart;
use crate::workspace::Workspace;

const DOCUMENT: &str = "docs/operations.md";

pub(super) fn check(workspace: &Workspace, chart: &Chart) -> Result<Vec<String>> {
    let text = workspace.read(Path::new(DOCUMENT))?;
    let alerts: BTreeSet<_> = chart.alerts().map(|rule| rule.name.as_str()).collect();
    Ok(compare(&sections(&text), &alerts))
}

fn sections(text: &str) -> BTreeSet<&str> {
    let below = text.lines().skip_while(|line| *line != "## Alerts").skip(1);
    below
        .take_while(|line| !line.starts_with("## "))
        .filter_map(|line| line.strip_prefix("### "))
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
        let found = sections(
            "# Handbook\n\n## Install\n\n### C\n\n## Alerts\n\n### A\n\n#### part\n\n### B\n\n## End\n\n### D\n",
        );
        assert_eq!(found, ["A", "B"].into());
        assert_eq!(compare(&found, &["A", "C"].into()).len(), 2);
    }
}
