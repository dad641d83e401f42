//! Tests of `dns.rs`.

use super::*;

#[test]
fn families_alternate() {
    let found = ["::1", "::2", "127.0.0.1"].map(|ip| ip.parse().unwrap());
    let order: Vec<_> = interleave(found.into_iter(), 443)
        .iter()
        .map(|address| address.ip().to_string())
        .collect();
    assert_eq!(order, ["127.0.0.1", "::1", "::2"]);
}

#[tokio::test]
async fn localhost_is_found_without_a_name_server() {
    let url = BaseUrl::parse("http://localhost:1234/v1").unwrap();
    let addresses = resolve_once(&url).await.unwrap();
    assert!(addresses.iter().all(|address| address.ip().is_loopback()));
    assert!(addresses.iter().any(|address| address.port() == 1234));
}
