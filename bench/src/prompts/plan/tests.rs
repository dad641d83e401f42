//! Tests of `plan.rs`.

use super::*;

fn milliseconds(number: u64) -> Duration {
    Duration::from_millis(number)
}

#[test]
fn sizes_are_read_and_written() {
    for text in ["4 KB", "40 KB", "2 MB", "1500 B"] {
        let size: Size = text.replace(' ', "").parse().unwrap();
        assert_eq!(size.to_string(), text);
    }
    assert_eq!("4000".parse::<Size>().unwrap(), Size(4_000));
    for text in ["", "KB", "1KiB", "20MB", "0", "-4KB"] {
        assert!(text.parse::<Size>().is_err(), "{text:?}");
    }
}

#[test]
fn what_takes_long_is_measured_less_often() {
    let short = Situation::Idle(milliseconds(100));
    let long = Situation::Idle(milliseconds(30_000));
    assert_eq!(samples(24, Size(40_000), short), 24);
    assert_eq!(samples(24, Size(400_000), short), 12);
    assert_eq!(samples(24, Size(2_000_000), short), 4);
    assert_eq!(samples(24, Size(40_000), long), 7);
    assert_eq!(samples(24, Size(2_000_000), long), 2);
    assert_eq!(samples(1, Size(2_000_000), long), 1);
}

#[test]
fn rounds_are_even() {
    assert_eq!(rounds(3), [3]);
    assert_eq!(rounds(8), [8]);
    assert_eq!(rounds(20), [6, 7, 7]);
    assert!(rounds(0).is_empty());
}

#[test]
fn families_share_a_pause_they_fit_into() {
    let family = |first, takes| {
        vec![
            (first, milliseconds(takes)),
            (first + 1, milliseconds(takes)),
        ]
    };
    let families = [family(0, 100), family(2, 300), family(4, 250)];
    let members = |situation| {
        let groups = groups(&families, situation).into_iter();
        groups.map(|group| group.members).collect::<Vec<_>>()
    };
    let idle = Situation::Idle(milliseconds(1000));
    assert_eq!(members(idle), [vec![0, 1, 2, 3], vec![4, 5]]);
    assert_eq!(members(Situation::Cold), [[0, 1, 2, 3, 4, 5]]);
}

#[test]
fn a_family_that_does_not_fit_is_taken_apart() {
    let takes = [400, 600, 300, 2000, 100];
    let family: Vec<_> = takes
        .into_iter()
        .enumerate()
        .map(|(index, takes)| (index, milliseconds(takes)))
        .collect();
    let groups = groups(&[family], Situation::Idle(milliseconds(1000)));
    let members: Vec<_> = groups.into_iter().map(|group| group.members).collect();
    // While the longest is served, the shortest may pause; and the other way round.
    assert_eq!(members, [vec![0, 1], vec![2, 4], vec![3]]);
}

#[test]
fn pauses_and_names() {
    assert_eq!(Situation::Fresh.pause(), milliseconds(1000));
    let idle = Situation::Idle(milliseconds(100));
    assert_eq!(idle.longest_pause(), Some(milliseconds(150)));
    assert_eq!(Situation::Cold.longest_pause(), None);
    assert_eq!(idle.to_string(), "idle 0.1 s");
    assert_eq!(
        Situation::Idle(milliseconds(30_000)).to_string(),
        "idle 30 s"
    );
}
