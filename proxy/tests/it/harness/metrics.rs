//! Looks samples up in the text of `/metrics`.

/// Idle connections to upstream.
pub(crate) const IDLE: &str =
    "holysheep_upstream_connections{upstream=\"holysheep\",state=\"idle\"}";

/// The value of a sample, by name and labels as they stand in the text; no labels, no braces.
pub(crate) fn sample(text: &str, wanted: &str) -> Option<f64> {
    samples(text)
        .find(|(sample, _)| sample.trim_end_matches("{}") == wanted)
        .map(|(_, value)| value)
}

/// The sum of all samples of one name, whatever their labels.
pub(crate) fn sum(text: &str, name: &str) -> f64 {
    samples(text)
        .filter(|(sample, _)| sample.split('{').next() == Some(name))
        .map(|(_, value)| value)
        .sum()
}

fn samples(text: &str) -> impl Iterator<Item = (&str, f64)> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(sample, value)| (sample, value.parse().unwrap()))
}
