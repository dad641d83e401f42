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
        "oversized-body;bytes=1024",
        "oversized-headers;bytes=9000",
        "malformed;kind=status-line",
        "malformed;kind=chunk-size",
        "malformed;kind=length-and-chunked",
        "early-response;code=400",
        "close-after;requests=2",
        "close-idle;ms=30",
    ] {
        let fault: Fault = text.parse().unwrap();
        assert_eq!(fault.to_string(), text);
    }
}

#[test]
fn short_status_names_are_statuses() {
    let limited = Fault::Status {
        status: 429,
        retry_after: Some(2),
    };
    assert_eq!("429; retry-after=2".parse(), Ok(limited));
    assert!("503".parse::<Fault>().is_ok());
}

#[test]
fn scope_is_read_from_the_same_text() {
    assert_eq!(scoped("cut;after=1;next=3").unwrap().1, FaultScope::Next(3));
    let hour = FaultScope::Until(Duration::from_secs(3600));
    assert_eq!(scoped("refuse;for-ms=3600000").unwrap().1, hour);
    assert_eq!(scoped("500").unwrap().1, FaultScope::Always);
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
    assert!(of_request("refuse").is_err());
}
