//! Expressions of `PromQL` as text: a dashboard's variables, and an alert without its thresholds.

/// What a dashboard's variables stand for while nothing is chosen, with the windows of rates as long as `window`.
pub(super) fn with_variables(expression: &str, window: &str) -> String {
    // Longer names first, since one may begin like another.
    let values = [
        ("$__rate_interval", window),
        ("$namespace", super::NAMESPACE),
        ("$component", ".*"),
        ("$upstream", ".*"),
        ("$pod", ".*"),
    ];
    values
        .iter()
        .fold(expression.to_owned(), |text, (name, value)| {
            text.replace(name, value)
        })
}

/// The same expression, but with data also while the alert does not fire: comparisons, which leave out what does not
/// fit, become differences, and what is absent is summed up.
pub(super) fn without_comparison(expression: &str) -> String {
    let mut text = String::with_capacity(expression.len());
    let mut rest = expression;
    let (mut quoted, mut braces) = (false, 0_u32);
    while let Some(c) = rest.chars().next() {
        let operator = ["==", "!=", ">=", "<=", ">", "<"]
            .into_iter()
            .find(|operator| rest.starts_with(operator));
        match c {
            '"' => quoted = !quoted,
            '{' if !quoted => braces += 1,
            '}' if !quoted => braces = braces.saturating_sub(1),
            _ => {}
        }
        let is_code = !quoted && braces == 0;
        if let Some(operator) = operator.filter(|_| is_code) {
            text.push('-');
            rest = rest.get(operator.len()..).unwrap_or_default();
            continue;
        }
        if let Some(after) = rest.strip_prefix("absent(").filter(|_| is_code) {
            text.push_str("sum(");
            rest = after;
            continue;
        }
        text.push(c);
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
    }
    text
}

/// Names in an expression that look like the proxy's or its neighbours' metrics.
pub(super) fn names(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || "_:$".contains(c)));
    words.filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced_by_everything() {
        let expression = r#"rate(a{namespace="$namespace",pod=~"$pod"}[$__rate_interval])"#;
        assert_eq!(
            with_variables(expression, "5s"),
            r#"rate(a{namespace="holysheep-proxy",pod=~".*"}[5s])"#
        );
    }

    #[test]
    fn comparisons_become_differences_but_not_in_matchers() {
        let expression = r#"a{x!="1",y="a > {b"} / b >= 0.5 and absent(c) == 1"#;
        assert_eq!(
            without_comparison(expression),
            r#"a{x!="1",y="a > {b"} / b - 0.5 and sum(c) - 1"#
        );
    }

    #[test]
    fn names_are_words() {
        let found: Vec<_> = names(r#"sum(rate(a_total{b="c"}[5m]))"#).collect();
        assert_eq!(found, ["sum", "rate", "a_total", "b", "c", "5m"]);
    }
}
