//! Tests of `parse.rs`.

use super::*;

#[test]
fn text_form_round_trips() {
    for text in [
        "refuse",
        "reset-on-accept",
        "stall-handshake;ms=5",
        "expired-certificate",
        "wrong-name-certificate",
        "reset",
        "reset;after=10",
        "stall-before-headers",
        "stall-before-headers;ms=500",
        "stall-after-headers;ms=1",
        "cut;after=100",
        "drip;ms=2",
        "status;code=529;retry-after=3",
        "status;code=429;retry-after=3;retry-after-ms=2500;should-retry=false",
        "status;code=503;should-retry=true",
        "oversized-body;bytes=1024",
        "oversized-headers;bytes=9000",
        "malformed;kind=status-line",
        "malformed;kind=chunk-size",
        "malformed;kind=length-and-chunked",
        "early-response;code=400",
        "close-after;requests=2",
        "close-idle;ms=30",
        "close-idle;ms=10..30",
    ] {
        let fault: Fault = text.parse().unwrap();
        assert_eq!(fault.to_string(), text);
    }
}

#[test]
fn short_status_names_are_statuses() {
    let hints = RetryHints {
        after: Some(2),
        ..RetryHints::default()
    };
    let limited = Fault::Status { status: 429, hints };
    assert_eq!("429; retry-after=2".parse(), Ok(limited));
    for status in [400, 401, 402, 403, 503, 529, 599] {
        let fault = status.to_string().parse();
        assert_eq!(fault, Ok(Fault::status(status)));
    }
    for text in ["399", "600", "0429x", "200"] {
        assert!(text.parse::<Fault>().is_err(), "{text}");
    }
}

#[test]
fn scope_is_read_from_the_same_text() {
    let scope = |text: &str| scoped(text).unwrap().scope;
    assert_eq!(scope("cut;after=1;next=3"), FaultScope::Next(3));
    let hour = FaultScope::Until(Duration::from_secs(3600));
    assert_eq!(scope("refuse;for-ms=3600000"), hour);
    assert_eq!(scope("500"), FaultScope::Always);
    assert_eq!(scoped("500").unwrap().key, None);
    assert_eq!(scoped("429;key=1;next=2").unwrap().key, Some(1));
    assert_eq!(scoped("refuse"), Err(FaultError::RefuseScope));
}

#[test]
fn mistakes_are_named() {
    let error = |text: &str| text.parse::<Fault>().unwrap_err().to_string();
    assert_eq!(error("explode"), "unknown fault `explode`");
    assert_eq!(error(""), "unknown fault ``");
    assert_eq!(error("cut;ms=1"), "fault `cut` takes no `ms`");
    assert_eq!(error("drip;ms=fast"), "`ms=fast`: expected a whole number");
    assert_eq!(error("status"), "fault `status` needs `code`");
    assert_eq!(error("status;code=200"), "`code=200`: expected 400 to 599");
    assert_eq!(error("cut;next=1"), "fault `cut` takes no `next`");
    assert_eq!(error("429;key=0"), "fault `429` takes no `key`");
    assert_eq!(
        error("429;should-retry=maybe"),
        "`should-retry=maybe`: expected true or false"
    );
    for range in ["", "..", "1..", "..2", "2..1", "1..x"] {
        let text = format!("close-idle;ms={range}");
        let expected = format!("`ms={range}`: expected a whole number or A..B with A <= B");
        assert_eq!(error(&text), expected);
    }
    assert!(of_request("refuse").is_err());
}
