//! The command line: help that fits a screen, and what is made of it for `man` and for shells.

use std::collections::BTreeMap;
use std::path::Path;

use crate::harness::Directory;
use crate::harness::program::{run, text};

#[path = "../../examples/command_line/render.rs"]
mod render;

/// Of a terminal that nobody has made larger.
const SCREEN: (usize, usize) = (30, 100);

#[test]
fn help_fits_a_screen() {
    for (command, says) in [
        (&[][..], "serve"),
        (&["serve"][..], "--take-over"),
        (&["check"][..], "--upstream"),
        (&["measure"][..], "--slo"),
        (&["costs"][..], "--from"),
        (&["client"][..], "add"),
        (&["client", "add"][..], "--expires"),
    ] {
        for flag in ["-h", "--help"] {
            let help = run([command, &[flag]].concat());
            assert_eq!(help.status.code(), Some(0));
            let help = text(&help.stdout);
            assert!(help.contains(says), "{help}");
            let width = help.lines().map(|line| line.chars().count()).max();
            assert!(help.lines().count() <= SCREEN.0, "{command:?}: {help}");
            assert!(width <= Some(SCREEN.1), "{command:?}: {help}");
        }
    }
}

fn files(directory: &Path) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(directory).unwrap().map(Result::unwrap);
    let read = entries.map(|entry| {
        let name = entry.file_name().into_string().unwrap();
        (name, std::fs::read_to_string(entry.path()).unwrap())
    });
    read.collect()
}

#[test]
fn pages_and_completions_are_those_of_this_command_line() {
    let directory = Directory::new();
    let place = directory.path("made");
    render::all(&place).unwrap();
    let made = files(&place);
    let kept = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(render::PLACE));
    assert!(made.keys().eq(kept.keys()), "{:?}", kept.keys());
    for (name, text) in &made {
        assert!(
            kept[name] == *text,
            "{name} is not of this command line: `cargo run -p holysheep-proxy --example command_line` makes it anew"
        );
    }
    let page = &made["holysheep-proxy-serve.1"];
    assert!(page.contains("HOLYSHEEP_TAKE_OVER"), "{page}");
}
