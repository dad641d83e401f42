//! Tests of `field.rs`.

use super::*;

#[test]
fn names_are_found_in_any_case() {
    assert_eq!(FieldName::classify(b"X-Api-Key"), FieldName::XApiKey);
    assert_eq!(FieldName::classify(b"x-real-IP"), FieldName::XRealIp);
    assert_eq!(FieldName::classify(b"API-KEY"), FieldName::ApiKey);
    assert_eq!(
        FieldName::classify(b"CONTENT-LENGTH"),
        FieldName::ContentLength
    );
    assert_eq!(FieldName::classify(b"x-stainless-os"), FieldName::Other);
    assert_eq!(FieldName::classify(b""), FieldName::Other);
}

#[test]
fn names_of_any_length_are_compared_as_byte_for_byte() {
    let tokens = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let known = b"te-date-host-expect-referer-content-encoding-sec-websocket-extensions";
    for length in 1..known.len() {
        let known = &known[..length];
        assert!(is_same(&known.to_ascii_uppercase(), known));
        for at in 0..length {
            for token in tokens {
                let mut name = known.to_vec();
                name[at] = *token;
                let is = name.eq_ignore_ascii_case(known);
                assert_eq!(is_same(&name, known), is, "{}", name.escape_ascii());
            }
        }
    }
}

#[test]
fn fields_about_limits_are_known_by_how_they_begin() {
    for name in [
        "X-RateLimit-Limit-Requests",
        "x-ratelimit-reset",
        "x-ratelimit-limit",
        "x-ratelimit-all-there-is-to-say",
        "x-ratelimit-",
    ] {
        let known = FieldName::classify(name.as_bytes());
        assert_eq!(known, FieldName::XRateLimit, "{name}");
    }
    for other in [
        "x-ratelimit",
        "x-rate",
        "x-ratelimits-of-all",
        "x-ratelimit_reset-tokens",
        "y-ratelimit-reset-tokens",
        "x-stainless-package-version",
    ] {
        let known = FieldName::classify(other.as_bytes());
        assert_eq!(known, FieldName::Other, "{other}");
    }
}

#[test]
fn hop_by_hop_fields_of_rfc_9110_are_all_known() {
    for name in [
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "proxy-authenticate",
        "proxy-authorization",
    ] {
        assert!(
            FieldName::classify(name.as_bytes()).is_hop_by_hop(),
            "{name}"
        );
    }
}
