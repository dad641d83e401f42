//! The dashboards by themselves: there is no Grafana here to look with, so what it would choke on, and what a reader
//! would miss, is looked for.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use super::chart::{self, Chart, Dashboard, text};
use super::{expression, rules};
use crate::workspace::Workspace;

/// Fixed, because links of people hold them.
const UIDS: [&str; 4] = [
    "holysheep-cost",
    "holysheep-kernel",
    "holysheep-overview",
    "holysheep-upstreams",
];

/// What Grafana 10 and 11 know; older kinds of panels are gone there.
const KINDS: [&str; 5] = ["timeseries", "stat", "state-timeline", "heatmap", "table"];

const VARIABLES: [&str; 5] = ["datasource", "namespace", "component", "pod", "upstream"];

/// That of Grafana 10.4 and later.
const LEAST_SCHEMA: u64 = 39;

const COLUMNS: u64 = 24;

/// A panel's expression and where it stands.
pub(super) struct Target {
    pub(super) place: String,
    pub(super) expression: String,
}

/// All expressions of a dashboard, variables still in them.
pub(super) fn targets(dashboard: &Dashboard) -> Vec<Target> {
    let mut targets = Vec::new();
    for panel in list(&dashboard.json, "panels") {
        for target in list(panel, "targets") {
            targets.push(Target {
                place: format!(
                    "{}, \"{}\" {}",
                    text(&dashboard.json, "uid"),
                    text(panel, "title"),
                    text(target, "refId")
                ),
                expression: text(target, "expr").to_owned(),
            });
        }
    }
    targets
}

/// Queries `label_values(SERIES, LABEL)` of the variables, as series and label.
pub(super) fn variable_queries(dashboard: &Dashboard) -> Vec<(String, String)> {
    let variables = list(&dashboard.json["templating"], "list");
    let queries = variables.filter_map(|variable| {
        let query = text(&variable["query"], "query");
        let (series, label) = query
            .strip_prefix("label_values(")?
            .strip_suffix(')')?
            .rsplit_once(',')?;
        Some((series.trim().to_owned(), label.trim().to_owned()))
    });
    queries.collect()
}

pub(super) fn lint(chart: &Chart) -> Vec<String> {
    let mut problems = Vec::new();
    let uids: BTreeSet<_> = chart
        .dashboards
        .iter()
        .map(|d| text(&d.json, "uid"))
        .collect();
    if uids != UIDS.into() || chart.dashboards.len() != UIDS.len() {
        problems.push(format!("dashboards are {uids:?} and not {UIDS:?}"));
    }
    for dashboard in &chart.dashboards {
        let found = lint_dashboard(&dashboard.json);
        problems.extend(
            found
                .into_iter()
                .map(|problem| format!("{}: {problem}", dashboard.file)),
        );
    }
    problems
}

fn lint_dashboard(dashboard: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    if !dashboard["id"].is_null() {
        problems.push("id is not null: Grafana's database gives it".to_owned());
    }
    if dashboard["schemaVersion"].as_u64() < Some(LEAST_SCHEMA) {
        problems.push(format!("schemaVersion is below {LEAST_SCHEMA}"));
    }
    let variables: Vec<_> = list(&dashboard["templating"], "list")
        .map(|v| text(v, "name"))
        .collect();
    if variables != VARIABLES {
        problems.push(format!("variables are {variables:?} and not {VARIABLES:?}"));
    }
    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for panel in list(dashboard, "panels") {
        let title = text(panel, "title");
        if !ids.insert(panel["id"].as_u64()) {
            problems.push(format!("\"{title}\": its id is another panel's"));
        }
        if let Err(problem) = place(&panel["gridPos"], &mut taken) {
            problems.push(format!("\"{title}\" {problem}"));
        }
        if text(panel, "type") != "row" {
            problems.extend(
                lint_panel(panel)
                    .into_iter()
                    .map(|problem| format!("\"{title}\" {problem}")),
            );
        }
    }
    problems
}

/// Notes the cells a panel covers.
fn place(position: &Value, taken: &mut BTreeSet<(u64, u64)>) -> Result<(), &'static str> {
    let number = |name: &str| position[name].as_u64().ok_or("has no whole position");
    let (x, y, w, h) = (number("x")?, number("y")?, number("w")?, number("h")?);
    if w == 0 || h == 0 || x + w > COLUMNS {
        return Err("is not within the grid");
    }
    let cells = (y..y + h).flat_map(|row| (x..x + w).map(move |column| (column, row)));
    // All of them, so that only one of two is named.
    let fresh = cells.filter(|cell| taken.insert(*cell)).count() as u64;
    if fresh < w * h {
        return Err("overlaps another panel");
    }
    Ok(())
}

