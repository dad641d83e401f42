//! What the access log will want to know of a request's head.

use super::MAX_REQUEST_ID;
use crate::account::RequestRecord;
use crate::http1::{FieldName, HeadView};
use crate::worker::Worker;

/// Longest part of a line logged that is no request line.
const MAX_LINE: usize = 256;
/// The same of bytes that are no text, as of TLS on a plain port.
const MAX_BINARY: usize = 16;
/// The shortest word taken for a method where the grammar did not say so.
const MIN_METHOD: usize = 3;

/// Notes texts and wishes of a head that could be read.
pub fn describe(worker: &Worker, head: &HeadView<'_>, record: &mut RequestRecord) {
    let target = head.target();
    let path_end = memchr::memchr(b'?', target).unwrap_or(target.len());
    let given = head.field(FieldName::XRequestId).filter(|id| {
        !id.is_empty() && id.len() <= MAX_REQUEST_ID && id.iter().all(u8::is_ascii_graphic)
    });
    record.wants_timing =
        worker.live().timing_header && head.field(FieldName::XHolysheepTiming).is_some();
    let mut made = [0; 32];
    record.text.fill([
        head.method(),
        target.get(..path_end).unwrap_or_default(),
        given.unwrap_or_else(|| worker.make_request_id(&mut made)),
        head.field(FieldName::Referer).unwrap_or_default(),
        head.field(FieldName::UserAgent).unwrap_or_default(),
    ]);
}

/// Notes what came instead of a head, as the request line without a path.
pub fn describe_unread(worker: &Worker, received: &[u8], record: &mut RequestRecord) {
    let mut made = [0; 32];
    let id = worker.make_request_id(&mut made);
    record.text.fill([first_line(received), b"", id, b"", b""]);
}

/// The part of a line that may be logged. What does not begin like a request
/// line may be the rest of a body, or a field with a key in it.
fn first_line(received: &[u8]) -> &[u8] {
    let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n' | b'?');
    let end = received.iter().position(is_end).unwrap_or(received.len());
    let line = received.get(..end).unwrap_or_default();
    let method = line
        .iter()
        .take_while(|byte| byte.is_ascii_uppercase())
        .count();
    let limit = match line {
        [first, ..] if !matches!(first, b'\t' | b' '..=b'~') => MAX_BINARY,
        _ if method >= MIN_METHOD
            && line
                .get(method..)
                .is_some_and(|rest| rest.starts_with(b" /")) =>
        {
            MAX_LINE
        }
        _ => 0,
    };
    line.get(..limit.min(line.len())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_no_request_is_logged_as_far_as_it_is_safe() {
        let long = format!("GET /{}", "x".repeat(500));
        for (received, logged) in [
            ("GET /health HTTP/1.1\nhost: a\r\n", "GET /health HTTP/1.1"),
            ("GET /hea", "GET /hea"),
            ("POST /v1/models?key=sk-1 HTTP/9", "POST /v1/models"),
            ("\u{16}\u{3}\u{1}\u{2}", "\u{16}\u{3}\u{1}\u{2}"),
            ("\u{1}234567890123456sk-1", "\u{1}234567890123456"),
            ("Authorization: Bearer sk-1\r\n", ""),
            ("{\"key\":\"sk-1\"}", ""),
            ("THE key /is sk-1", ""),
            ("sk-1 /x", ""),
            ("", ""),
            (&long, &long[..256]),
        ] {
            assert_eq!(
                first_line(received.as_bytes()),
                logged.as_bytes(),
                "{received}"
            );
        }
    }
}
