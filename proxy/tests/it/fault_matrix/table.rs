//! The table in docs/resilience.md: compared, or written.

use std::path::Path;
use std::time::Duration;

use super::rows::Expected;

const BEGIN: &str = "<!-- The fault matrix, written by proxy/tests/it/fault_matrix.rs. -->\n";
const END: &str = "<!-- The end of the fault matrix. -->\n";
const WRITE: &str = "HOLYSHEEP_WRITE_TABLES";

/// Compares the rows with the document, or writes them there. The times are those of the run that wrote them.
pub(super) fn check(rows: &[(&Expected<'_>, Duration)]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/resilience.md");
    let document = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = document.split_once(BEGIN).unwrap();
    let (old, after) = rest.split_once(END).unwrap();
    let new = render(rows);
    if std::env::var_os(WRITE).is_some() {
        let text = format!("{before}{BEGIN}{new}{END}{after}");
        return std::fs::write(&path, text).unwrap();
    }
    let (old, new) = (without_times(old), without_times(&new));
    assert_eq!(
        old, new,
        "docs/resilience.md has another table: run this test with {WRITE}=1, and look at the difference"
    );
}

fn render(rows: &[(&Expected<'_>, Duration)]) -> String {
    let mut text = String::from(
        "| Fault | Upstreams | Answer | The client gets | Reached | Metrics | After |\n\
         |---|---|---|---|---|---|---|\n",
    );
    let mut last = "";
    for (row, took) in rows {
        // Said once, it holds for the lines below.
        let fault = match row.fault == last {
            true => String::new(),
            false => format!("`{}`", row.fault).replace(" once`", "` once"),
        };
        last = row.fault;
        let Expected {
            upstreams,
            request,
            client,
            reached,
            metrics,
            ..
        } = row;
        let took = class(*took);
        text.push_str(&format!(
            "| {fault} | {upstreams} | {request} | {client} | {reached} | {metrics} | {took} |\n"
        ));
    }
    text
}

fn class(took: Duration) -> String {
    match took.as_millis() {
        0..50 => "< 50 ms".to_owned(),
        50..150 => "~ 100 ms".to_owned(),
        150..450 => "~ 300 ms".to_owned(),
        450..750 => "~ 500 ms".to_owned(),
        750..1500 => "~ 1 s".to_owned(),
        millis => format!("~ {} s", (millis + 500) / 1000),
    }
}

fn without_times(table: &str) -> Vec<&str> {
    let lines = table.lines();
    lines
        .map(|line| line.trim_end_matches(" |"))
        .map(|line| line.rsplit_once(" | ").map_or(line, |(kept, _)| kept))
        .collect()
}
