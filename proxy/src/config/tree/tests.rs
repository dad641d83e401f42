//! Tests of `tree.rs`.

use std::collections::BTreeMap;

use super::*;

fn found(text: &str, path: &str) -> (Option<String>, String) {
    let reading = read::<serde_json::Value>(text).unwrap();
    let (place, written) = reading.tree.find(path);
    (place.map(|place| place.to_string()), written)
}

#[test]
fn paths_lead_to_values_and_sections_to_their_names() {
    let text = "a:\n  b: 1\n  c:\n  - x\n  - {y: 2}\na.b: 3\n";
    for (path, place) in [
        ("a.b", "6:6"),
        ("a", "1:1"),
        ("a.c", "3:3"),
        ("a.c[0]", "4:5"),
        ("a.c[1].y", "5:9"),
    ] {
        assert_eq!(found(text, path), (Some(place.to_owned()), path.to_owned()));
    }
    // What is missing is missing in what it belongs to.
    assert_eq!(found(text, "a.d.e").0.as_deref(), Some("1:1"));
    assert_eq!(found(text, "d"), (None, "d".to_owned()));
}

#[test]
fn items_keep_their_numbers_when_others_are_taken_out() {
    let reading = read::<BTreeMap<String, Vec<u32>>>("a: [1, x, 3]").unwrap();
    assert_eq!(reading.value.unwrap()["a"], [1, 3]);
    assert_eq!(reading.misfits[0].path, "a[1]");
    let (place, written) = reading.tree.find("a[1]");
    assert_eq!((place.unwrap().column, written.as_str()), (11, "a[2]"));
}

#[test]
fn whoever_has_too_much_wrong_is_told_of_some() {
    let text: String = (0..1_000).map(|n| format!("k{n}: x\n")).collect();
    let reading = read::<BTreeMap<String, u32>>(&text).unwrap();
    assert!(reading.value.is_none() && reading.misfits.len() == 100);
    // More than the library reads unless it is told to.
    let many = format!("a: [{}]", "1,".repeat(260_000));
    let reading = read::<BTreeMap<String, Vec<u32>>>(&many).unwrap();
    assert_eq!(reading.value.unwrap()["a"].len(), 260_000);
    let budget = serde_saphyr::budget! { max_nodes: 3 };
    let few = serde_saphyr::options! { with_snippet: false, budget: budget };
    let text = "[1, 2, 3, 4]";
    let error = serde_saphyr::from_str_with_options::<Vec<u32>>(text, few).unwrap_err();
    let message = unreadable(&error, text, None);
    assert!(message.contains("at most 1500000"), "{message}");
    let huge = "#".repeat(LARGEST + 1);
    assert!(read::<BTreeMap<String, u32>>(&huge).is_err());
}
