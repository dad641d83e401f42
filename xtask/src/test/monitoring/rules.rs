//! The rules by themselves: what each alert has to have, and promtool's own check.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::chart::{self, Chart, Rule, text};
use crate::workspace::Workspace;

const SEVERITIES: [&str; 3] = ["info", "warning", "critical"];

/// Alerts that lack something a person needs who is woken by them.
pub(super) fn lint(chart: &Chart) -> Vec<String> {
    chart.alerts().flat_map(lint_alert).collect()
}

fn lint_alert(rule: &Rule) -> Vec<String> {
    let mut problems = Vec::new();
    let annotations = &rule.json["annotations"];
    for field in ["summary", "description"] {
        let annotation = text(annotations, field);
        if annotation.is_empty() {
            problems.push(format!("{} has no {field}", rule.name));
        }
        if annotation.contains("[[") {
            problems.push(format!("{}: {field} has [[ left", rule.name));
        }
    }
    if !text(annotations, "description").contains("First ") {
        problems.push(format!("{} does not say what to do first", rule.name));
    }
    let anchor = format!("docs/operations.md#{}", rule.name.to_lowercase());
    if !text(annotations, "runbook_url").ends_with(&anchor) {
        problems.push(format!(
            "{}: runbook_url does not end in {anchor}",
            rule.name
        ));
    }
    if !SEVERITIES.contains(&text(&rule.json["labels"], "severity")) {
        problems.push(format!("{} has no severity", rule.name));
    }
    problems
}

/// promtool's opinion of the rules.
pub(super) fn check(workspace: &Workspace, chart: &Chart) -> Result<Vec<String>> {
    let file = chart::write(workspace, "rules-to-check.yaml", &chart.spec)?;
    promtool_check(workspace, &file, chart.rules.len())
}

/// Whether promtool takes a file and finds so many rules in it.
pub(super) fn promtool_check(
    workspace: &Workspace,
    file: &Path,
    count: usize,
) -> Result<Vec<String>> {
    let mut arguments = Command::new("promtool");
    arguments.args(["check", "rules"]).arg(file);
    let (is_content, output) = super::promtool(workspace, &mut arguments)?;
    let found = format!("SUCCESS: {count} rules found");
    Ok(if is_content && output.contains(&found) {
        Vec::new()
    } else {
        vec![output.trim().to_owned()]
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_alert_without_a_first_step_is_named() {
        let rule = |description: &str| Rule {
            name: "A".to_owned(),
            is_alert: true,
            expression: "up == 0".to_owned(),
            json: json!({"labels": {"severity": "warning"}, "annotations": {
                "summary": "s", "description": description, "runbook_url": "https://x/docs/operations.md#a",
            }}),
        };
        assert!(lint_alert(&rule("It is so. First look.")).is_empty());
        assert_eq!(lint_alert(&rule("It is so.")).len(), 1);
    }
}
