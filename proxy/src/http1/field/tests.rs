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
