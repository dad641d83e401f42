//! Tests of taking a file apart.

use super::*;

const FILE: &str = "\
//! About `.unwrap()`.
fn one() { x.unwrap(); }
#[cfg(test)]
mod tests {
    fn two() { y.unwrap(); } // }
}
fn three() {} // TODO later
#[cfg(not(test))]
fn four() { \"TODO } {\"; }
#[cfg(all(test, unix))]
mod more;
";

#[test]
fn tests_are_told_from_the_product() {
    let source = Source::parse(FILE);
    assert_eq!(source.lines(), 11);
    assert_eq!(source.test_lines(), 6);
    assert_eq!(source.test_modules, ["more"]);
    assert_eq!(source.production_code().matches(".unwrap()").count(), 1);
    assert!(source.production_text().contains("About"));
}

#[test]
fn marks_count_in_comments_only() {
    assert_eq!(Source::parse(FILE).todo_marks(), 1);
}

#[test]
fn unsafe_blocks_need_a_reason_close_by() {
    let source = Source::parse(
        "fn a() {\n\
         // SAFETY: it is checked above.\n\
         unsafe { b() };\n\
         \n\
         unsafe { c() };\n\
         let d =\n\
         unsafe { d() }; // SAFETY: so\n\
         }\n\
         #[expect(unsafe_code)]\n\
         const TEXT: &str = \"unsafe {\";\n",
    );
    let found: Vec<_> = source
        .unsafe_blocks()
        .iter()
        .map(|b| (b.line, b.has_reason))
        .collect();
    assert_eq!(found, [(2, true), (4, false), (6, true)]);
}