fn lint_panel(panel: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    let kind = text(panel, "type");
    if !KINDS.contains(&kind) {
        problems.push(format!("is a {kind}, which is none of {KINDS:?}"));
    }
    for field in ["title", "description"] {
        if text(panel, field).is_empty() {
            problems.push(format!("has no {field}"));
        }
    }
    if text(&panel["fieldConfig"]["defaults"], "unit").is_empty() {
        problems.push("has no unit".to_owned());
    }
    let mut letters = BTreeSet::new();
    let sources = list(panel, "targets").chain([panel]);
    if sources
        .into_iter()
        .any(|source| text(&source["datasource"], "uid") != "${datasource}")
    {
        problems.push("asks another data source than the one chosen".to_owned());
    }
    for target in list(panel, "targets") {
        let letter = text(target, "refId");
        if letter.is_empty() || !letters.insert(letter) {
            problems.push(format!("has the query {letter:?} twice"));
        }
        if kind != "table" && text(target, "legendFormat").is_empty() {
            problems.push(format!("{letter} has no legend"));
        }
        problems.extend(unknown_variable(text(target, "expr")));
    }
    if letters.is_empty() {
        problems.push("has no query".to_owned());
    }
    problems
}

fn unknown_variable(expression: &str) -> Option<String> {
    let replaced = expression::with_variables(expression, "5m");
    let left = expression::names(&replaced).find(|name| name.contains('$'));
    left.map(|name| format!("uses {name}, which is no variable"))
}

/// promtool's parser on all expressions, as rules that record them.
pub(super) fn check(workspace: &Workspace, chart: &Chart) -> Result<Vec<String>> {
    let targets: Vec<_> = chart.dashboards.iter().flat_map(targets).collect();
    let rules: Vec<_> = targets
        .iter()
        .enumerate()
        .map(|(number, target)| {
            let expression = expression::with_variables(&target.expression, "5m");
            json!({"record": format!("dashboard:expression:{number}"), "expr": expression,
                   "labels": {"place": target.place}})
        })
        .collect();
    let groups = json!({"groups": [{"name": "dashboards", "rules": rules}]});
    let file = chart::write(workspace, "dashboards-as-rules.yaml", &groups)?;
    rules::promtool_check(workspace, &file, targets.len())
}

/// Metrics of the proxy that no dashboard shows.
pub(super) fn coverage(workspace: &Workspace, chart: &Chart) -> Result<Vec<String>> {
    let document = workspace.read(Path::new("docs/metrics.md"))?;
    let shown: Vec<_> = chart.dashboards.iter().flat_map(targets).collect();
    let is_shown = |name: &&str| shown.iter().any(|target| target.expression.contains(*name));
    let rows = document
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let missing = rows.filter(|name| !is_shown(name));
    Ok(missing.map(|name| format!("{name} is on none")).collect())
}

fn list<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value[field].as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_panels_are_noticed() {
        let mut taken = BTreeSet::new();
        let at = |x: u64, y: u64, w: u64| json!({"x": x, "y": y, "w": w, "h": 4});
        assert_eq!(place(&at(0, 0, 12), &mut taken), Ok(()));
        assert_eq!(place(&at(12, 0, 12), &mut taken), Ok(()));
        assert!(place(&at(6, 3, 4), &mut taken).is_err());
        assert!(place(&at(20, 8, 6), &mut taken).is_err());
    }

    #[test]
    fn a_panel_needs_what_a_reader_looks_for() {
        let source = json!({"uid": "${datasource}"});
        let mut panel = json!({
            "type": "stat", "title": "T", "description": "D", "datasource": source,
            "fieldConfig": {"defaults": {"unit": "s"}},
            "targets": [{"refId": "A", "expr": "a{pod=~\"$pod\"}", "legendFormat": "x", "datasource": source}],
        });
        assert_eq!(lint_panel(&panel), Vec::<String>::new());
        panel["type"] = json!("graph");
        panel["description"] = json!("");
        panel["targets"][0]["expr"] = json!("a{pod=~\"$instance\"}");
        panel["targets"][0]["datasource"] = json!({"uid": "P1"});
        assert_eq!(lint_panel(&panel).len(), 4);
    }

    #[test]
    fn variables_ask_for_values_of_a_label() {
        let json = json!({"templating": {"list": [
            {"query": "prometheus"}, {"query": {"query": "label_values(a{b=\"c\",d=\"e\"}, pod)"}},
        ]}});
        let dashboard = Dashboard {
            file: String::new(),
            json,
        };
        let queries = variable_queries(&dashboard);
        assert_eq!(
            queries,
            [("a{b=\"c\",d=\"e\"}".to_owned(), "pod".to_owned())]
        );
    }
}
