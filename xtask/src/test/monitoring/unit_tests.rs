//! The rules' unit tests below `deploy/monitoring/tests`: promtool runs them, and each alert has to have two.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::super::report::Outcome;
use super::chart::{self, Chart, text};
use crate::workspace::Workspace;

const DIRECTORY: &str = "deploy/monitoring/tests";

/// How often an alert is expected to fire, and not to.
#[derive(Default)]
struct Cases {
    fires: usize,
    is_silent: usize,
}

/// Alerts that are not tested both ways.
pub(super) fn coverage(workspace: &Workspace, chart: &Chart) -> Result<Vec<String>> {
    let mut cases = BTreeMap::new();
    for file in files(workspace)? {
        let tests: Value = serde_saphyr::from_str(&workspace.read(&file)?)
            .with_context(|| format!("{} is not YAML", file.display()))?;
        count(&tests, &mut cases);
    }
    // What `run` tests against.
    chart::write(workspace, "rules.yaml", &chart.spec)?;
    let mut problems = Vec::new();
    // One name may stand for several severities.
    let alerts: BTreeSet<_> = chart.alerts().map(|rule| &rule.name).collect();
    for name in alerts {
        let Cases { fires, is_silent } = cases.remove(name).unwrap_or_default();
        if fires == 0 {
            problems.push(format!("no test makes {name} fire"));
        }
        if is_silent == 0 {
            problems.push(format!("no test shows {name} not firing"));
        }
    }
    problems.extend(
        cases
            .keys()
            .map(|name| format!("tested, but there is no alert {name}")),
    );
    Ok(problems)
}

fn count(tests: &Value, cases: &mut BTreeMap<String, Cases>) {
    let groups = tests["tests"].as_array().into_iter().flatten();
    let tests = groups.filter_map(|group| group["alert_rule_test"].as_array());
    for test in tests.flatten() {
        let case = cases.entry(text(test, "alertname").to_owned()).or_default();
        match test["exp_alerts"].as_array() {
            Some(alerts) if !alerts.is_empty() => case.fires += 1,
            _ => case.is_silent += 1,
        }
    }
}

/// Runs the tests on the rules that [`coverage`] has left.
pub(super) fn run(workspace: &Workspace, outcome: &mut Outcome) -> Result<()> {
    let scratch = workspace.scratch(super::SCRATCH)?.join("tests");
    if scratch.exists() {
        fs::remove_dir_all(&scratch)?;
    }
    fs::create_dir_all(&scratch)?;
    for file in files(workspace)? {
        let name = file.file_name().unwrap_or_default();
        // promtool looks for rules beside the test.
        let copy = scratch.join(name);
        fs::write(&copy, workspace.read(&file)?)?;
        let mut arguments = Command::new("promtool");
        arguments.args(["test", "rules"]).arg(&copy);
        let (is_content, output) = super::promtool(workspace, &mut arguments)?;
        let problems = if is_content { Vec::new() } else { vec![output] };
        let title = format!("promtool test rules {}", file.display());
        outcome.check(&title, &problems);
    }
    Ok(())
}

fn files(workspace: &Workspace) -> Result<Vec<std::path::PathBuf>> {
    let mut files = workspace.files("yaml")?;
    files.retain(|file| file.starts_with(Path::new(DIRECTORY)));
    Ok(files)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn firing_and_silent_cases_are_counted_by_alert() {
        let tests = json!({"tests": [
            {"alert_rule_test": [{"alertname": "A", "exp_alerts": [{}]}]},
            {"alert_rule_test": [{"alertname": "A", "exp_alerts": []}, {"alertname": "B"}]},
        ]});
        let mut cases = BTreeMap::new();
        count(&tests, &mut cases);
        assert_eq!((cases["A"].fires, cases["A"].is_silent), (1, 1));
        assert_eq!((cases["B"].fires, cases["B"].is_silent), (0, 1));
    }
}
