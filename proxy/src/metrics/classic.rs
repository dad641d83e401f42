//! The exposition for scrapers that do not ask for `OpenMetrics`.
//!
//! prometheus-client writes `OpenMetrics` only. Prometheus' older text format,
//! version 0.0.4, differs in what the proxy uses by two things: a counter's
//! metadata has the name of its samples, `_total` included, and there is no
//! `# EOF`.

use std::collections::HashSet;

/// Rewrites an `OpenMetrics` exposition in the text format, version 0.0.4.
pub(super) fn from_openmetrics(text: &str) -> String {
    let counters: HashSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    let mut classic = String::with_capacity(text.len());
    for line in text.lines().filter(|line| *line != "# EOF") {
        match metadata(line) {
            // There are no units in this format.
            Some(("UNIT", ..)) => continue,
            Some((keyword, name, rest)) if counters.contains(name) => {
                classic.extend(["# ", keyword, " ", name, "_total ", rest]);
            }
            _ => classic.push_str(line),
        }
        classic.push('\n');
    }
    classic
}

/// Keyword, family and text of a line of metadata.
fn metadata(line: &str) -> Option<(&str, &str, &str)> {
    let (keyword, rest) = line.strip_prefix("# ")?.split_once(' ')?;
    let (name, text) = rest.split_once(' ')?;
    Some((keyword, name, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_named_as_their_samples_and_nothing_marks_the_end() {
        let openmetrics = "# HELP a_requests Requests answered.\n# TYPE a_requests counter\n\
             a_requests_total{x=\"# EOF\"} 1\n# HELP b_seconds Time.\n\
             # TYPE b_seconds histogram\n# UNIT b_seconds seconds\nb_seconds_sum 0.5\n# EOF\n";
        let classic = "# HELP a_requests_total Requests answered.\n\
             # TYPE a_requests_total counter\na_requests_total{x=\"# EOF\"} 1\n\
             # HELP b_seconds Time.\n# TYPE b_seconds histogram\nb_seconds_sum 0.5\n";
        assert_eq!(from_openmetrics(openmetrics), classic);
    }
}
