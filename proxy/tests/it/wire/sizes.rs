//! Limits of the request head, at the byte.

use super::lab::{FILES, Lab, SERVED, Sent, refused};

/// A request for `target` whose head has exactly so many bytes.
fn head_of(target: &str, bytes: usize) -> Vec<u8> {
    let start = format!("GET {target} HTTP/1.1\r\nhost: x\r\nx-long: ");
    let filler = "y".repeat(bytes - start.len() - 4);
    format!("{start}{filler}\r\n\r\n").into_bytes()
}

#[test]
fn a_head_may_have_32_kib() {
    let lab = Lab::start();
    lab.check(&head_of("/health", 32 * 1024), Sent::Whole, SERVED);
    for over in [1, 2, 100, 40_000] {
        let case = head_of("/health", 32 * 1024 + over);
        lab.check(&case, Sent::Whole, refused(431, "headers_too_large"));
    }
    lab.check(&head_of(FILES, 32 * 1024), Sent::Whole, SERVED);
    assert_eq!(lab.seen().len(), 1);
    let case = head_of(FILES, 32 * 1024 + 1);
    lab.check(&case, Sent::Whole, refused(431, "headers_too_large"));
    assert!(lab.seen().is_empty());
}

#[test]
fn a_limit_above_the_first_read_holds_to_the_byte() {
    let lab = Lab::with("limits: {headers: 6000B}");
    for sent in [Sent::Whole, Sent::Dripped] {
        lab.check(&head_of("/health", 6000), sent, SERVED);
        lab.check(
            &head_of("/health", 6001),
            sent,
            refused(431, "headers_too_large"),
        );
    }
}

#[test]
fn a_limit_below_the_first_read_holds_to_the_byte() {
    let lab = Lab::with("limits: {headers: 2000B}");
    for sent in [Sent::Whole, Sent::Dripped] {
        lab.check(&head_of("/health", 2000), sent, SERVED);
        lab.check(
            &head_of("/health", 2001),
            sent,
            refused(431, "headers_too_large"),
        );
    }
}

/// The read buffer has grown with the body before; the limit has not.
#[test]
fn the_limit_holds_after_a_large_body() {
    let lab = Lab::start();
    let mut client = lab.client();
    let body = vec![b' '; 1 << 20];
    assert_eq!(client.request("POST", FILES, &[], &body).status, 200);
    client.send(head_of("/health", 40_000));
    let reply = client.reply();
    assert_eq!(
        (reply.status, reply.error()),
        (431, Some("headers_too_large"))
    );
    client.expect_close();
}

#[test]
fn a_head_may_have_100_fields() {
    let lab = Lab::start();
    let fields = |target: &str, count: usize| {
        let more = (1..count).map(|number| format!("x-{number}: y\r\n"));
        let more: String = more.collect();
        format!("GET {target} HTTP/1.1\r\nhost: x\r\n{more}\r\n").into_bytes()
    };
    lab.check(&fields("/health", 100), Sent::Whole, SERVED);
    // The emulator allows 100 too, and the proxy adds some.
    lab.check(&fields(FILES, 90), Sent::Whole, SERVED);
    assert_eq!(lab.seen().len(), 1);
    for count in [101, 200, 2_000] {
        let case = fields(FILES, count);
        lab.check(&case, Sent::Whole, refused(431, "headers_too_large"));
    }
    assert!(lab.seen().is_empty());
}

#[test]
fn a_long_target_passes_whole() {
    let lab = Lab::start();
    let query = "q".repeat(30_000);
    let target = format!("{FILES}?{query}");
    let case = format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n");
    lab.check(case.as_bytes(), Sent::Whole, SERVED);
    assert_eq!(lab.seen(), [(format!("GET {target}"), Vec::new())]);
    let line = format!("GET /{} HTTP/1.1\r\n", "q".repeat(70_000));
    lab.check(
        line.as_bytes(),
        Sent::Whole,
        refused(431, "headers_too_large"),
    );
    let method = "M".repeat(70_000);
    lab.check(
        method.as_bytes(),
        Sent::Whole,
        refused(431, "headers_too_large"),
    );
}

#[test]
fn every_limit_leaves_the_proxy_quiet() {
    let lab = Lab::with("limits: {headers: 6000B}");
    for _ in 0..20 {
        let case = head_of("/health", 9000);
        lab.check(&case, Sent::Whole, refused(431, "headers_too_large"));
    }
    lab.assert_quiet();
}
