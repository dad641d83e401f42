//! `docs/benchmarks.md`: what each bench printed last, between marks that stand in the text of its section.
//!
//! Only [`super`] writes there, when all benches are run; what stands around the marks is written by hand.

use anyhow::{Context, Result, ensure};

/// What one bench has printed.
#[derive(Debug)]
pub(super) struct Printed {
    /// The bench's name.
    pub(super) bench: &'static str,
    /// The command that runs it alone.
    pub(super) command: String,
    /// Its standard output.
    pub(super) text: String,
    /// Whether there is a plot of it (`plots/NAME.svg` beside the document).
    pub(super) has_plot: bool,
}

/// The mark at which the text of a bench begins, and the one at which it ends.
fn marks(bench: &str) -> (String, String) {
    (
        format!("<!-- printed by bench {bench} -->\n"),
        format!("<!-- end of bench {bench} -->\n"),
    )
}

/// The document with what was printed in place of what stood there.
///
/// # Errors
/// When the document has no place for it.
pub(super) fn with(document: &str, printed: &Printed) -> Result<String> {
    let Printed {
        bench,
        command,
        text,
        has_plot,
    } = printed;
    ensure!(!text.trim().is_empty(), "bench {bench} has printed nothing");
    let (begin, end) = marks(bench);
    let missing = || format!("docs/benchmarks.md has no place for bench {bench}: {begin}{end}");
    let (before, rest) = document.split_once(&begin).with_context(missing)?;
    let (_, after) = rest.split_once(&end).with_context(missing)?;
    let plot = match has_plot {
        true => format!("![{bench}](plots/{bench}.svg)\n\n"),
        false => String::new(),
    };
    let text = text.trim_end();
    Ok(format!(
        "{before}{begin}\n{plot}`{command}` printed:\n\n```text\n{text}\n```\n\n{end}{after}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "# B\n\n## CPU\n\nwords\n\n<!-- printed by bench cpu -->\nold\n<!-- end of bench cpu -->\n\nmore\n\
                            <!-- printed by bench table -->\n<!-- end of bench table -->\n";

    fn printed(bench: &'static str, text: &str) -> Printed {
        Printed {
            bench,
            command: format!("cargo xtask bench {bench}"),
            text: text.to_owned(),
            has_plot: bench == "table",
        }
    }

    #[test]
    fn what_was_printed_replaces_what_stood_between_the_marks() {
        let once = with(DOCUMENT, &printed("cpu", "29 µs\n")).unwrap();
        assert!(!once.contains("old") && once.contains("words") && once.contains("more"));
        assert!(once.contains("`cargo xtask bench cpu` printed:\n\n```text\n29 µs\n```\n"));
        let again = with(&once, &printed("cpu", "29 µs\n")).unwrap();
        assert_eq!(again, once, "a second time changes nothing");
        let both = with(&once, &printed("table", "p95")).unwrap();
        assert!(both.contains("![table](plots/table.svg)"));
        assert!(both.contains("29 µs") && both.ends_with("<!-- end of bench table -->\n"));
    }

    #[test]
    fn a_document_without_a_place_is_told() {
        let error = with(DOCUMENT, &printed("probes", "x")).unwrap_err();
        assert!(error.to_string().contains("no place for bench probes"));
        assert!(with(DOCUMENT, &printed("cpu", " \n")).is_err());
    }
}
