//! Tests of `json.rs`, against `serde_json` and at every cut.

use super::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Root,
    Named,
    List,
    Item,
}

#[derive(Debug)]
struct Names;

impl Schema for Names {
    type Place = Place;
    const ROOT: Place = Place::Root;

    fn member(of: Place, key: &[u8]) -> Option<Place> {
        match (of, key) {
            (Place::Root | Place::Item | Place::Named, b"a") => Some(Place::Named),
            (Place::Root | Place::Item | Place::Named, b"l") => Some(Place::List),
            _ => None,
        }
    }

    fn element(of: Place) -> Option<Place> {
        (of == Place::List).then_some(Place::Item)
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Log(Vec<String>);

impl Visitor<Place> for Log {
    fn text(&mut self, at: Place, text: &[u8]) {
        self.0
            .push(format!("{at:?} {}", String::from_utf8_lossy(text)));
    }

    fn is_filled(&mut self, at: Place) {
        self.0.push(format!("{at:?} \""));
    }

    fn number(&mut self, at: Place, number: u64) {
        self.0.push(format!("{at:?} {number}"));
    }

    fn truth(&mut self, at: Place, truth: bool) {
        self.0.push(format!("{at:?} {truth}"));
    }

    fn opens(&mut self, at: Place) {
        self.0.push(format!("{at:?} opens"));
    }
}

/// What is told of `document` that comes in pieces of `step` bytes.
fn told(document: &str, step: usize) -> Vec<String> {
    let (mut scanner, mut log) = (Scanner::<Names>::default(), Log::default());
    for piece in document.as_bytes().chunks(step) {
        scanner.feed(piece, &mut log);
    }
    log.0
}

/// The same at every cut.
#[track_caller]
fn assert_told(document: &str, expected: &[&str]) {
    for step in 1..=document.len().max(1) {
        assert_eq!(told(document, step), expected, "{document} by {step}");
    }
}

#[test]
fn values_are_found_where_they_stand_and_nowhere_else() {
    assert_told(
        r#" {"x":{"a":1,"l":[{"a":2}]},"a" : "b","y":"\"a\":3","l":[1,{"a":4},["a"],{"z":[{}]}],"a":true}"#,
        &[
            "Root opens",
            "Named \"",
            "Named b",
            "List opens",
            "Item 1",
            "Item opens",
            "Named 4",
            "Item opens",
            "Item opens",
            "Named true",
        ],
    );
}

#[test]
fn values_of_all_kinds() {
    for (value, expected) in [
        ("\"\"", vec!["Named "]),
        ("\"é\"", vec!["Named \"", "Named é"]),
        (r#""a\n""#, vec!["Named \""]),
        (r#""\n""#, vec!["Named \""]),
        (r#""\"""#, vec!["Named \""]),
        ("0", vec!["Named 0"]),
        ("18446744073709551615", vec!["Named 18446744073709551615"]),
        (
            "99999999999999999999999",
            vec!["Named 18446744073709551615"],
        ),
        ("12.75", vec!["Named 12"]),
        ("12e3", vec![]),
        ("-5", vec![]),
        ("null", vec![]),
        ("false", vec!["Named false"]),
        ("[]", vec!["Named opens"]),
        ("{}", vec!["Named opens"]),
        ("[\"]\",{}]", vec!["Named opens"]),
    ] {
        let mut all = vec!["Root opens"];
        all.extend(expected);
        all.push("Named 7");
        assert_told(&format!(r#"{{"a":{value},"a":7}}"#), &all);
    }
}

#[test]
fn what_is_too_long_or_too_deep_is_passed_over() {
    let long = "x".repeat(MAX_TEXT + 1);
    let document = format!(r#"{{"{long}":1,"a":"{long}","a":2}}"#);
    assert_told(&document, &["Root opens", "Named \"", "Named 2"]);
    let deep = format!("{}7{}", r#"{"a":"#.repeat(50), "}".repeat(50));
    let document = format!(r#"{{"l":[{deep}],"a":8}}"#);
    let told = told(&document, 1);
    assert_eq!(told.last().map(String::as_str), Some("Named 8"));
    assert!(!told.contains(&"Named 7".to_owned()), "{told:?}");
}

#[test]
fn an_escaped_key_is_none_that_is_wanted() {
    assert_told(
        r#"{"\u0061":1,"\"":2,"a\\":{"a":3},"a":4}"#,
        &["Root opens", "Named 4"],
    );
}

#[test]
fn what_is_no_document_has_no_values() {
    for document in [
        "",
        "7",
        "\"a\"",
        "--form\r\n{\"a\":1}",
        "[{\"a\":1}]",
        "a{\"a\":1}",
    ] {
        let told = told(document, 1);
        assert!(
            told.is_empty() || told == ["Root opens"],
            "{document}: {told:?}"
        );
    }
    // Nor has what follows one.
    assert_told(r#"{"a":1} {"a":2}"#, &["Root opens", "Named 1"]);
}

#[test]
fn a_reset_begins_anew_wherever_it_was() {
    let document = r#"{"l":[{"a":"b"},{"z":{"a":[1]}}],"a":1}"#;
    for cut in 0..document.len() {
        let (mut scanner, mut log) = (Scanner::<Names>::default(), Log::default());
        scanner.feed(&document.as_bytes()[..cut], &mut log);
        scanner.reset();
        let mut log = Log::default();
        scanner.feed(document.as_bytes(), &mut log);
        assert_eq!(log.0, told(document, 1000), "{cut}");
        assert!(scanner.is_done());
    }
}

#[test]
fn the_same_numbers_as_serde_json_in_mutated_documents() {
    let seed = r#"{"a":12,"x":[1,{"a":3}],"s":"\\\"{[","l":[{"a":4},{"a":5}],"n":null,"a":6}"#;
    let mut random = fastrand::Rng::with_seed(7);
    let mut compared = 0;
    for _ in 0..200_000 {
        let mut bytes = seed.as_bytes().to_vec();
        for _ in 0..random.usize(1..3) {
            let at = random.usize(..bytes.len());
            let other = random.usize(..bytes.len());
            match random.u8(..3) {
                0 => bytes[at] = bytes[other],
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, bytes[other]),
            }
        }
        let (mut scanner, mut log) = (Scanner::<Names>::default(), Log::default());
        scanner.feed(&bytes, &mut log);
        let Ok(value) = serde_json::from_slice::<serde_json::Value>(&bytes) else {
            continue;
        };
        // serde_json keeps the last of several.
        if let Some(number) = value["a"].as_u64() {
            assert!(log.0.contains(&format!("Named {number}")), "{value}");
            compared += 1;
        }
    }
    assert!(compared > 1_000, "{compared}");
}
