//! Parts of a log line that both of its forms have.

use std::io::Write;
use std::time::Duration;

use crate::account::{RequestRecord, Text};
use crate::http1::encode::number;
use crate::kernel::Timeline;

/// What the kernel saw, in microseconds, and how often it sent again.
pub(super) fn kernel(seen: &Timeline) -> [(&'static str, Option<u64>); 5] {
    let micros =
        |time: Option<Duration>| time.and_then(|time| u64::try_from(time.as_micros()).ok());
    [
        ("connect_us", micros(seen.connect)),
        ("rtt_us", micros(seen.rtt)),
        ("first_byte_us", micros(seen.first_byte)),
        ("wakeup_lag_us", micros(seen.wakeup_lag)),
        ("retransmits", seen.retransmits.map(u64::from)),
    ]
}

/// How it is known what a request used, the model that answered, and tokens: those of the prompt with what has to do with
/// the cache, those of the answer, and what they hold of others.
pub(super) type Usage<'a> = (
    &'static str,
    Option<&'a str>,
    [(&'static str, Option<u64>); 6],
);

/// What a request used, if its response was looked at.
pub(super) fn usage(record: &RequestRecord) -> Option<Usage<'_>> {
    let observed = record.observed.as_ref()?;
    let found = observed.found();
    let usage = found.usage();
    let figures = [
        ("input", usage.input_in_all()),
        ("output", observed.output(record.end)),
        ("cached", usage.cached),
        ("cache_written", usage.cache_written),
        ("cache_written_1h", usage.cache_written_1h),
        ("reasoning", usage.reasoning),
    ];
    let source = observed.source(record.end).as_str();
    Some((source, found.model.as_deref(), figures))
}

/// Method, path and version; where there was no request, what came instead.
pub(super) fn request_line(out: &mut Vec<u8>, record: &RequestRecord) {
    let (method, path) = (record.text.get(Text::Method), record.text.get(Text::Path));
    if path.is_empty() {
        // What came was no request; the whole of it stands for the method.
        return text_or_dash(out, method);
    }
    escape(out, method);
    out.push(b' ');
    escape(out, path);
    out.push(b' ');
    out.extend_from_slice(record.version.as_str().as_bytes());
}

/// Text from the outside, or `-` for none.
pub(super) fn text_or_dash(out: &mut Vec<u8>, text: &[u8]) {
    escape(out, if text.is_empty() { b"-" } else { text });
}

/// Seconds with microseconds, as `0.012345`.
pub(super) fn seconds(out: &mut Vec<u8>, duration: Duration) {
    number(out, duration.as_secs());
    out.push(b'.');
    padded(out, u64::from(duration.subsec_micros()), 6);
}

/// Anything, as it shows itself.
pub(super) fn display(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    // Writing into memory cannot fail.
    let _ = write!(out, "{value}");
}

/// A number with leading zeros.
pub(super) fn padded(out: &mut Vec<u8>, value: u64, width: usize) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value).as_bytes();
    out.extend(std::iter::repeat_n(
        b'0',
        width.saturating_sub(digits.len()),
    ));
    out.extend_from_slice(digits);
}

/// Appends bytes from the outside as the inside of a JSON string: one line and
/// valid UTF-8 whatever a client sends. A byte that is no text is written as
/// the character of its number.
pub(super) fn escape(out: &mut Vec<u8>, text: &[u8]) {
    let plain = |byte: u8| matches!(byte, 0x20..=0x7e) & (byte != b'"') & (byte != b'\\');
    // Without an early exit the compiler looks at sixteen bytes at a time.
    if text.iter().fold(true, |all, byte| all & plain(*byte)) {
        out.extend_from_slice(text);
        return;
    }
    for piece in text.utf8_chunks() {
        for character in piece.valid().chars() {
            match character {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\"),
                '\0'..=' ' | '\x7f' if character != ' ' => escape_byte(out, character as u8),
                other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        for byte in piece.invalid() {
            escape_byte(out, *byte);
        }
    }
}

fn escape_byte(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(b"\\u00");
    for nibble in [byte >> 4, byte & 15] {
        out.push(HEX.get(usize::from(nibble)).copied().unwrap_or(b'0'));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_from_outside_stay_inside_their_string() {
        let mut out = b"\"".to_vec();
        escape(&mut out, b"a\"b\\c\r\n\x00\xff \xc3\xa9");
        out.push(b'"');
        let text: String = serde_json::from_slice(&out).unwrap();
        assert_eq!(text, "a\"b\\c\r\n\0\u{ff} \u{e9}");
    }

    #[test]
    fn seconds_keep_microseconds() {
        let mut out = Vec::new();
        seconds(&mut out, Duration::from_micros(61_000_042));
        assert_eq!(out, b"61.000042");
    }
}
