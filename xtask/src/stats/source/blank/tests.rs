//! Tests of `blank.rs`.

use super::*;

#[test]
fn literals_and_comments_are_blanked() {
    for (text, expected) in [
        ("a // b\nc", "a //  \nc"),
        ("a /* b /* c */ d */ e", "a                   e"),
        (r#"f("}\"{", x)"#, "f(      , x)"),
        ("f('{', '\\'', b'}', 'ß')", "f(   ,     ,     ,     )"),
        ("fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)"),
        ("r#\"a\"}\"# + r#type", "         + r#type"),
        ("br##\"\"#\"## ;", "           ;"),
        ("'static: loop", "'static: loop"),
        ("\"unclosed", "         "),
    ] {
        assert_eq!(blank(text), expected, "{text}");
    }
}
