//! What `measure` prints.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::{directly, ends, parsed, proxy, thinking};
use crate::harness::Rig;
use crate::harness::program::text;

#[test]
fn rows_are_as_wide_as_their_titles() {
    let rig = Rig::start();
    let few = [
        "--samples=5",
        "--rate=50",
        "--handshakes=1",
        "--format=csv",
        "--slo=p95=1m",
    ];
    let output = ends(directly(&rig, &few).args(proxy(&rig)), 0);
    let csv = text(&output.stdout);
    let rows: Vec<Vec<_>> = csv.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.len(), 3, "{csv}");
    assert!(rows.iter().all(|row| row.len() == rows[0].len()), "{csv}");
    let cell = |row: usize, title: &str| {
        let column = rows[0].iter().position(|found| *found == title).unwrap();
        rows[row][column]
    };
    assert_eq!(
        (cell(1, "target"), cell(1, "good"), cell(1, "slo")),
        ("direct", "5", "p95=1m met")
    );
    assert!(cell(2, "p95_ms").parse::<f64>().unwrap() > 0.0);
    assert_eq!(cell(1, "mean_difference_ms"), "");
    assert!(cell(2, "mean_difference_ms").parse::<f64>().is_ok());
}

#[test]
fn tables_fit_a_terminal() {
    let rig = thinking();
    let few = ["--samples=20", "--rate=50", "--handshakes=2"];
    let output = ends(directly(&rig, &few).args(proxy(&rig)), 0);
    let table = text(&output.stdout);
    for title in [
        "latency, ms",
        "difference, ms",
        "share of mean, ms",
        "new connection, ms",
    ] {
        assert!(table.contains(title), "{table}");
    }
    assert!(table.contains("p99 rests on 1 of 20 requests"), "{table}");
    let widest = table.lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(100), "{table}");
    let told = text(&output.stderr);
    assert!(told.starts_with("measuring: 0 of 44"), "{told}");
}

/// All names of fields, but for codes of errors.
fn fields(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                found.insert(name.clone());
                if name != "errors" {
                    fields(value, found);
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| fields(value, found)),
        _ => {}
    }
}

#[test]
fn every_field_is_documented() {
    let rig = Rig::start();
    let few = ["--samples=5", "--rate=50", "--handshakes=1", "--slo=p95=1m"];
    let report = parsed(directly(&rig, &few).args(proxy(&rig)), 0);
    let mut found = BTreeSet::new();
    fields(&report, &mut found);
    assert!(found.len() > 40, "{found:?}");
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/measuring.md");
    let page = std::fs::read_to_string(page).unwrap();
    for name in found {
        assert!(
            page.contains(&format!("`{name}`")),
            "docs/measuring.md has no `{name}`"
        );
    }
}
