//! Tests of `prompts.rs`.

use clap::Parser;

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    options: Options,
}

fn wanted(line: &str) -> Result<Wanted> {
    let words = ["prompts"].into_iter().chain(line.split_ascii_whitespace());
    Line::try_parse_from(words)?.options.wanted()
}

#[test]
fn a_full_run_has_everything_and_a_quick_one_less() {
    let full = wanted("").unwrap();
    assert_eq!((full.peers.len(), full.paths.len()), (5, 5));
    assert_eq!((full.sizes.len(), full.situations.len()), (4, 5));
    let quick = wanted("--quick").unwrap();
    assert_eq!((quick.paths.len(), quick.sizes.len()), (2, 2));
    assert!(quick.samples < full.samples);
}

#[test]
fn options_choose() {
    let line =
        "--quick --peers direct,holysheep --paths narrow --sizes 1KB,3MB --idle 2 --samples 7";
    let wanted = wanted(line).unwrap();
    assert_eq!(wanted.peers, [Kind::Direct, Kind::HolySheep]);
    assert_eq!(wanted.first_path().unwrap().name, "narrow");
    assert_eq!(wanted.sizes, [Size(1_000), Size(3_000_000)]);
    let idle = Situation::Idle(Duration::from_secs(2));
    assert_eq!(wanted.situations, [Situation::Fresh, Situation::Cold, idle]);
    assert_eq!(wanted.samples, 7);
}

#[test]
fn nonsense_is_refused() {
    for line in [
        "--paths mars",
        "--sizes 1TB",
        "--idle -1",
        "--samples 0",
        "--peers direct,direct",
        "--loss 2",
        "--rate 0",
    ] {
        assert!(wanted(line).is_err(), "{line}");
    }
}
