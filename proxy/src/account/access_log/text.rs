//! The text form: the article's `log_format main`, then `key=value` pairs with
//! what is known beyond it.

use std::time::Duration;

use super::write::{display, escape, kernel, request_line, seconds, text_or_dash, usage};
use crate::account::clock::WallClock;
use crate::account::{RequestRecord, Text};
use crate::http1::encode::number;
use crate::route::UNKNOWN;

/// Appends a line.
pub(super) fn line(
    out: &mut Vec<u8>,
    clock: &mut WallClock,
    upstream: Option<&str>,
    record: &RequestRecord,
    (total, share): (Duration, Option<f64>),
) {
    main(out, clock, record, total);
    pair(out, " request_id=", record.text.get(Text::RequestId));
    let route = record.route.map_or(UNKNOWN, |route| route.get().template);
    pair(out, " route=", route.as_bytes());
    pair(out, " client=", record.client_name().as_bytes());
    if let Some(model) = &record.model {
        pair(out, " model=", model.as_bytes());
    }
    for (key, value) in [
        (" bytes_in=", record.bytes_in),
        (" bytes_out=", record.bytes_out),
        (" attempts=", u64::from(record.attempts)),
    ] {
        out.extend_from_slice(key.as_bytes());
        number(out, value);
    }
    if let Some(upstream) = upstream {
        pair(out, " upstream=", upstream.as_bytes());
    }
    if !record.retries.is_empty() {
        pair(out, " retries=", record.retries.join(",").as_bytes());
    }
    pair(out, " end=", record.end.as_str().as_bytes());
    if let Some(error) = record.error {
        pair(out, " error=", error.as_bytes());
    }
    if let Some(first) = record.first_token() {
        out.extend_from_slice(b" ttft=");
        seconds(out, first);
    }
    if let Some((source, model, figures)) = usage(record) {
        pair(out, " usage=", source.as_bytes());
        if let Some(model) = model {
            pair(out, " usage_model=", model.as_bytes());
        }
        for (key, value) in figures {
            if let Some(value) = value {
                out.extend_from_slice(b" usage_");
                out.extend_from_slice(key.as_bytes());
                out.push(b'=');
                number(out, value);
            }
        }
    }
    if let Some(cost) = record.cost {
        out.extend_from_slice(b" cost_usd=");
        display(out, cost);
    }
    if let Some(share) = share {
        out.extend_from_slice(b" sample=");
        display(out, share);
    }
    if let Some(trace) = &record.trace {
        pair(out, " trace_id=", trace.id().as_bytes());
    }
    for (key, value) in kernel(&record.kernel) {
        if let Some(value) = value {
            out.push(b' ');
            out.extend_from_slice(key.as_bytes());
            out.push(b'=');
            number(out, value);
        }
    }
    out.push(b'\n');
}

/// The article's line, with `-` for what does not apply, as nginx writes it.
fn main(out: &mut Vec<u8>, clock: &mut WallClock, record: &RequestRecord, total: Duration) {
    out.extend_from_slice(record.peer.text());
    out.extend_from_slice(b" - - [");
    out.extend_from_slice(clock.time_local(record.started + total).as_bytes());
    out.extend_from_slice(b"] \"");
    request_line(out, record);
    out.extend_from_slice(b"\" ");
    number(out, u64::from(record.status));
    out.push(b' ');
    number(out, record.bytes_out);
    out.extend_from_slice(b" \"");
    text_or_dash(out, record.text.get(Text::Referer));
    out.extend_from_slice(b"\" \"");
    text_or_dash(out, record.text.get(Text::UserAgent));
    out.extend_from_slice(b"\" rt=");
    seconds(out, total);
    let connect = (record.attempts > 0).then_some(record.connect);
    for (key, value) in [
        (" uct=", connect),
        (" uht=", record.header),
        (" urt=", record.response),
    ] {
        out.extend_from_slice(key.as_bytes());
        match value {
            Some(value) => seconds(out, value),
            None => out.push(b'-'),
        }
    }
}

/// A pair; its value in quotes where it could be read as more than one.
fn pair(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    out.extend_from_slice(key.as_bytes());
    let plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'=');
    if !value.is_empty() && value.iter().all(plain) {
        out.extend_from_slice(value);
    } else {
        out.push(b'"');
        escape(out, value);
        out.push(b'"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_from_outside_is_one_value() {
        let mut out = Vec::new();
        for value in [
            "deepseek-ai/v3.1",
            "two words",
            "a=b",
            "q\"",
            "\n",
            "模",
            "",
        ] {
            pair(&mut out, " v=", value.as_bytes());
        }
        let text = String::from_utf8(out).unwrap();
        let expected =
            r#" v=deepseek-ai/v3.1 v="two words" v="a=b" v="q\"" v="\u000a" v="模" v="""#;
        assert_eq!(text, expected);
    }
}
