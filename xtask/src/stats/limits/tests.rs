//! Tests of `limits.rs`.

use super::*;

fn broken(census: &Census) -> Vec<String> {
    let rows = rows(census)
        .into_iter()
        .filter(|row| row.is_limit && !row.is_met);
    rows.map(|row| row.name).collect()
}

#[test]
fn limits_are_broken_by_one_too_many() {
    let mut census = Census {
        files: vec![(400, "a.rs".into())],
        functions: vec![(80, "f".to_owned())],
        production_lines: 2500,
        unwraps: vec!["a.rs".to_owned()],
        ..Census::default()
    };
    assert_eq!(broken(&census), [""; 0]);
    census.files = vec![(401, "a.rs".into())];
    census.functions = vec![(81, "f".to_owned())];
    census.production_lines = 2499;
    assert_eq!(
        broken(&census),
        [
            "lines a file, longest",
            "functions over 80 lines",
            "unwrap and expect per 1000 lines"
        ]
    );
}
