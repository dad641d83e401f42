//! Tests of `link.rs`.

use super::*;

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[test]
fn every_nth_data_segment_is_lost_and_nothing_else() {
    let loss = Loss::Every(3);
    let mut shaper = Shaper::new(Link {
        loss,
        ..Link::default()
    });
    let fates: Vec<_> = (0..7)
        .map(|_| {
            assert_eq!(shaper.admit(ms(1), 40, false), Verdict::LeaveAt(ms(1)));
            shaper.admit(ms(1), 100, true) == Verdict::Lost
        })
        .collect();
    assert_eq!(fates, [false, false, true, false, false, true, false]);
}

#[test]
fn nothing_passes_while_it_is_cut() {
    let mut shaper = Shaper::new(Link::default());
    let cut = shaper.cut();
    cut.set(true);
    assert_eq!(shaper.admit(ms(1), 40, false), Verdict::Lost);
    assert_eq!(shaper.admit(ms(1), 100, true), Verdict::Lost);
    cut.set(false);
    assert_eq!(shaper.admit(ms(2), 40, false), Verdict::LeaveAt(ms(2)));
}

#[test]
fn random_losses_start_anew_when_told_to() {
    let loss = Loss::Random {
        share: 0.1,
        seed: 1,
    };
    let mut shaper = Shaper::new(Link {
        loss,
        ..Link::default()
    });
    let reseed = shaper.reseed();
    let mut lost = |seed| {
        reseed.set(seed);
        let fates: Vec<_> = (0..1_000)
            .map(|_| shaper.admit(ms(0), 1500, true) == Verdict::Lost)
            .collect();
        fates
    };
    let first = lost(7);
    assert_ne!(lost(8), first);
    assert_eq!(lost(7), first);
}

#[test]
fn random_losses_repeat_with_their_seed() {
    let lost = |seed| {
        let loss = Loss::Random { share: 0.1, seed };
        let mut shaper = Shaper::new(Link {
            loss,
            ..Link::default()
        });
        let fates: Vec<_> = (0..10_000)
            .map(|_| shaper.admit(ms(0), 1500, true) == Verdict::Lost)
            .collect();
        fates
    };
    assert_eq!(lost(7), lost(7));
    assert_ne!(lost(7), lost(8));
    let count = lost(7).iter().filter(|lost| **lost).count();
    assert!((900..1100).contains(&count), "{count}");
}

#[test]
fn the_narrow_link_sends_one_after_the_other_and_drops_at_the_tail() {
    let rate = Some(Rate {
        bits_per_second: 8_000_000,
        queue_bytes: 3000,
    });
    let mut shaper = Shaper::new(Link {
        delay: ms(5),
        rate,
        ..Link::default()
    });
    // A thousand bytes take a millisecond.
    assert_eq!(shaper.admit(ms(0), 1000, true), Verdict::LeaveAt(ms(6)));
    assert_eq!(shaper.admit(ms(0), 1000, true), Verdict::LeaveAt(ms(7)));
    assert_eq!(shaper.admit(ms(0), 1000, true), Verdict::LeaveAt(ms(8)));
    assert_eq!(shaper.admit(ms(0), 1000, true), Verdict::Overflow);
    assert_eq!(shaper.admit(ms(1), 1000, true), Verdict::LeaveAt(ms(9)));
    // After a pause there is no credit: the next two leave a millisecond apart.
    assert_eq!(shaper.admit(ms(100), 1000, true), Verdict::LeaveAt(ms(106)));
    assert_eq!(shaper.admit(ms(100), 1000, true), Verdict::LeaveAt(ms(107)));
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let with = |loss| Link {
        loss,
        ..Link::default()
    };
    assert!(with(Loss::Every(0)).check().is_err());
    let share = 1.5;
    assert!(with(Loss::Random { share, seed: 0 }).check().is_err());
    assert!(with(Loss::Every(1)).check().is_ok());
}
