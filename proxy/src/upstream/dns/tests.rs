//! Tests of `dns.rs`.

use super::*;

#[tokio::test]
async fn localhost_is_found_without_a_name_server() {
    let url = BaseUrl::parse("http://localhost:1234/v1").unwrap();
    let addresses = resolve_once(&url, &Dns::default()).await.unwrap();
    assert!(addresses.iter().all(|address| address.ip().is_loopback()));
    assert!(addresses.iter().any(|address| address.port() == 1234));
}

#[test]
fn the_same_again_is_no_change() {
    let addresses = Addresses::default();
    let changes = addresses.changed.subscribe();
    let known = |port: u16| {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Resolution::Known([address].into())
    };
    addresses.publish(Resolution::Pending);
    assert!(!changes.has_changed().unwrap());
    addresses.publish(known(1));
    let first = addresses.now();
    addresses.publish(known(1));
    assert!(Arc::ptr_eq(&first, &addresses.now()));
    addresses.publish(known(2));
    assert!(!Arc::ptr_eq(&first, &addresses.now()));
}
