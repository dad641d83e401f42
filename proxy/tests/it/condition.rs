//! Gauges of the proxy's condition: ready, upstream usable, ends of certificates.

use std::sync::Arc;

use holysheep_emulator::Authority;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::harness::metrics::{IDLE, sample};
use crate::harness::{CHAT, QUESTION, Rig, eventually};
use crate::tls_listener::with_tls;

const READY: &str = "holysheep_ready";
const USABLE: &str = "holysheep_upstream_usable{upstream=\"holysheep\"}";
const LISTENER: &str = "holysheep_certificate_expiry_timestamp_seconds{certificate=\"listener\"}";
const UPSTREAM: &str = "holysheep_certificate_expiry_timestamp_seconds{certificate=\"upstream\"}";

/// The end of the first certificate in a PEM file.
fn end_of(pem: &str) -> f64 {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let (_, parsed) = x509_parser::parse_x509_certificate(&der).unwrap();
    parsed.validity().not_after.timestamp() as f64
}

#[test]
fn ready_and_usable_follow_upstream() {
    let rig = Rig::with("upstream: {min_idle: 1}\nprobes: {upstream_limit: 0s}");
    rig.wait_metric(READY, 1.0);
    rig.wait_metric(USABLE, 1.0);
    // One that is still being opened would come back as a connection after the last one has closed.
    rig.wait_metric(IDLE, 1.0);
    rig.emulator.stop_accepting();
    // The last connection closes after its answer; the next dial fails.
    let fields = [("x-emulator-fault", "close-after;requests=1")];
    rig.client()
        .request("POST", CHAT, &fields, QUESTION.as_bytes());
    rig.wait_metric(USABLE, 0.0);
    rig.wait_metric(READY, 0.0);
    assert_eq!(rig.admin("/readyz").status, 503);
    rig.emulator.resume_accepting().unwrap();
    rig.wait_metric(READY, 1.0);
    rig.wait_metric(USABLE, 1.0);
}

#[test]
fn without_an_address_upstream_is_not_usable() {
    let rig = Rig::with("upstream: {base_url: 'https://does-not-exist.invalid/v1'}");
    eventually(|| rig.admin("/readyz").text().contains("cannot be resolved"));
    let text = rig.admin("/metrics").text();
    assert_eq!(
        [USABLE, READY].map(|name| sample(&text, name)),
        [Some(0.0); 2]
    );
    assert!(!text.contains(UPSTREAM), "not known");
    assert!(!text.contains(LISTENER), "there is none");
}

#[test]
fn what_only_the_proxy_lacks_leaves_upstream_usable() {
    let rig = Rig::builder().without_key().start();
    rig.wait_metric(USABLE, 1.0);
    let text = rig.admin("/metrics").text();
    assert_eq!(sample(&text, READY), Some(0.0), "{text}");
}

#[test]
fn the_ends_of_certificates_are_shown_and_follow_a_replacement() {
    let authority = Arc::new(Authority::new().unwrap());
    let rig = with_tls(&authority);
    let old = std::fs::read_to_string(rig.directory.path("tls.crt")).unwrap();
    rig.wait_metric(LISTENER, end_of(&old));
    rig.wait_watching();
    let mut new = authority.server_pem(&["localhost"]).unwrap();
    // They end so long after they were made, in whole seconds.
    eventually(|| {
        new = authority.server_pem(&["localhost"]).unwrap();
        end_of(&new.0) > end_of(&old)
    });
    rig.directory.write("tls.crt", &new.0);
    rig.directory.write("tls.key", &new.1);
    rig.wait_metric(LISTENER, end_of(&new.0));
}

#[test]
fn the_end_of_upstreams_certificate_is_that_of_the_last_full_handshake() {
    let rig = Rig::start();
    eventually(|| rig.metric(UPSTREAM) > 0.0);
    let known = rig.metric(UPSTREAM);
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as f64;
    let days = (known - now) / 86_400.0;
    assert!((1.0..=400.0).contains(&days), "{days}");
    // Sessions resumed meanwhile change nothing.
    let connects = "holysheep_upstream_connects_total{upstream=\"holysheep\",result=\"ok\"}";
    for _ in 0..3 {
        let before = rig.metric(connects);
        let fields = [("x-emulator-fault", "close-after;requests=1")];
        // It may meet the close of the last one's connection.
        let _answered = rig
            .client()
            .request("POST", CHAT, &fields, QUESTION.as_bytes());
        eventually(|| rig.metric(connects) > before);
    }
    rig.wait_metric(UPSTREAM, known);
}
