//! Tests of `load.rs`.

use super::*;

#[test]
fn releases_are_compared_as_numbers() {
    for release in [
        "5.11.0",
        "5.15.0-91-generic",
        "6.1.0-50-cloud-amd64",
        "10.0",
    ] {
        assert!(!is_old(release), "{release}");
    }
    for release in ["5.10.0-32-cloud-amd64", "4.19", "", "unknown"] {
        assert!(is_old(release), "{release}");
    }
}
