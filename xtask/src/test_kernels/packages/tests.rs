//! Tests of `packages.rs`.

use super::*;

fn newest(series: &Series, packages: &[&str]) -> Option<String> {
    series.newest(packages.iter().map(|name| (*name).to_owned()))
}

#[test]
fn the_newest_is_found_by_number_among_signed_kernels() {
    let [old, new] = &SERIES;
    let packages = [
        "linux-image-6.1.0-9-cloud-amd64",
        "linux-image-6.1.0-50-cloud-amd64",
        "linux-image-6.1.0-51-cloud-amd64-unsigned",
        "linux-image-6.1.0-60-amd64",
        "linux-image-6.12.9+deb12-cloud-amd64",
        "linux-image-6.12.117+deb12-cloud-amd64",
        "linux-image-6.12.118+deb12-cloud-amd64-dbg",
    ];
    let expected = "linux-image-6.1.0-50-cloud-amd64";
    assert_eq!(newest(old, &packages).as_deref(), Some(expected));
    let expected = "linux-image-6.12.117+deb12-cloud-amd64";
    assert_eq!(newest(new, &packages).as_deref(), Some(expected));
    assert_eq!(newest(new, &packages[..4]), None);
}
