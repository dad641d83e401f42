//! Tests of `signature.rs`.

use super::*;
use crate::http1::Head;
use crate::webhook::secrets::Secrets;

/// The example that Standard Webhooks' own libraries are tested with.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const TIME: &str = "1614265330";
const BODY: &[u8] = br#"{"test": 2432232314}"#;
const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

/// The example of Stripe's form, made with `openssl dgst -sha256 -hmac`.
const STRIPE_BODY: &[u8] = br#"{"id":"evt_1"}"#;
const STRIPE_HEX: &str = "05bbab69e0815e91e52a578ff4fa43af592dcff10fe4e954e3f015aeb09130c7";

fn signed(scheme: WebhookScheme, fields: &[(&str, &str)]) -> Result<Signed, &'static str> {
    let fields: String = (fields.iter())
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let bytes = format!("POST / HTTP/1.1\r\n{fields}\r\n");
    let mut head = Head::default();
    head.parse_request(bytes.as_bytes(), 0).unwrap().unwrap();
    Signed::read(&head.view(bytes.as_bytes()), scheme, "x-signature")
}

fn standard(id: &str, time: &str, signature: &str) -> Result<Signed, &'static str> {
    let fields = [
        ("webhook-id", id),
        ("Webhook-Timestamp", time),
        ("webhook-signature", signature),
    ];
    signed(WebhookScheme::Standard, &fields)
}

fn secrets(text: &str) -> Secrets {
    Secrets::parse(text.as_bytes()).unwrap()
}

#[test]
fn the_published_example_is_genuine() {
    let ours = standard(ID, TIME, SIGNATURE).unwrap();
    assert_eq!(ours.timestamp, 1_614_265_330);
    assert!(ours.is_genuine(&secrets(SECRET), BODY));
}

#[test]
fn whatever_is_changed_makes_it_another() {
    let secrets = secrets(SECRET);
    let genuine = |id, time, signature: &str, body: &[u8]| {
        standard(id, time, signature).is_ok_and(|signed| signed.is_genuine(&secrets, body))
    };
    assert!(genuine(ID, TIME, SIGNATURE, BODY));
    assert!(!genuine(
        "msg_q5jXN8AQM9LWM0D4loKWxJek",
        TIME,
        SIGNATURE,
        BODY
    ));
    assert!(!genuine(ID, "1614265331", SIGNATURE, BODY));
    assert!(!genuine(ID, TIME, SIGNATURE, b"{\"test\": 2432232315}"));
    assert!(!genuine(ID, TIME, SIGNATURE, b""));
    let without_version = &SIGNATURE[3..];
    for signature in [
        "",
        "v1,",
        "v1,AAAA",
        without_version,
        "v1a,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OF=",
        "v1,h0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    ] {
        assert!(!genuine(ID, TIME, signature, BODY), "{signature}");
    }
}

#[test]
fn one_of_several_signatures_and_secrets_is_enough() {
    let other = "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=";
    let ours = standard(ID, TIME, &format!("v2,x {other} {SIGNATURE}")).unwrap();
    assert!(ours.is_genuine(&secrets(&format!("another-secret\n\n{SECRET}\n")), BODY));
    assert!(!ours.is_genuine(&secrets("another-secret"), BODY));
    let many = format!("{}{SIGNATURE}", format!("{other} ").repeat(MOST));
    let many = standard(ID, TIME, &many).unwrap();
    assert!(!many.is_genuine(&secrets(SECRET), BODY), "one too many");
}

