//! Tests of `name.rs`.

use std::time::Duration;

use super::*;

fn found(ips: &[&str]) -> Answer {
    Answer::Found {
        ips: ips.iter().map(|ip| ip.parse().unwrap()).collect(),
        ttl: Duration::from_secs(1),
    }
}

fn empty() -> Answer {
    Answer::Empty { ttl: None }
}

fn failed() -> Answer {
    Answer::Failed("nobody answers".to_owned())
}

/// A name after these answers.
fn after(answers: &[(Family, Answer)]) -> Name {
    let mut name = Name::default();
    for (family, answer) in answers {
        name.note(*family, answer);
    }
    name
}

fn shown(name: &Name) -> String {
    match name.resolution(443) {
        Resolution::Pending => "pending".to_owned(),
        Resolution::Failed(reason) => format!("failed: {reason}"),
        Resolution::Known(addresses) => {
            let ips = addresses.iter().map(|address| address.ip().to_string());
            ips.collect::<Vec<_>>().join(" ")
        }
    }
}

use Family::{V4, V6};

#[test]
fn families_alternate_and_are_sorted() {
    let mut name = after(&[
        (V6, found(&["::2", "::1"])),
        (V4, found(&["127.0.0.3", "127.0.0.2", "127.0.0.3"])),
    ]);
    let order = "127.0.0.2 ::1 127.0.0.3 ::2";
    assert_eq!(shown(&name), order);
    let before = name.resolution(443);
    name.note(V4, &found(&["127.0.0.2", "127.0.0.3"]));
    assert_eq!(name.resolution(443), before, "a rotation is no change");
}

#[test]
fn nothing_is_said_before_both_were_asked_unless_there_are_addresses() {
    assert_eq!(shown(&after(&[])), "pending");
    assert_eq!(shown(&after(&[(V6, empty())])), "pending");
    assert_eq!(shown(&after(&[(V4, failed())])), "pending");
    assert_eq!(shown(&after(&[(V4, found(&["127.0.0.1"]))])), "127.0.0.1");
    let none = after(&[(V4, empty()), (V6, empty())]);
    assert_eq!(shown(&none), "failed: the name has no address");
    let none = after(&[(V6, failed()), (V4, empty())]);
    assert_eq!(shown(&none), "failed: nobody answers");
}

#[test]
fn a_family_that_fails_keeps_its_addresses_and_the_other_its_own() {
    let both = [(V4, found(&["127.0.0.1"])), (V6, found(&["::1"]))];
    for (family, other) in [(V4, V6), (V6, V4)] {
        let mut name = after(&both);
        name.note(family, &failed());
        assert_eq!(shown(&name), "127.0.0.1 ::1");
        assert_eq!(name.trouble(family), Some("nobody answers"));
        assert_eq!(name.trouble(other), None);
        assert!(name.is_good());
    }
}

#[test]
fn a_family_that_is_given_up_loses_its_addresses() {
    let mut name = after(&[(V4, found(&["127.0.0.1"])), (V6, found(&["::1"]))]);
    assert!(name.note(V4, &empty()), "the other is worth a look");
    assert_eq!(shown(&name), "::1");
    assert_eq!(name.trouble(V4), None);
    name.note(V6, &found(&["::1"]));
    name.note(V6, &empty());
    assert_eq!(shown(&name), "::1", "127.0.0.1 was given up for good");
}

#[test]
fn a_name_that_loses_everything_keeps_what_it_had() {
    for answer in [empty(), failed()] {
        let mut name = after(&[(V4, found(&["127.0.0.1"])), (V6, found(&["::1"]))]);
        name.note(V4, &answer);
        name.note(V6, &answer);
        assert_eq!(shown(&name), "127.0.0.1 ::1");
        assert!(!name.is_good());
        for family in Family::ALL {
            assert!(name.trouble(family).is_some());
        }
        assert!(name.note(V6, &found(&["::2"])), "so may the other be back");
        let still = if answer == empty() {
            "::2"
        } else {
            "127.0.0.1 ::2"
        };
        assert_eq!(shown(&name), still);
        name.note(V4, &found(&["127.0.0.2"]));
        assert_eq!(shown(&name), "127.0.0.2 ::2");
    }
}

#[test]
fn a_name_of_one_family_is_not_in_trouble() {
    let mut name = after(&[(V6, empty())]);
    assert_eq!(name.trouble(V6), None, "the other may have some");
    name.note(V4, &found(&["127.0.0.1"]));
    assert_eq!([V4, V6].map(|family| name.trouble(family)), [None, None]);
    assert!(!name.note(V4, &found(&["127.0.0.2"])), "nothing new for v6");
    assert_eq!(shown(&name), "127.0.0.2");
    name.note(V4, &empty());
    assert_eq!(shown(&name), "127.0.0.2");
    assert_eq!(name.trouble(V6), Some(NO_ADDRESS));
}
