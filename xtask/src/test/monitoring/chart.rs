//! What the chart makes of rules and dashboards: rendered by Helm, read for the other checks.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use super::NAMESPACE;
use crate::helm;
use crate::workspace::Workspace;

const VALUES: &str = "deploy/monitoring/values.yaml";

/// An installation to render.
pub(super) struct Release {
    pub(super) name: &'static str,
    namespace: &'static str,
    /// Values besides those of the file, in JSON.
    settings: &'static [&'static str],
}

impl Release {
    /// The one the unit tests are about.
    pub(super) const STANDARD: Self = Self {
        name: NAMESPACE,
        namespace: NAMESPACE,
        settings: &[],
    };

    /// Others, so that nothing holds by its name only.
    pub(super) const ALL: [Self; 4] = [
        Self::STANDARD,
        Self {
            settings: &["kind=\"daemonset\""],
            ..Self::ELSEWHERE
        },
        Self {
            settings: &["kind=\"deployment\"", "autoscaling.enabled=false"],
            ..Self::ELSEWHERE
        },
        Self {
            settings: &[
                "daemonset.ebpf=\"off\"",
                "monitoring.prometheusRule.thresholds.latency=[]",
                r#"monitoring.prometheusRule.extraRules=[{"alert": "Mine", "expr": "up == 0", "annotations": {"summary": "{{ $labels.pod }}"}}]"#,
            ],
            ..Self::ELSEWHERE
        },
    ];

    const ELSEWHERE: Self = Self {
        name: "relay",
        namespace: "ai",
        settings: &[],
    };

    pub(super) fn title(&self) -> String {
        let words = [self.name, "in", self.namespace].into_iter();
        words
            .chain(self.settings.iter().copied())
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// A rule of a group.
pub(super) struct Rule {
    /// The alert's name, or the series that is recorded.
    pub(super) name: String,
    pub(super) is_alert: bool,
    pub(super) expression: String,
    pub(super) json: Value,
}

/// A dashboard as it is in its `ConfigMap`.
pub(super) struct Dashboard {
    pub(super) file: String,
    pub(super) json: Value,
}

/// A rendered chart, as far as it is about monitoring.
pub(super) struct Chart {
    /// The rules as promtool wants them: what is below `spec`.
    pub(super) spec: Value,
    pub(super) rules: Vec<Rule>,
    pub(super) dashboards: Vec<Dashboard>,
}

impl Chart {
    pub(super) fn render(workspace: &Workspace, release: &Release) -> Result<Self> {
        let mut options = vec![
            "--show-only",
            "templates/prometheusrule.yaml",
            "--show-only",
            "templates/dashboards.yaml",
        ];
        for setting in release.settings {
            options.extend(["--set-json", setting]);
        }
        let text = helm::template(
            workspace,
            helm::Version::V3,
            (release.name, release.namespace),
            Path::new(VALUES),
            &options,
        )?;
        Self::read(&text)
    }

    fn read(yaml: &str) -> Result<Self> {
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(yaml).context("what helm renders is not YAML")?;
        let mut chart = Self {
            spec: Value::Null,
            rules: Vec::new(),
            dashboards: Vec::new(),
        };
        for document in documents {
            match document["kind"].as_str() {
                Some("PrometheusRule") => chart.spec = document["spec"].clone(),
                Some("ConfigMap") => chart.dashboards.extend(dashboards(&document)?),
                _ => {}
            }
        }
        let groups = chart.spec["groups"].as_array();
        let groups = groups.context("the chart renders no rules")?;
        let rules = groups.iter().filter_map(|group| group["rules"].as_array());
        chart.rules = rules.flatten().map(Rule::read).collect::<Result<_>>()?;
        Ok(chart)
    }

    pub(super) fn alerts(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(|rule| rule.is_alert)
    }
}

impl Rule {
    fn read(json: &Value) -> Result<Self> {
        let alert = json["alert"].as_str();
        let name = alert.or(json["record"].as_str());
        Ok(Self {
            name: name.context("a rule has no name")?.to_owned(),
            is_alert: alert.is_some(),
            expression: text(json, "expr").trim().to_owned(),
            json: json.clone(),
        })
    }
}

fn dashboards(config_map: &Value) -> Result<Vec<Dashboard>> {
    let data = config_map["data"].as_object();
    let files = data.context("a ConfigMap has no data")?.iter();
    files
        .map(|(file, text)| {
            let json = serde_json::from_str(text.as_str().unwrap_or_default());
            Ok(Dashboard {
                file: file.clone(),
                json: json.with_context(|| format!("{file} is not JSON"))?,
            })
        })
        .collect()
}

/// A field's text, empty if there is none.
pub(super) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

/// A fresh file below the scratch directory.
pub(super) fn write(workspace: &Workspace, name: &str, value: &Value) -> Result<PathBuf> {
    let file = workspace.scratch(super::SCRATCH)?.join(name);
    // JSON is YAML, too.
    std::fs::write(&file, serde_json::to_string_pretty(value)?)
        .with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_and_dashboards_are_taken_out_of_what_helm_renders() {
        let chart = Chart::read(
            "---\nkind: PrometheusRule\nspec: {groups: [{name: g, rules: [\
             {record: r, expr: a}, {alert: A, expr: ' b > 1 '}]}]}\n---\n\
             kind: ConfigMap\ndata: {d.json: '{\"uid\": \"u\"}'}\n",
        );
        let chart = chart.unwrap();
        let alert = chart.alerts().next().unwrap();
        assert_eq!((&*alert.name, &*alert.expression), ("A", "b > 1"));
        assert_eq!(chart.rules.len(), 2);
        assert_eq!(chart.dashboards[0].json["uid"], "u");
    }
}
