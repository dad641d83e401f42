//! Tests of `file.rs`.

use super::*;

#[test]
fn units_are_read_as_people_write_them() {
    let file = ConfigFile::parse(
        "timeouts: {connect: 500ms, drain: 1m}\nlimits: {body: 25MB, headers: 65536}",
    )
    .unwrap();
    assert_eq!(
        file.timeouts.connect,
        Some(Span(Duration::from_millis(500)))
    );
    assert_eq!(file.limits.body, Some(Size(25_000_000)));
    assert_eq!(file.limits.headers, Some(Size(65_536)));
}

#[test]
fn an_error_names_the_place_and_what_was_expected() {
    let error = ConfigFile::parse("listen: 127.0.0.1:1\ntimeouts:\n  conect: 1s\n").unwrap_err();
    assert!(error.starts_with("timeouts.conect: "), "{error}");
    let error = ConfigFile::parse("timeouts:\n  connect: soon\n").unwrap_err();
    assert!(error.starts_with("timeouts.connect: "), "{error}");
    assert!(error.contains("soon") && error.contains("10s"), "{error}");
}

#[test]
fn the_key_itself_is_not_a_setting_of_the_file_and_not_shown() {
    for text in [
        "upstream: {api_key: cr_secret}",
        "upstream:\n  api_key: cr_secret\n",
        "upstream:\n  api_key_fil: cr_secret\n",
        "upstream:\n  min_idle: x\n  # cr_secret\n  name: cr_secret\n",
        "upstream:\n  api_key: cr_secret\n  - broken",
        "workers: cr_secret",
        "listen: cr_secret",
    ] {
        let error = ConfigFile::parse(text).unwrap_err();
        assert!(!error.contains("cr_secret"), "{error}");
    }
}

#[test]
fn durations_beyond_a_year_are_refused() {
    assert!("365d".parse::<Span>().is_ok());
    let error = "400000000000y".parse::<Span>().unwrap_err();
    assert!(error.contains("365d"), "{error}");
}
