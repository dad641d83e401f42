//! Streamed answers: events that carry when they were written, at the pace that the request asks for.
//!
//! `?stream=EVENTS,MICROSECONDS` says how many events there are and how far apart; upstream thinks for one such time before
//! the first. Each event is a chunk, a TLS record and a write of its own. The clock is that of the whole machine, so
//! whoever receives an event can tell how long it was on its way.

use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep_until};

use super::answer;

/// What the last event says.
pub(crate) const DONE: &[u8] = b"data: [DONE]";

/// What stands before the two times of a stamp. They are in the text, which also gateways leave alone that write events anew.
const MARK: &str = "bench[";

/// How many events there are, and the time between two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pacing {
    pub(crate) events: u32,
    pub(crate) gap: Duration,
}

impl Pacing {
    /// What `?stream` alone asks for: a short stream without pauses.
    pub(crate) const AT_ONCE: Self = Self {
        events: 20,
        gap: Duration::ZERO,
    };

    /// The query that asks for it.
    pub(crate) fn query(&self) -> String {
        format!("stream={},{}", self.events, self.gap.as_micros())
    }

    /// What a query asks for; `None` if that is no stream.
    pub(super) fn asked_for(query: &str) -> Option<Self> {
        if query == "stream" {
            return Some(Self::AT_ONCE);
        }
        let (events, gap) = query.strip_prefix("stream=")?.split_once(',')?;
        Some(Self {
            events: events.parse().ok()?,
            gap: Duration::from_micros(gap.parse().ok()?),
        })
    }
}

/// When upstream had read the request, and when it wrote this event; by the clock of [`netlab::now`], in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) asked: u64,
    pub(crate) written: u64,
}

impl Stamp {
    /// Reads it from an event; `None` if it has none.
    pub(crate) fn of(event: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(event).ok()?;
        let (_, rest) = text.split_once(MARK)?;
        let (times, _) = rest.split_once(']')?;
        let (asked, written) = times.split_once(',')?;
        Some(Self {
            asked: asked.parse().ok()?,
            written: written.parse().ok()?,
        })
    }

    /// An event as the API sends it.
    pub(crate) fn event(&self) -> String {
        let Self { asked, written } = self;
        format!(
            concat!(
                r#"data: {{"id":"chatcmpl-CfKzq3pVnT8Yd1mRxW6aLbE2sHu0J","object":"chat.completion.chunk","#,
                r#""created":1764000000,"model":"gpt-4.1","choices":[{{"index":0,"#,
                r#""delta":{{"content":" proxy {mark}{asked},{written}]"}},"finish_reason":null}}]}}"#,
                "\n\n",
            ),
            mark = MARK,
            asked = asked,
            written = written,
        )
    }
}

/// Nanoseconds of the clock that all processes share.
pub(crate) fn now_ns() -> u64 {
    u64::try_from(netlab::now().as_nanos()).unwrap_or(u64::MAX)
}

/// Writes the whole answer to a request that has just been read.
///
/// # Errors
/// When the client is gone.
pub(super) async fn write(stream: &mut (impl AsyncWrite + Unpin), pacing: Pacing) -> Result<()> {
    let (asked, begin) = (now_ns(), Instant::now());
    let mut head = answer::head("text/event-stream; charset=utf-8", "keep-alive");
    head.push_str("cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n");
    for index in 0..pacing.events {
        if !pacing.gap.is_zero() {
            // From the beginning, so that a late event makes none after it late.
            sleep_until(begin + pacing.gap * (index + 1)).await;
        }
        if index == 0 {
            stream.write_all(head.as_bytes()).await?;
            stream.flush().await?;
        }
        let written = now_ns();
        let event = chunk(&Stamp { asked, written }.event());
        stream.write_all(event.as_bytes()).await?;
        stream.flush().await?;
    }
    let end = chunk("data: [DONE]\n\n") + "0\r\n\r\n";
    stream.write_all(end.as_bytes()).await?;
    Ok(stream.flush().await?)
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read_back() {
        let pacing = Pacing {
            events: 50,
            gap: Duration::from_millis(20),
        };
        assert_eq!(Pacing::asked_for(&pacing.query()), Some(pacing));
        assert_eq!(Pacing::asked_for("stream"), Some(Pacing::AT_ONCE));
        for other in ["", "close", "stream=", "stream=5", "stream=5,x", "streams"] {
            assert_eq!(Pacing::asked_for(other), None, "{other}");
        }
    }

    #[test]
    fn events_are_like_those_of_the_api_and_carry_their_stamps() {
        let stamp = Stamp {
            asked: 20_712_345_678_901,
            written: 20_712_365_678_901,
        };
        let event = stamp.event();
        assert!((150..=250).contains(&event.len()), "{}", event.len());
        assert_eq!(Stamp::of(event.as_bytes()), Some(stamp));
        let json = event.strip_prefix("data: ").unwrap();
        let json: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(json["object"], "chat.completion.chunk");
        assert_eq!(Stamp::of(DONE), None);
        assert_eq!(Stamp::of(b"data: bench[1]"), None);
    }

    #[test]
    fn a_stream_ends_with_done_and_the_last_chunk() {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.build().unwrap();
        let mut wire = Vec::new();
        runtime.block_on(write(&mut wire, Pacing::AT_ONCE)).unwrap();
        let text = String::from_utf8(wire).unwrap();
        assert_eq!(text.matches("chat.completion.chunk").count(), 20);
        assert!(text.ends_with("data: [DONE]\n\n\r\n0\r\n\r\n"));
    }
}
