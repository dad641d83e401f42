//! What Prometheus is asked: every expression of every rule and dashboard.

use super::chart::Chart;
use super::client::{Prometheus, has_number};
use super::{dashboards, expression, justified};

/// Short enough for the seconds a test lasts, long enough for some scrapes.
const WINDOW: &str = "15s";

/// Alerts that what goes wrong here has to raise, with what they must be about.
const RAISED: [(&str, &str); 8] = [
    ("HolySheepProxyErrorBudgetBurnFast", ""),
    ("HolySheepProxyKeyRefused", ""),
    ("HolySheepProxyBreakerOpen", "upstream=\"holysheep\""),
    (
        "HolySheepProxyNotReady",
        "pod=\"holysheep-proxy-6c9f7d9b5-zzzzz\"",
    ),
    (
        "HolySheepProxyUpstreamUnusable",
        "pod=\"holysheep-proxy-6c9f7d9b5-zzzzz\"",
    ),
    (
        "HolySheepProxyOverloaded",
        "pod=\"holysheep-proxy-6c9f7d9b5-x2x7p\"",
    ),
    (
        "HolySheepProxyProbesFailing",
        "pod=\"holysheep-proxy-6c9f7d9b5-zzzzz\"",
    ),
    (
        "HolySheepProxyUpstreamConnectFailures",
        "pod=\"holysheep-proxy-6c9f7d9b5-zzzzz\"",
    ),
];

/// An expression that has to have data.
pub(super) struct Question {
    /// For a person who looks for it.
    place: String,
    expression: String,
    /// Why it may have none.
    justification: Option<&'static str>,
    is_answered: bool,
}

/// All of them.
pub(super) struct Questions(Vec<Question>);

impl Questions {
    pub(super) fn of(chart: &Chart, has_programs: bool) -> Self {
        let mut questions = Vec::new();
        let mut add = |place: String, expression: String| {
            questions.push(Question {
                justification: justified::reason(&expression, has_programs),
                place,
                expression,
                is_answered: false,
            });
        };
        for rule in &chart.rules {
            let place = format!("rule {}", rule.name);
            add(place, expression::without_comparison(&rule.expression));
        }
        for target in chart.dashboards.iter().flat_map(dashboards::targets) {
            add(
                target.place,
                expression::with_variables(&target.expression, WINDOW),
            );
        }
        for (series, label) in chart
            .dashboards
            .iter()
            .flat_map(dashboards::variable_queries)
        {
            let series = expression::with_variables(&series, WINDOW);
            let place = format!("variable {label}");
            add(place, format!("count({})", with_label(&series, &label)));
        }
        for (alert, matcher) in RAISED {
            let series = format!("ALERTS{{alertname=\"{alert}\",{matcher}}}");
            add(format!("{alert} is raised"), series);
        }
        Self(questions)
    }

    /// Asks those that had no data so far; whether all that must have some now have.
    pub(super) fn ask(&mut self, prometheus: &Prometheus) -> bool {
        for question in self.0.iter_mut().filter(|question| !question.is_answered) {
            let answer = prometheus.query(&question.expression);
            question.is_answered = answer.is_ok_and(|samples| has_number(&samples));
        }
        let mut open = self.0.iter().filter(|question| !question.is_answered);
        open.all(|question| question.justification.is_some())
    }

    /// How many had data.
    pub(super) fn answered(&self) -> usize {
        self.0
            .iter()
            .filter(|question| question.is_answered)
            .count()
    }

    /// How many may have none, for each reason.
    pub(super) fn excused(&self) -> Vec<(&'static str, usize)> {
        let mut reasons: Vec<(&str, usize)> = Vec::new();
        for question in self.0.iter().filter(|question| !question.is_answered) {
            let Some(reason) = question.justification else {
                continue;
            };
            match reasons.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, count)) => *count += 1,
                None => reasons.push((reason, 1)),
            }
        }
        reasons
    }

    /// What is not as it should be.
    pub(super) fn problems(&self, prometheus: &Prometheus) -> Vec<String> {
        let wrong = self.0.iter().filter_map(|question| {
            let Question {
                place, expression, ..
            } = question;
            match (question.is_answered, question.justification) {
                (false, None) => Some(match prometheus.query(expression) {
                    Ok(_) => format!("{place}: no data for {expression}"),
                    Err(error) => format!("{place}: {error:#}"),
                }),
                (true, Some(reason)) => Some(format!(
                    "{place} has data although it \"{reason}\": take it out of justified.rs"
                )),
                _ => None,
            }
        });
        wrong.collect()
    }
}

/// The series among these that have a label.
fn with_label(series: &str, label: &str) -> String {
    match series.strip_suffix('}') {
        Some(matchers) => format!("{matchers},{label}!=\"\"}}"),
        None => format!("{series}{{{label}!=\"\"}}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_without_the_label_are_left_out() {
        assert_eq!(with_label("a", "b"), "a{b!=\"\"}");
        assert_eq!(with_label("a{c=\"d\"}", "b"), "a{c=\"d\",b!=\"\"}");
    }
}
