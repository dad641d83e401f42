//! Which answers of upstream's are no answers for the client yet: another attempt may bring a better one.

use std::time::Duration;

use crate::config::Auth;
use crate::http1::{FieldName, HeadView};
use crate::metrics::upstream::Retried;
use crate::upstream::keys::REFUSALS;

/// Why an answer is not passed on at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// As it is counted.
    pub(super) reason: Retried,
    /// Its status.
    pub(super) status: u16,
    /// How long upstream asks to be left alone.
    pub(super) after: Option<Duration>,
    /// It is about the key.
    pub(super) is_about_key: bool,
    /// It says that trying again is of use, or of none.
    pub(super) should: Option<bool>,
}

/// Looks at the head of an answer. All but a few statuses cost a comparison.
#[inline]
pub(super) fn of(head: &HeadView<'_>, auth: Auth) -> Option<Verdict> {
    let status = head.status();
    if status < 400 {
        None
    } else {
        of_error(head, status, auth)
    }
}

#[cold]
fn of_error(head: &HeadView<'_>, status: u16, auth: Auth) -> Option<Verdict> {
    let is_about_key = auth.injects_key() && REFUSALS.contains(&status);
    let reason = match status {
        401..=403 if is_about_key => Retried::KeyRefused,
        429 => Retried::Status429,
        502 => Retried::Status502,
        503 => Retried::Status503,
        504 => Retried::Status504,
        _ => return None,
    };
    Some(Verdict {
        reason,
        status,
        after: after(head),
        is_about_key,
        should: should(head),
    })
}

fn named<'a>(head: &HeadView<'a>, name: &[u8]) -> Option<&'a [u8]> {
    let mut fields = head.fields();
    let found = fields.find(|(_, text, _)| text.eq_ignore_ascii_case(name));
    found.map(|(_, _, value)| value)
}

/// OpenAI's hint for its SDKs.
fn should(head: &HeadView<'_>) -> Option<bool> {
    match named(head, b"x-should-retry")? {
        b"true" => Some(true),
        b"false" => Some(false),
        _ => None,
    }
}

/// `retry-after-ms`, which OpenAI's API sends, or `retry-after` (RFC 9110 section 10.2.3) in seconds. Its other form, a
/// date, is not read: no such API sends it, and clocks differ.
fn after(head: &HeadView<'_>) -> Option<Duration> {
    let number = |value: &[u8]| std::str::from_utf8(value).ok()?.trim().parse::<f64>().ok();
    let millis = named(head, b"retry-after-ms").and_then(number);
    let seconds = || head.field(FieldName::RetryAfter).and_then(number);
    let seconds = millis.map(|millis| millis / 1000.0).or_else(seconds)?;
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::Head;

    fn verdict(response: &str) -> Option<Verdict> {
        let mut head = Head::default();
        head.parse_response(response.as_bytes(), 0).unwrap();
        of(&head.view(response.as_bytes()), Auth::Open)
    }

    #[test]
    fn some_statuses_may_be_tried_again() {
        let reason = |status: u16| {
            let verdict = verdict(&format!("HTTP/1.1 {status} x\r\n\r\n"));
            verdict.map(|verdict| verdict.reason)
        };
        assert_eq!(reason(401), Some(Retried::KeyRefused));
        assert_eq!(reason(402), Some(Retried::KeyRefused));
        assert_eq!(reason(429), Some(Retried::Status429));
        assert_eq!(reason(503), Some(Retried::Status503));
        for status in [200, 302, 400, 404, 408, 500, 501, 529] {
            assert_eq!(reason(status), None, "{status}");
        }
    }

    #[test]
    fn upstream_may_say_for_how_long() {
        let after = |fields: &str| {
            let response = format!("HTTP/1.1 429 x\r\n{fields}\r\n");
            verdict(&response)
                .unwrap()
                .after
                .map(|after| after.as_millis())
        };
        assert_eq!(after("retry-after: 2\r\n"), Some(2000));
        assert_eq!(after("retry-after: 2\r\nRetry-After-Ms: 30\r\n"), Some(30));
        assert_eq!(
            after("retry-after: Wed, 21 Oct 2015 07:28:00 GMT\r\n"),
            None
        );
        assert_eq!(after("retry-after: -1\r\n"), None);
        assert_eq!(after(""), None);
        let told = verdict("HTTP/1.1 503 x\r\nx-should-retry: false\r\n\r\n");
        assert_eq!(told.unwrap().should, Some(false));
    }
}
