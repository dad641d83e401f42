//! Tests of `census.rs`.

use super::*;

fn census(files: &[(&str, &str)]) -> Census {
    let sources = files
        .iter()
        .map(|(path, text)| (path.into(), Source::parse(text)));
    Census::of(sources.collect())
}

#[test]
fn tests_in_files_of_their_own_are_no_product() {
    let census = census(&[
        (
            "proxy/src/a.rs",
            "fn a() { b.expect(c) }\n#[cfg(test)]\nmod tests;\n",
        ),
        ("proxy/src/a/tests.rs", "fn t() { b.unwrap() }\n"),
        ("proxy/tests/c.rs", "fn t() { b.unwrap() }\n"),
    ]);
    assert_eq!(census.unwraps, ["proxy/src/a.rs"]);
    assert_eq!((census.production_lines, census.test_lines), (1, 4));
    assert!((census.per_kloc(1) - 1000.0).abs() < 1e-9);
}

#[test]
fn anyhow_is_for_the_top() {
    let text = "use anyhow::Result;\n";
    let census = census(&[
        ("proxy/src/app.rs", text),
        ("proxy/src/cli/check.rs", text),
        ("proxy/src/tls.rs", text),
        ("emulator/src/main.rs", text),
        ("xtask/src/run.rs", text),
    ]);
    assert_eq!(census.anyhow, ["proxy/src/tls.rs"]);
}

#[test]
fn quantiles_are_of_sorted_files() {
    let (long, short) = ("\n".repeat(10), "\n".repeat(2));
    let census = census(&[("a/mod.rs", &long), ("a/b.rs", &short), ("a/c.rs", "\n")]);
    assert_eq!(
        (
            census.lines_at(50),
            census.lines_at(90),
            census.lines_at(100)
        ),
        (2, 10, 10)
    );
    assert_eq!(census.mod_files, ["a/mod.rs"]);
}
