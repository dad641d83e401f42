//! One access-log line a request.
//!
//! The worker formats into a batch it owns and hands whole batches to the log
//! thread; formatting a line costs less than moving its parts to another
//! core would. The fields of the article's `log_format` keep their names and
//! meanings; docs/access-log.md lists them all.

mod text;
mod write;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::clock::WallClock;
use super::{RequestRecord, Text};
use crate::config::LogFormat;
use crate::http1::encode::number;
use crate::kernel::Timeline;
use crate::route::UNKNOWN;
use crate::upstream::Links;
use write::{escape, padded, request_line, seconds, text_or_dash};

/// Hand a batch over at this size at the latest.
pub const BATCH_BYTES: usize = 64 * 1024;

/// A batch of lines being written by one worker.
#[derive(Debug)]
pub struct Batch {
    format: LogFormat,
    links: Arc<Links>,
    clock: WallClock,
    lines: Vec<u8>,
    count: u64,
    /// Length of the batch before: this one will be about as long, and need not grow to it step by step.
    expected: usize,
}

impl Batch {
    /// An empty batch; `links` know the upstreams' names.
    pub fn new(format: LogFormat, links: &Arc<Links>) -> Self {
        Self {
            format,
            links: Arc::clone(links),
            clock: WallClock::default(),
            lines: Vec::new(),
            count: 0,
            expected: 0,
        }
    }

    /// Takes over what upstreams are called now.
    pub fn know(&mut self, links: &Arc<Links>) {
        self.links = Arc::clone(links);
    }

    /// Adds a line, with the share of which it is one if it stands for others, too; true when the batch should be handed
    /// over.
    pub fn add(&mut self, record: &RequestRecord, total: Duration, share: Option<f64>) -> bool {
        if self.lines.is_empty() {
            self.lines.reserve(self.expected);
        }
        match self.format {
            LogFormat::Json => self.json(record, total, share),
            LogFormat::Text => text::line(
                &mut self.lines,
                &mut self.clock,
                upstream(&self.links, record),
                record,
                (total, share),
            ),
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
        self.expected = lines.len();
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

    fn json(&mut self, record: &RequestRecord, total: Duration, share: Option<f64>) {
        let out = &mut self.lines;
        out.extend_from_slice(b"{\"time\":\"");
        time(out, &mut self.clock, record.started);
        out.extend_from_slice(b"\",\"remote_addr\":\"");
        out.extend_from_slice(record.peer.text());
        out.extend_from_slice(b"\",\"remote_user\":\"-\",\"time_local\":\"");
        out.extend_from_slice(self.clock.time_local(record.started + total).as_bytes());
        out.extend_from_slice(b"\",\"request\":\"");
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
            seconds_or_null(out, value);
        }
        out.extend_from_slice(b",\"request_id\":\"");
        escape(out, record.text.get(Text::RequestId));
        out.extend_from_slice(b"\",\"route\":\"");
        let route = record.route.map_or(UNKNOWN, |route| route.get().template);
        out.extend_from_slice(route.as_bytes());
        out.extend_from_slice(b"\",\"client\":\"");
        escape(out, record.client_name().as_bytes());
        out.extend_from_slice(b"\",\"model\":");
        string_or_null(out, record.model.as_deref());
        out.extend_from_slice(b",\"bytes_in\":");
        number(out, record.bytes_in);
        out.extend_from_slice(b",\"bytes_out\":");
        number(out, record.bytes_out);
        out.extend_from_slice(b",\"upstream\":");
        string_or_null(out, upstream(&self.links, record));
        out.extend_from_slice(b",\"attempts\":");
        number(out, u64::from(record.attempts));
        if !record.retries.is_empty() {
            retries(out, record);
        }
        out.extend_from_slice(b",\"end\":\"");
        out.extend_from_slice(record.end.as_str().as_bytes());
        out.extend_from_slice(b"\",\"error\":");
        string_or_null(out, record.error);
        out.extend_from_slice(b",\"ttft\":");
        seconds_or_null(out, record.first_token());
        out.extend_from_slice(b",\"usage\":");
        usage(out, record);
        out.extend_from_slice(b",\"cost_usd\":");
        match record.cost {
            Some(cost) => write::display(out, cost),
            None => out.extend_from_slice(b"null"),
        }
        if let Some(share) = share {
            out.extend_from_slice(b",\"sample\":");
            write::display(out, share);
        }
        out.extend_from_slice(b",\"kernel\":");
        kernel(out, &record.kernel);
        if let Some(trace) = &record.trace {
            out.extend_from_slice(b",\"trace_id\":");
            string_or_null(out, Some(&trace.id()));
        }
        out.extend_from_slice(b"}\n");
    }
}

/// The upstream it was sent to last, if it was sent at all.
fn upstream<'a>(links: &'a Links, record: &RequestRecord) -> Option<&'a str> {
    let name = links.name(record.upstream);
    name.filter(|_| record.attempts > 0)
}

/// Why it was sent again, and where that ended: only in the lines of requests that were.
#[cold]
fn retries(out: &mut Vec<u8>, record: &RequestRecord) {
    out.extend_from_slice(b",\"retries\":[\"");
    out.extend_from_slice(record.retries.join("\",\"").as_bytes());
    out.extend_from_slice(b"\"],\"endpoint\":");
    let endpoint = record.endpoint.map(|endpoint| endpoint.to_string());
    string_or_null(out, endpoint.as_deref());
}

/// An object of what is known; `null` where nothing was looked at.
fn usage(out: &mut Vec<u8>, record: &RequestRecord) {
    let Some((source, model, figures)) = write::usage(record) else {
        return out.extend_from_slice(b"null");
    };
    out.extend_from_slice(b"{\"source\":\"");
    out.extend_from_slice(source.as_bytes());
    out.extend_from_slice(b"\",\"model\":");
    string_or_null(out, model);
    for (key, value) in figures {
        if let Some(value) = value {
            out.extend_from_slice(b",\"");
            out.extend_from_slice(key.as_bytes());
            out.extend_from_slice(b"\":");
            number(out, value);
        }
    }
    out.push(b'}');
}

fn number_or_null(out: &mut Vec<u8>, value: Option<u64>) {
    match value {
        Some(value) => number(out, value),
        None => out.extend_from_slice(b"null"),
    }
}

fn seconds_or_null(out: &mut Vec<u8>, value: Option<Duration>) {
    match value {
        Some(value) => seconds(out, value),
        None => out.extend_from_slice(b"null"),
    }
}

/// What stands before each of [`write::kernel`]'s figures.
const KERNEL_KEYS: [&[u8]; 5] = [
    b"{\"connect_us\":",
    b",\"rtt_us\":",
    b",\"first_byte_us\":",
    b",\"wakeup_lag_us\":",
    b",\"retransmits\":",
];

/// An object; `null` is what is not known.
fn kernel(out: &mut Vec<u8>, seen: &Timeline) {
    let values = write::kernel(seen).map(|(_, value)| value);
    for (key, value) in KERNEL_KEYS.iter().zip(values) {
        out.extend_from_slice(key);
        number_or_null(out, value);
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
