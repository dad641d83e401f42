//! Tests of the Markdown reader.

use super::*;

#[test]
fn headings_become_anchors_as_on_code_hosts() {
    for (heading, expected) in [
        ("Two commands", "two-commands"),
        (
            "`cargo xtask test`: every check",
            "cargo-xtask-test-every-check",
        ),
        ("What's new? (0.1.0)", "whats-new-010"),
        ("See [the docs](docs/a.md) first", "see-the-docs-first"),
        ("snake_case & more", "snake_case--more"),
    ] {
        assert_eq!(anchor(heading), expected);
    }
    let twice = Document::parse("# Same\n## Same\n#hashtag\n<a id=\"own\"></a>\n");
    assert_eq!(twice.anchors, ["same", "same-1", "own"]);
}

#[test]
fn links_are_found_where_they_are_links() {
    let document = Document::parse(
        "[a](one.md) and ![b](two.svg \"title\")\n\
         `[no](code.md)` [web](https://example.com/x)\n\
         ```\n[no](fenced.md)\n```\n\
         [ref]: three.md#part\n\
         <img src=\"four.png\">\n",
    );
    let found: Vec<_> = document
        .links
        .iter()
        .map(|l| (l.line, l.target.as_str()))
        .collect();
    assert_eq!(
        found,
        [
            (1, "one.md"),
            (1, "two.svg"),
            (6, "three.md#part"),
            (7, "four.png")
        ]
    );
}

#[test]
fn a_fence_closes_with_its_own_kind() {
    assert_eq!(Document::parse("```sh\nls\n```\n").open_fence, None);
    assert_eq!(Document::parse("````\n```\n````\n").open_fence, None);
    assert_eq!(Document::parse("```a``` is inline\n").open_fence, None);
    assert_eq!(Document::parse("text\n```\n~~~\n").open_fence, Some(2));
}

#[test]
fn headings_in_code_are_no_anchors() {
    assert_eq!(Document::parse("```\n# comment\n```\n").anchors, [""; 0]);
}

#[test]
fn tasks_are_named_after_the_command() {
    let text =
        "`cargo xtask run` or cargo xtask bench cpu; cargo xtask COMMAND, cargo xtask --help";
    assert_eq!(Document::parse(text).tasks, ["run", "bench"]);
}

#[test]
fn paths_of_a_machine_are_told_from_urls() {
    let document =
        Document::parse("see `/home/me/x`\nhttps://example.com/home/page\n$HOME/work/x\n");
    assert_eq!(document.mentions(&["/home/", "/work/"]), [(1, "/home/")]);
}
