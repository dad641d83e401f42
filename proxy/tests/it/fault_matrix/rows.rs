//! What is expected of each fault.

use super::Case;

/// A row is about an answer in one piece.
pub(super) const PLAIN: &str = "plain";
/// A row is about a stream.
pub(super) const STREAMED: &str = "streamed";
/// Both come to the same.
pub(super) const EITHER: &str = "either";

/// A row of the table.
pub(super) struct Expected<'a> {
    /// As the emulator writes it; with ` once` behind it for the first attempt only.
    pub(super) fault: &'static str,
    /// How many there are; the first is at fault.
    pub(super) upstreams: usize,
    /// [`PLAIN`], [`STREAMED`] or [`EITHER`].
    pub(super) request: &'a str,
    /// What the client gets.
    pub(super) client: &'a str,
    /// Requests that reach each upstream.
    pub(super) reached: &'a str,
    /// Metrics that move.
    pub(super) metrics: &'a str,
}

impl Expected<'_> {
    pub(super) fn case(&self) -> Case {
        let (fault, upstreams) = (self.fault, self.upstreams);
        Case { fault, upstreams }
    }

    pub(super) fn is_met_by(&self, found: &Expected<'_>) -> bool {
        (self.client, self.reached, self.metrics) == (found.client, found.reached, found.metrics)
    }
}

impl std::fmt::Debug for Expected<'_> {
    /// As it stands below.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let request = self.request.to_uppercase();
        write!(
            f,
            "row({:?}, {}, {request}, {:?}, {:?}, {:?})",
            self.fault, self.upstreams, self.client, self.reached, self.metrics
        )
    }
}

const fn row(
    fault: &'static str,
    upstreams: usize,
    request: &'static str,
    client: &'static str,
    reached: &'static str,
    metrics: &'static str,
) -> Expected<'static> {
    Expected {
        fault,
        upstreams,
        request,
        client,
        reached,
        metrics,
    }
}

