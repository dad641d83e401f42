//! What a request used, how that is known, and how fast its answer came.

use std::time::{Duration, Instant};

use crate::account::{End, RequestRecord};
use crate::metrics::gen_ai;
use crate::stream::response::{Found, ResponseScanner, Verdict};

/// How it is known what a request used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Upstream has said it.
    Reported,
    /// Upstream did not come to say it, or was not asked: an event of output is taken for a token.
    Estimated,
    /// Nothing has been seen.
    Unknown,
}

impl Source {
    /// In the order of their counters.
    pub const ALL: [Self; 3] = [Self::Reported, Self::Estimated, Self::Unknown];

    /// As it stands in the access log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reported => "reported",
            Self::Estimated => "estimated",
            Self::Unknown => "unknown",
        }
    }
}

/// How it is known what a request used, and its tokens of the prompt and of the answer.
pub type Used = (Source, [Option<u64>; 2]);

/// A response that is looked at as it passes.
#[derive(Debug)]
pub struct Observation {
    scanner: ResponseScanner,
    is_stream: bool,
    first_output: Option<Instant>,
    /// The response has been read to its end, whether the client has it or not.
    pub is_whole: bool,
}

impl Observation {
    /// Of a stream of events, or of one document.
    pub fn new(is_stream: bool) -> Self {
        Self {
            scanner: ResponseScanner::new(is_stream),
            is_stream,
            first_output: None,
            is_whole: false,
        }
    }

    /// Of what the server of a WebSocket sends.
    pub fn of_session() -> Self {
        Self {
            scanner: ResponseScanner::of_session(),
            ..Self::new(false)
        }
    }

    /// Of a stream that was an error instead.
    pub fn failed() -> Self {
        let mut failed = Self::new(true);
        failed.scanner.fail();
        failed
    }

    /// Looks at the next bytes of the body.
    #[inline]
    pub fn feed(&mut self, data: &[u8]) {
        self.scanner.feed(data);
        if self.is_stream && self.first_output.is_none() && self.scanner.found().outputs > 0 {
            self.first_output = Some(Instant::now());
        }
    }

    /// Whether it comes in events.
    pub const fn is_stream(&self) -> bool {
        self.is_stream
    }

    /// See [`ResponseScanner::verdict`].
    pub fn verdict(&mut self) -> Verdict {
        self.scanner.verdict()
    }

    /// See [`ResponseScanner::is_between`].
    pub fn is_between(&self) -> bool {
        self.scanner.is_between()
    }

    /// What has been found.
    pub const fn found(&self) -> &Found {
        self.scanner.found()
    }

    /// How it is known what the request used that ended in this way.
    pub fn source(&self, end: End) -> Source {
        let found = self.found();
        // What a stream says at its beginning is of the prompt.
        let is_last_word = end == End::Complete || self.is_whole || found.is_usage_final;
        match (found.usage().is_known(), found.outputs) {
            (true, _) if is_last_word => Source::Reported,
            (false, 0) => Source::Unknown,
            _ => Source::Estimated,
        }
    }

    /// Tokens of the answer.
    pub fn output(&self, end: End) -> Option<u64> {
        let found = self.found();
        match self.source(end) {
            Source::Reported => found.usage().output,
            Source::Estimated => Some(found.outputs.max(found.usage().output.unwrap_or(0))),
            Source::Unknown => None,
        }
    }
}

impl RequestRecord {
    /// What the request used; `None` where upstream has not had it, or has refused it.
    pub fn used(&self) -> Option<Used> {
        let Some(observed) = &self.observed else {
            let is_answered = self.header.is_some();
            let may_be_billed = self.sent_upstream.is_some() && !is_answered;
            return may_be_billed.then_some((Source::Unknown, [None; 2]));
        };
        let tokens = [
            observed.found().usage().input_in_all(),
            observed.output(self.end),
        ];
        Some((observed.source(self.end), tokens))
    }

    /// From sending the request to the first output of its stream.
    pub fn first_token(&self) -> Option<Duration> {
        let first = self.observed.as_ref()?.first_output?;
        Some(first.duration_since(self.sent_upstream?))
    }

    /// What is counted of a request to a model. Estimates are not: OpenTelemetry asks for what was billed.
    pub(super) fn counted(&self, now: Instant) -> gen_ai::Request {
        let mut counted = gen_ai::Request {
            duration: now.duration_since(self.started),
            ..gen_ai::Request::default()
        };
        let Some(observed) = &self.observed else {
            return counted;
        };
        if observed.source(self.end) == Source::Reported {
            counted.input = observed.found().usage().input_in_all();
            counted.output = observed.found().usage().output;
        }
        counted.first_token = self.first_token();
        if observed.is_stream && self.end == End::Complete {
            counted.streamed = observed.first_output.map(|first| now.duration_since(first));
        }
        counted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(stream: &str) -> Observation {
        let mut observation = Observation::new(true);
        observation.feed(stream.as_bytes());
        observation
    }

    #[test]
    fn what_is_said_at_the_beginning_of_a_stream_is_no_last_word() {
        let start = "data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":9,\"output_tokens\":1}}}\n\n";
        let text =
            "data: {\"type\":\"content_block_delta\",\"delta\":{\"text\":\"a\"}}\n\n".repeat(3);
        let end =
            "data: {\"type\":\"message_delta\",\"delta\":{},\"usage\":{\"output_tokens\":7}}\n\n";
        let cut = observed(&format!("{start}{text}"));
        assert_eq!(cut.source(End::Cancelled), Source::Estimated);
        assert_eq!(cut.output(End::Cancelled), Some(3));
        let whole = observed(&format!("{start}{text}{end}"));
        for ended in [End::Complete, End::Cancelled] {
            assert_eq!(whole.source(ended), Source::Reported);
            assert_eq!(whole.output(ended), Some(7));
        }
    }

    #[test]
    fn a_stream_without_usage_is_estimated_and_one_without_output_unknown() {
        let event = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
        let stream = observed(&event.repeat(5));
        assert_eq!(stream.source(End::Complete), Source::Estimated);
        assert_eq!(stream.output(End::Complete), Some(5));
        let nothing = observed("");
        assert_eq!(nothing.source(End::Cancelled), Source::Unknown);
        assert_eq!(nothing.output(End::Cancelled), None);
    }
}
