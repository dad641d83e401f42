//! Tests of `url.rs`.

use super::*;

#[test]
fn both_dialects_hang_off_one_prefix() {
    let url = BaseUrl::parse("https://api.holysheep.ai/v1").unwrap();
    assert_eq!(
        (url.host(), url.port(), url.prefix()),
        ("api.holysheep.ai", 443, "")
    );
    assert_eq!(url.authority(), "api.holysheep.ai");
    let url = BaseUrl::parse("http://[::1]:8443/relay/v1/").unwrap();
    assert_eq!((url.host(), url.prefix()), ("::1", "/relay"));
    assert_eq!(url.to_string(), "http://[::1]:8443/relay/v1");
}

#[test]
fn a_port_that_is_none_is_not_replaced() {
    for port in ["99999", "", "0", "x", "-1"] {
        for host in ["localhost", "[::1]"] {
            let text = format!("https://{host}:{port}/v1");
            assert!(BaseUrl::parse(&text).is_err(), "{text}");
        }
    }
    assert_eq!(BaseUrl::parse("https://[::1]/v1").unwrap().port(), 443);
    assert_eq!(BaseUrl::parse("http://x:81").unwrap().port(), 81);
}

#[test]
fn a_name_of_other_letters_is_told_how_it_is_written() {
    let error = BaseUrl::parse("https://例え.jp/v1").unwrap_err();
    assert!(error.reason().contains("Punycode"), "{error}");
    let url = BaseUrl::parse("https://xn--r8jz45g.jp/v1").unwrap();
    assert_eq!(url.host(), "xn--r8jz45g.jp");
}

#[test]
fn what_is_no_base_url_is_refused_without_showing_a_password() {
    for text in [
        "",
        "api.holysheep.ai/v1",
        "ftp://x/v1",
        "https:///v1",
        "https://x/v1?a=b",
    ] {
        assert!(BaseUrl::parse(text).is_err(), "{text}");
    }
    let error = BaseUrl::parse("https://user:hunter2@x/v1")
        .unwrap_err()
        .to_string();
    assert!(!error.contains("hunter2"), "{error}");
}
