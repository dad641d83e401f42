//! That `docs/metrics.md` lists exactly the metrics the proxy exports.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;

use super::Documents;
use crate::stats::source::Source;
use crate::workspace::Workspace;

const DOCUMENT: &str = "docs/metrics.md";

/// Where the proxy names its metrics.
const CODE: [&str; 2] = ["proxy/src/metrics.rs", "proxy/src/metrics/"];

const PREFIX: &str = "holysheep_";

pub(super) fn check(workspace: &Workspace, documents: &Documents) -> Result<Vec<String>> {
    let mut exported = BTreeSet::new();
    for path in workspace.files("rs")? {
        let text = path.to_string_lossy();
        if CODE.iter().any(|place| text.starts_with(place)) {
            let source = Source::parse(&workspace.read(&path)?);
            exported.extend(in_code(&source.production_text()));
        }
    }
    let Some(document) = documents.get(Path::new(DOCUMENT)) else {
        return Ok(vec![format!(
            "{DOCUMENT} is missing: list the {} metrics",
            exported.len()
        )]);
    };
    let documented: BTreeSet<_> = in_document(document.text())
        .into_iter()
        .map(|name| base(&name, &exported))
        .collect();
    let missing = exported.difference(&documented);
    let missing = missing.map(|name| format!("{name} is exported but not in {DOCUMENT}"));
    let invented = documented.difference(&exported);
    let invented = invented.map(|name| format!("{name} is in {DOCUMENT} but not exported"));
    Ok(missing.chain(invented).collect())
}

/// String literals that are a metric's name. The library adds `_total` to counters by itself.
fn in_code(code: &str) -> BTreeSet<String> {
    let literals = code.split('"').skip(1).step_by(2);
    let names = literals.filter(|text| text.starts_with(PREFIX) && text.chars().all(is_name));
    names
        .map(|name| name.trim_end_matches("_total").to_owned())
        .collect()
}

/// Every word of a document that looks like a metric; one that ends in `_` stands for a family.
fn in_document(text: &str) -> BTreeSet<String> {
    let words = text
        .split(|c| !is_name(c))
        .filter(|word| word.starts_with(PREFIX));
    words
        .filter(|word| !word.ends_with('_'))
        .map(str::to_owned)
        .collect()
}

/// A series' metric: a histogram's parts and a counter's suffix are not names of their own.
fn base(name: &str, exported: &BTreeSet<String>) -> String {
    let parts = ["_total", "_bucket", "_sum", "_count"].iter();
    let stems = parts.filter_map(|suffix| name.strip_suffix(suffix));
    let mut known = stems.filter(|stem| exported.contains(*stem));
    known.next().unwrap_or(name).to_owned()
}

fn is_name(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_code_and_document_meet() {
        let code = r#"counter("holysheep_a", "help"); histogram("holysheep_b_seconds"); f("no")"#;
        let exported = in_code(code);
        assert_eq!(exported.len(), 2);
        let text = "`holysheep_a_total`, holysheep_b_seconds_bucket{le}, holysheep_*; holysheep_c";
        let documented: Vec<_> = in_document(text)
            .iter()
            .map(|n| base(n, &exported))
            .collect();
        assert_eq!(
            documented,
            ["holysheep_a", "holysheep_b_seconds", "holysheep_c"]
        );
    }
}