#[test]
fn nothing_but_the_genuine_gets_through_whatever_comes() {
    let secrets = secrets(SECRET);
    let genuine = format!(
        "POST / HTTP/1.1\r\nwebhook-id: {ID}\r\nwebhook-timestamp: {TIME}\r\nwebhook-signature: {SIGNATURE}\r\n\r\n"
    );
    let mut random = fastrand::Rng::with_seed(9);
    let (mut read, mut head) = (0, Head::default());
    for _ in 0..20_000 {
        let mut bytes = genuine.clone().into_bytes();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(17..bytes.len() - 4);
            bytes[at] = random.u8(b' '..=b'~');
        }
        if !matches!(head.parse_request(&bytes, 0), Ok(Some(_))) {
            continue;
        }
        let view = head.view(&bytes);
        let _ = Signed::read(&view, WebhookScheme::Timestamped, "webhook-signature");
        let Ok(signed) = Signed::read(&view, WebhookScheme::Standard, "") else {
            continue;
        };
        read += 1;
        let is_same = signed.prefix == format!("{ID}.{TIME}.").as_bytes();
        let has_signature = (view.fields()).any(|(_, _, value)| {
            let mut items = value.split(|byte| *byte == b' ');
            items.any(|item| item == SIGNATURE.as_bytes())
        });
        let expected = is_same && has_signature;
        assert_eq!(signed.is_genuine(&secrets, BODY), expected, "{view:?}");
    }
    assert!(read > 1_000, "{read}");
}

#[test]
fn stripes_form_is_read() {
    // printf '%s' '1492774577.{"id":"evt_1"}' | openssl dgst -sha256 -hmac whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw
    let hex = STRIPE_HEX;
    let secrets = secrets(SECRET);
    let genuine = |value: &str, body: &[u8]| {
        signed(WebhookScheme::Timestamped, &[("x-signature", value)])
            .is_ok_and(|signed| signed.is_genuine(&secrets, body))
    };
    assert!(genuine(&format!("t=1492774577,v1={hex}"), STRIPE_BODY));
    assert!(genuine(
        &format!("t=1492774577, v0=ab,v1={},v1={hex}", "00".repeat(32)),
        STRIPE_BODY
    ));
    assert!(!genuine(&format!("t=1492774578,v1={hex}"), STRIPE_BODY));
    assert!(!genuine(&format!("t=1492774577,v1={hex}"), b"{}"));
    assert!(!genuine(
        &format!("t=1492774577,t=1492774577,v1={hex}"),
        STRIPE_BODY
    ));
    assert!(!genuine(
        &format!("t=1492774577,v1={}", &hex[2..]),
        STRIPE_BODY
    ));
    assert!(!genuine(&format!("v1={hex}"), STRIPE_BODY));
}

#[test]
fn fields_that_leave_a_doubt_are_refused() {
    assert!(standard("", TIME, SIGNATURE).is_err());
    assert!(standard(&"x".repeat(257), TIME, SIGNATURE).is_err());
    assert!(standard("msg.1614265330", "1", SIGNATURE).is_err());
    for time in ["", "-1", "+1", "1.5", "0x10", "1614265330000000", "abc"] {
        assert!(standard(ID, time, SIGNATURE).is_err(), "{time}");
    }
    let missing = [("webhook-id", ID), ("webhook-timestamp", TIME)];
    assert!(signed(WebhookScheme::Standard, &missing).is_err());
    let twice = [
        ("webhook-id", ID),
        ("webhook-id", ID),
        ("webhook-timestamp", TIME),
        ("webhook-signature", SIGNATURE),
    ];
    assert!(signed(WebhookScheme::Standard, &twice).is_err());
}

#[test]
fn a_delivery_is_known_by_its_id_or_else_by_what_was_signed() {
    let (a, b) = (
        standard(ID, TIME, SIGNATURE).unwrap(),
        standard(ID, "1614265999", "v1,x").unwrap(),
    );
    assert_eq!(a.identity(BODY), b.identity(b"{}"));
    let other = standard("msg_2", TIME, SIGNATURE).unwrap();
    assert_ne!(a.identity(BODY), other.identity(BODY));
    let stripe = |value| signed(WebhookScheme::Timestamped, &[("x-signature", value)]).unwrap();
    assert_eq!(
        stripe("t=1,v1=00").identity(BODY),
        stripe("t=1").identity(BODY)
    );
    assert_ne!(stripe("t=1").identity(BODY), stripe("t=2").identity(BODY));
    assert_ne!(stripe("t=1").identity(BODY), stripe("t=1").identity(b""));
}
