//! One access-log line a request.
//!
//! The worker formats into a batch it owns and hands whole batches to the log
//! thread; formatting a line costs less than moving its parts to another
//! core would. The fields of the article's `log_format` keep their names.

use std::time::{Duration, Instant};

use super::clock::WallClock;
use super::{RequestRecord, Text};
use crate::config::LogFormat;
use crate::http1::encode::number;
use crate::kernel::Timeline;
use crate::route::UNKNOWN;

/// Hand a batch over at this size at the latest.
pub const BATCH_BYTES: usize = 64 * 1024;

/// A batch of lines being written by one worker.
#[derive(Debug)]
pub struct Batch {
    format: LogFormat,
    upstream: String,
    clock: WallClock,
    lines: Vec<u8>,
    count: u64,
}

impl Batch {
    /// An empty batch; `upstream` is the upstream's name.
    pub fn new(format: LogFormat, upstream: &str) -> Self {
        Self {
            format,
            upstream: upstream.to_owned(),
            clock: WallClock::default(),
            lines: Vec::new(),
            count: 0,
        }
    }

    /// Adds a line; true when the batch should be handed over.
    pub fn add(&mut self, record: &RequestRecord, total: Duration) -> bool {
        match self.format {
            LogFormat::Json => self.json(record, total),
            LogFormat::Text => self.text(record, total),
        }
        self.count += 1;
        self.lines.len() >= BATCH_BYTES
    }

    /// Takes the lines and their number, leaving an empty batch.
    pub fn take(&mut self) -> Option<(Vec<u8>, u64)> {
        if self.lines.is_empty() {
            return None;
        }
        let lines = std::mem::take(&mut self.lines);
        Some((lines, std::mem::take(&mut self.count)))
    }

    /// See [`WallClock::sync`].
    pub fn sync_clock(&mut self) {
        self.clock.sync();
    }

    /// The value of a `Date` field for now.
    pub fn http_date(&mut self) -> &str {
        self.clock.http_date()
    }

    fn json(&mut self, record: &RequestRecord, total: Duration) {
        let out = &mut self.lines;
        out.extend_from_slice(b"{\"time\":\"");
        time(out, &mut self.clock, record.started);
        out.extend_from_slice(b"\",\"remote_addr\":\"");
        out.extend_from_slice(record.peer.text());
        out.extend_from_slice(b"\",\"remote_user\":\"-\",\"request\":\"");
        request_line(out, record);
        out.extend_from_slice(b"\",\"status\":");
        number(out, u64::from(record.status));
        out.extend_from_slice(b",\"body_bytes_sent\":");
        number(out, record.bytes_out);
        out.extend_from_slice(b",\"http_referer\":\"");
        text_or_dash(out, record.text.get(Text::Referer));
        out.extend_from_slice(b"\",\"http_user_agent\":\"");
        text_or_dash(out, record.text.get(Text::UserAgent));
        out.extend_from_slice(b"\",\"rt\":");
        seconds(out, total);
        let sent = (record.attempts > 0).then_some(record.connect);
        for (key, value) in [
            (&b",\"uct\":"[..], sent),
            (b",\"uht\":", record.header),
            (b",\"urt\":", record.response),
        ] {
            out.extend_from_slice(key);
            match value {
                Some(value) => seconds(out, value),
                None => out.extend_from_slice(b"null"),
            }
        }
        out.extend_from_slice(b",\"request_id\":\"");
        escape(out, record.text.get(Text::RequestId));
        out.extend_from_slice(b"\",\"route\":\"");
        let route = record.route.map_or(UNKNOWN, |route| route.get().template);
        out.extend_from_slice(route.as_bytes());
        out.extend_from_slice(b"\",\"model\":");
        string_or_null(out, record.model.as_deref());
        out.extend_from_slice(b",\"bytes_in\":");
        number(out, record.bytes_in);
        out.extend_from_slice(b",\"bytes_out\":");
        number(out, record.bytes_out);
        out.extend_from_slice(b",\"upstream\":");
        let upstream = (record.attempts > 0).then_some(self.upstream.as_str());
        string_or_null(out, upstream);
        out.extend_from_slice(b",\"attempts\":");
        number(out, u64::from(record.attempts));
        out.extend_from_slice(b",\"end\":\"");
        out.extend_from_slice(record.end.as_str().as_bytes());
        out.extend_from_slice(b"\",\"error\":");
        string_or_null(out, record.error);
        out.extend_from_slice(b",\"kernel\":");
        kernel(out, &record.kernel);
        out.extend_from_slice(b"}\n");
    }

    fn text(&mut self, record: &RequestRecord, total: Duration) {
        let out = &mut self.lines;
        time(out, &mut self.clock, record.started);
        out.push(b' ');
        out.extend_from_slice(record.peer.text());
        out.extend_from_slice(b" \"");
        request_line(out, record);
        out.extend_from_slice(b"\" ");
        number(out, u64::from(record.status));
        out.extend_from_slice(b" out=");
        number(out, record.bytes_out);
        out.extend_from_slice(b" rt=");
        seconds(out, total);
        if let Some(header) = record.header {
            out.extend_from_slice(b" uct=");
            seconds(out, record.connect);
            out.extend_from_slice(b" uht=");
            seconds(out, header);
        }
        if let Some(model) = &record.model {
            out.extend_from_slice(b" model=");
            escape(out, model.as_bytes());
        }
        out.extend_from_slice(b" id=");
        escape(out, record.text.get(Text::RequestId));
        if let Some(error) = record.error {
            out.extend_from_slice(b" error=");
            out.extend_from_slice(error.as_bytes());
        }
        out.push(b'\n');
    }
}

/// What the kernel saw, in microseconds; `null` where it is not known.
fn kernel(out: &mut Vec<u8>, seen: &Timeline) {
    let micros =
        |time: Option<Duration>| time.and_then(|time| u64::try_from(time.as_micros()).ok());
    let values = [
        (&b"{\"connect_us\":"[..], micros(seen.connect)),
        (b",\"rtt_us\":", micros(seen.rtt)),
        (b",\"first_byte_us\":", micros(seen.first_byte)),
        (b",\"wakeup_lag_us\":", micros(seen.wakeup_lag)),
        (b",\"retransmits\":", seen.retransmits.map(u64::from)),
    ];
    for (key, value) in values {
        out.extend_from_slice(key);
        match value {
            Some(value) => number(out, value),
            None => out.extend_from_slice(b"null"),
        }
    }
    out.push(b'}');
}

fn time(out: &mut Vec<u8>, clock: &mut WallClock, at: Instant) {
    let (text, millis) = clock.iso8601(at);
    out.extend_from_slice(text.as_bytes());
    out.push(b'.');
    padded(out, u64::from(millis), 3);
    out.push(b'Z');
}

fn request_line(out: &mut Vec<u8>, record: &RequestRecord) {
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

fn text_or_dash(out: &mut Vec<u8>, text: &[u8]) {
    escape(out, if text.is_empty() { b"-" } else { text });
}

fn string_or_null(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => {
            out.push(b'"');
            escape(out, text.as_bytes());
            out.push(b'"');
        }
        None => out.extend_from_slice(b"null"),
    }
}

/// Seconds with microseconds, as `0.012345`.
fn seconds(out: &mut Vec<u8>, duration: Duration) {
    number(out, duration.as_secs());
    out.push(b'.');
    padded(out, u64::from(duration.subsec_micros()), 6);
}

fn padded(out: &mut Vec<u8>, value: u64, width: usize) {
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
fn escape(out: &mut Vec<u8>, text: &[u8]) {
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
