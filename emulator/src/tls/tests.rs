//! Tests of `tls.rs`.

use super::*;

#[test]
fn every_kind_gives_a_configuration_with_both_protocols() {
    let authority = Authority::new().unwrap();
    for kind in [
        CertificateKind::Valid,
        CertificateKind::Expired,
        CertificateKind::WrongName,
    ] {
        let config = authority
            .server_config(&["localhost", "127.0.0.1", "::1"], kind)
            .unwrap();
        assert_eq!(
            config.alpn_protocols,
            [b"h2".to_vec(), b"http/1.1".to_vec()]
        );
    }
}

#[test]
fn pem_is_what_file_reading_servers_expect() {
    let (chain, key) = Authority::new()
        .unwrap()
        .server_pem(&["localhost"])
        .unwrap();
    assert!(chain.starts_with("-----BEGIN CERTIFICATE-----"));
    assert!(key.starts_with("-----BEGIN PRIVATE KEY-----"));
}

#[test]
fn a_name_no_certificate_can_carry_is_an_error() {
    let authority = Authority::new().unwrap();
    let refused = authority.server_config(&["héllo"], CertificateKind::Valid);
    assert!(matches!(refused, Err(TlsError::Certificate(_))));
}
