//! What is kept of a request that is over until spans are made of it, on another thread.

use std::time::Instant;

use super::{Came, Trace};
use crate::account::usage::Source;
use crate::account::{End, RequestRecord, Text};
use crate::http1::head::Version;
use crate::route::{Action, Operation, RouteId};

/// A traced request and its attempts.
#[derive(Debug)]
pub struct Finished {
    pub(super) trace: Box<Trace>,
    pub(super) started: Instant,
    pub(super) ended: Instant,
    pub(super) method: Box<str>,
    pub(super) path: Box<str>,
    pub(super) request_id: Box<str>,
    pub(super) user_agent: Box<str>,
    pub(super) peer: Box<str>,
    pub(super) client: Box<str>,
    pub(super) version: Version,
    pub(super) route: Option<RouteId>,
    pub(super) status: u16,
    pub(super) error: Option<&'static str>,
    pub(super) end: End,
    pub(super) is_stream: bool,
    pub(super) first_token: Option<Instant>,
    pub(super) answer_ended: Option<Instant>,
    pub(super) model: Option<Box<str>>,
    pub(super) response_model: Option<Box<str>>,
    pub(super) input_tokens: Option<u64>,
    pub(super) output_tokens: Option<u64>,
    pub(super) cached_tokens: Option<u64>,
}

impl Finished {
    /// Takes what spans are made of out of a record; nothing if its trace is not to be exported.
    pub fn of(record: &mut RequestRecord, ended: Instant) -> Option<Self> {
        let trace = record.trace.take_if(|trace| trace.is_sampled)?;
        let is_probe = |route: RouteId| route.get().action == Action::Health;
        if record.route.is_some_and(is_probe) {
            return None;
        }
        let text = |text| String::from_utf8_lossy(record.text.get(text)).into();
        let observed = record.observed.as_deref();
        let found = observed.map(crate::account::usage::Observation::found);
        // As in the metrics: what upstream has said counts, not what was guessed.
        let used = record
            .used()
            .filter(|(source, _)| *source == Source::Reported);
        let [input_tokens, output_tokens] = used.map_or([None; 2], |(_, tokens)| tokens);
        let since_sent = |after| {
            record
                .sent_upstream
                .zip(after)
                .map(|(sent, after)| sent + after)
        };
        Some(Self {
            trace,
            started: record.started,
            ended,
            method: text(Text::Method),
            path: text(Text::Path),
            request_id: text(Text::RequestId),
            user_agent: text(Text::UserAgent),
            peer: record.peer.to_string().into(),
            client: record.client_name().into(),
            version: record.version,
            route: record.route,
            status: record.status,
            error: record.error,
            end: record.end,
            is_stream: observed.is_some_and(|observed| observed.is_stream()),
            first_token: since_sent(record.first_token()),
            answer_ended: since_sent(record.response),
            model: record.model.clone(),
            response_model: found.and_then(|found| found.model.clone()),
            input_tokens,
            output_tokens,
            cached_tokens: found.and_then(|found| found.usage().cached),
        })
    }

    /// How many spans it makes.
    pub fn spans(&self) -> u64 {
        1 + self.trace.attempts.len() as u64
    }

    /// What it asked of a model.
    pub(super) fn operation(&self) -> Option<Operation> {
        self.route?.get().operation
    }

    /// When the last attempt ended, which has the response, and with which error.
    pub(super) fn last_end(&self) -> (Instant, Option<Came>) {
        let is_refusal = self.trace.attempts.last();
        let status = is_refusal
            .and_then(|last| last.head)
            .map(|(_, status)| status);
        let came = match (self.error, status) {
            (Some(code), _) => Some(Came::Failed(code)),
            (None, Some(status @ 400..)) => Some(Came::Refused(status)),
            (None, _) => match self.end {
                End::Complete => None,
                End::Error => Some(Came::Failed("error_within")),
                End::Cancelled => Some(Came::Failed("client_closed")),
            },
        };
        let ended = self.answer_ended.unwrap_or(self.ended);
        (ended.min(self.ended), came)
    }
}