#[rustfmt::skip]
pub(super) const ROWS: &[Expected<'static>] = &[
    row("refuse", 1, EITHER, "502 `upstream_connect_failed`, 3 attempts", "0", "rejected `upstream_connect_failed`, retries `no_connection` × 2"),
    row("refuse", 2, EITHER, "200, 2 attempts", "0 / 1 (1 billed)", "retries `no_connection`"),
    row("reset-on-accept", 1, EITHER, "502 `upstream_connect_failed`, 3 attempts", "0", "rejected `upstream_connect_failed`, retries `no_connection` × 2"),
    row("reset-on-accept", 2, EITHER, "200, 2 attempts", "0 / 1 (1 billed)", "retries `no_connection`"),
    row("reset-on-accept once", 1, EITHER, "200, 2 attempts", "1 (1 billed)", "retries `no_connection`"),
    row("reset-on-accept once", 2, EITHER, "200, 2 attempts", "0 / 1 (1 billed)", "retries `no_connection`"),
    row("stall-handshake", 1, EITHER, "504 `upstream_connect_timeout`", "0", "rejected `upstream_connect_timeout`"),
    row("stall-handshake", 2, EITHER, "200, 2 attempts", "0 / 1 (1 billed)", "retries `no_connection`"),
    row("expired-certificate", 1, EITHER, "502 `upstream_certificate_expired`", "0", "rejected `upstream_certificate_expired`"),
    row("expired-certificate", 2, EITHER, "200, 2 attempts", "0 / 1 (1 billed)", "retries `no_connection`"),
    row("wrong-name-certificate", 1, EITHER, "502 `upstream_certificate_invalid`", "0", "rejected `upstream_certificate_invalid`"),
    row("wrong-name-certificate", 2, EITHER, "200, 2 attempts", "0 / 1 (1 billed)", "retries `no_connection`"),
    row("reset", 1, EITHER, "502 `upstream_closed`", "1 (1 billed)", "rejected `upstream_closed`"),
    row("reset", 2, EITHER, "502 `upstream_closed`", "1 (1 billed) / 0", "rejected `upstream_closed`"),
    row("reset;after=100", 1, PLAIN, "200, broken off", "1 (1 billed)", "rejected `upstream_closed`"),
    row("reset;after=100", 1, STREAMED, "200, then `upstream_closed` as an event", "1 (1 billed)", "rejected `upstream_closed`"),
    row("reset;after=100", 2, PLAIN, "200, broken off", "1 (1 billed) / 0", "rejected `upstream_closed`"),
    row("reset;after=100", 2, STREAMED, "200, then `upstream_closed` as an event", "1 (1 billed) / 0", "rejected `upstream_closed`"),
    row("stall-before-headers", 1, EITHER, "504 `upstream_first_byte_timeout`", "1 (1 billed)", "rejected `upstream_first_byte_timeout`"),
    row("stall-before-headers", 2, EITHER, "504 `upstream_first_byte_timeout`", "1 (1 billed) / 0", "rejected `upstream_first_byte_timeout`"),
    row("stall-before-headers;ms=300", 1, EITHER, "200", "1 (1 billed)", ""),
    row("stall-before-headers;ms=300", 2, EITHER, "200", "1 (1 billed) / 0", ""),
    row("stall-after-headers", 1, PLAIN, "200, broken off", "1 (1 billed)", "rejected `upstream_idle_timeout`"),
    row("stall-after-headers", 1, STREAMED, "200, then `upstream_idle_timeout` as an event", "1 (1 billed)", "rejected `upstream_idle_timeout`"),
    row("stall-after-headers", 2, PLAIN, "200, broken off", "1 (1 billed) / 0", "rejected `upstream_idle_timeout`"),
    row("stall-after-headers", 2, STREAMED, "200, then `upstream_idle_timeout` as an event", "1 (1 billed) / 0", "rejected `upstream_idle_timeout`"),
    row("stall-after-headers;ms=300", 1, EITHER, "200", "1 (1 billed)", ""),
    row("stall-after-headers;ms=300", 2, EITHER, "200", "1 (1 billed) / 0", ""),
    row("cut;after=100", 1, PLAIN, "200, broken off", "1 (1 billed)", "rejected `upstream_closed`"),
    row("cut;after=100", 1, STREAMED, "200, then `upstream_closed` as an event", "1 (1 billed)", "rejected `upstream_closed`"),
    row("cut;after=100", 2, PLAIN, "200, broken off", "1 (1 billed) / 0", "rejected `upstream_closed`"),
    row("cut;after=100", 2, STREAMED, "200, then `upstream_closed` as an event", "1 (1 billed) / 0", "rejected `upstream_closed`"),
    row("drip;ms=1", 1, EITHER, "200", "1 (1 billed)", ""),
    row("drip;ms=1", 2, EITHER, "200", "1 (1 billed) / 0", ""),
    row("400", 1, EITHER, "400 of upstream's", "1", ""),
    row("400", 2, EITHER, "400 of upstream's", "1 / 0", ""),
    row("401", 1, EITHER, "502 `upstream_invalid_api_key`", "1", "rejected `upstream_invalid_api_key`"),
    row("401", 2, EITHER, "200, 2 attempts", "1 / 1 (1 billed)", "retries `key_refused`"),
    row("402", 1, EITHER, "402 of upstream's", "1", ""),
    row("402", 2, EITHER, "200, 2 attempts", "1 / 1 (1 billed)", "retries `key_refused`"),
    row("403", 1, EITHER, "502 `upstream_invalid_api_key`", "1", "rejected `upstream_invalid_api_key`"),
    row("403", 2, EITHER, "200, 2 attempts", "1 / 1 (1 billed)", "retries `key_refused`"),
    row("429", 1, EITHER, "429 of upstream's, 3 attempts", "3", "retries `status_429` × 2"),
    row("429", 2, EITHER, "200, 2 attempts", "1 / 1 (1 billed)", "retries `status_429`"),
    row("429 once", 1, EITHER, "200, 2 attempts", "2 (1 billed)", "retries `status_429`"),
    row("429 once", 2, EITHER, "200, 2 attempts", "1 / 1 (1 billed)", "retries `status_429`"),
    row("429;retry-after-ms=300 once", 1, EITHER, "200, 2 attempts", "2 (1 billed)", "retries `status_429`"),
    row("429;retry-after-ms=300 once", 2, EITHER, "200, 2 attempts", "1 / 1 (1 billed)", "retries `status_429`"),
    row("429;retry-after=60", 1, EITHER, "429 of upstream's", "1", ""),
    row("429;retry-after=60", 2, EITHER, "200, 2 attempts", "1 / 1 (1 billed)", "retries `status_429`"),
    row("500", 1, EITHER, "500 of upstream's", "1", ""),
    row("500", 2, EITHER, "500 of upstream's", "1 / 0", ""),
    row("502", 1, EITHER, "502 of upstream's, 3 attempts", "3", "retries `status_502` × 2"),
    row("502", 2, EITHER, "200, 2 attempts", "1 / 1 (1 billed)", "retries `status_502`"),
    row("503", 1, EITHER, "503 of upstream's, 3 attempts", "3", "retries `status_503` × 2"),
    row("503", 2, EITHER, "200, 2 attempts", "1 / 1 (1 billed)", "retries `status_503`"),
    row("503 once", 1, EITHER, "200, 2 attempts", "2 (1 billed)", "retries `status_503`"),
    row("503 once", 2, EITHER, "200, 2 attempts", "1 / 1 (1 billed)", "retries `status_503`"),
    row("503;should-retry=false", 1, EITHER, "503 of upstream's", "1", ""),
    row("503;should-retry=false", 2, EITHER, "200, 2 attempts", "1 / 1 (1 billed)", "retries `status_503`"),
    row("504", 1, EITHER, "504 of upstream's, 3 attempts", "3", "retries `status_504` × 2"),
    row("504", 2, EITHER, "200, 2 attempts", "1 / 1 (1 billed)", "retries `status_504`"),
    row("529", 1, EITHER, "529 of upstream's", "1", ""),
    row("529", 2, EITHER, "529 of upstream's", "1 / 0", ""),
    row("early-response;code=413", 1, EITHER, "413 of upstream's", "1", ""),
    row("early-response;code=413", 2, EITHER, "413 of upstream's", "1 / 0", ""),
    row("early-response;code=503", 1, EITHER, "503 of upstream's, 3 attempts", "3", "retries `status_503` × 2"),
    row("early-response;code=503", 2, EITHER, "200, 2 attempts", "1 / 1 (1 billed)", "retries `status_503`"),
    row("oversized-body;bytes=1000000", 1, EITHER, "200", "1 (1 billed)", ""),
    row("oversized-body;bytes=1000000", 2, EITHER, "200", "1 (1 billed) / 0", ""),
    row("oversized-headers", 1, EITHER, "502 `upstream_invalid_response`", "1 (1 billed)", "rejected `upstream_invalid_response`"),
    row("oversized-headers", 2, EITHER, "502 `upstream_invalid_response`", "1 (1 billed) / 0", "rejected `upstream_invalid_response`"),
    row("malformed;kind=status-line", 1, EITHER, "502 `upstream_invalid_response`", "1 (1 billed)", "rejected `upstream_invalid_response`"),
    row("malformed;kind=status-line", 2, EITHER, "502 `upstream_invalid_response`", "1 (1 billed) / 0", "rejected `upstream_invalid_response`"),
    row("malformed;kind=chunk-size", 1, EITHER, "200, broken off", "1 (1 billed)", "rejected `upstream_invalid_response`"),
    row("malformed;kind=chunk-size", 2, EITHER, "200, broken off", "1 (1 billed) / 0", "rejected `upstream_invalid_response`"),
    row("malformed;kind=length-and-chunked", 1, EITHER, "502 `upstream_invalid_response`", "1 (1 billed)", "rejected `upstream_invalid_response`"),
    row("malformed;kind=length-and-chunked", 2, EITHER, "502 `upstream_invalid_response`", "1 (1 billed) / 0", "rejected `upstream_invalid_response`"),
    row("close-after;requests=1", 1, EITHER, "200", "1 (1 billed)", ""),
    row("close-after;requests=1", 2, EITHER, "200", "1 (1 billed) / 0", ""),
    row("close-idle;ms=50", 1, EITHER, "200", "1 (1 billed)", ""),
    row("close-idle;ms=50", 2, EITHER, "200", "1 (1 billed) / 0", ""),
];
