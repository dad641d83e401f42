//! What is known of a request, and where it ends up.
//!
//! A [`RequestRecord`] is made when a request's head has been read, filled in
//! by the pipeline's phases, and consumed by [`RequestRecord::finish`], which
//! moves the metrics and writes the access-log line. Should a request be
//! dropped half-way (a panic, a connection task ended), `Drop` does the same,
//! so that no exit goes uncounted.

pub mod access_log;
pub mod clock;
mod cost;
pub mod log_thread;
pub mod usage;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::clients::{ANONYMOUS, Known};
use crate::connection::peer::Peer;
use crate::cost::Amount;
use crate::error::ProxyError;
use crate::http1::head::Version;
use crate::kernel::Timeline;
use crate::limits::{Taken, Terms};
use crate::metrics::Outcome;
use crate::metrics::failures::Kind;
use crate::pipeline;
use crate::route::{Dialect, Operation, RouteId, UNKNOWN};
use crate::traces::Trace;
use crate::worker::Worker;
use usage::Observation;

/// How a response body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The client has all of it.
    Complete,
    /// It broke off because of an error.
    Error,
    /// The client went away.
    Cancelled,
}

impl End {
    /// As it stands in the access log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Error => "error",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Texts of a request that outlive its head, in one buffer.
#[derive(Debug, Default)]
pub struct RecordText {
    bytes: Vec<u8>,
    ends: [u32; 5],
}

/// Which text.
#[derive(Clone, Copy, Debug)]
pub enum Text {
    /// Method as sent; the line as sent where there is no path, because it
    /// could not be read as a request line.
    Method = 0,
    /// Path without query: a query may carry keys.
    Path = 1,
    /// `x-request-id`, the client's or ours.
    RequestId = 2,
    /// `referer`
    Referer = 3,
    /// `user-agent`
    UserAgent = 4,
}

impl RecordText {
    /// Forgets all texts; the buffer stays.
    pub fn clear(&mut self) {
        self.fill([b""; 5]);
    }

    /// Replaces all texts, in the order of [`Text`].
    pub fn fill(&mut self, texts: [&[u8]; 5]) {
        self.bytes.clear();
        for (text, end) in texts.iter().zip(&mut self.ends) {
            self.bytes.extend_from_slice(text);
            #[expect(clippy::cast_possible_truncation, reason = "part of a bounded head")]
            {
                *end = self.bytes.len() as u32;
            }
        }
    }

    /// One text.
    pub fn get(&self, text: Text) -> &[u8] {
        let index = text as usize;
        let end = self.ends.get(index).map_or(0, |end| *end as usize);
        let start = index
            .checked_sub(1)
            .and_then(|before| self.ends.get(before))
            .map_or(0, |start| *start as usize);
        self.bytes.get(start..end).unwrap_or_default()
    }
}

/// One request, from its head to its access-log line.
#[derive(Debug)]
pub struct RequestRecord {
    worker: Rc<Worker>,
    accounted: bool,
    /// When its head had been read.
    pub started: Instant,
    /// Who sent it.
    pub peer: Peer,
    /// HTTP version of the request.
    pub version: Version,
    /// Texts of its head.
    pub text: RecordText,
    /// Route, once known.
    pub route: Option<RouteId>,
    /// Who sent it, if clients have names.
    pub client: Option<Known>,
    /// Model named in the request, if it was seen.
    pub model: Option<Box<str>>,
    /// Status sent; 0 while none was.
    pub status: u16,
    /// The proxy's own error.
    pub error: Option<&'static str>,
    /// How the response ended.
    pub end: End,
    /// Request body bytes read.
    pub bytes_in: u64,
    /// Response body bytes sent.
    pub bytes_out: u64,
    /// How often it was sent, or was to be.
    pub attempts: u32,
    /// Why it was sent again each time.
    pub retries: Vec<&'static str>,
    /// The position of the upstream it was sent to last.
    pub upstream: usize,
    /// The address there.
    pub endpoint: Option<SocketAddr>,
    /// When it was given to the upstream connection.
    pub sent_upstream: Option<Instant>,
    /// Time spent making a connection for it.
    pub connect: Duration,
    /// When the response head was there.
    pub head_came: Option<Instant>,
    /// From `sent_upstream` to the response head.
    pub header: Option<Duration>,
    /// From `sent_upstream` to the end of the response.
    pub response: Option<Duration>,
    /// Time in the proxy before it was sent and after its head came.
    pub overhead: Duration,
    /// What the kernel saw of it.
    pub kernel: Timeline,
    /// The client wants to be told that.
    pub wants_timing: bool,
    /// What is found in its response.
    pub observed: Option<Box<Observation>>,
    /// What it cost in US dollars, once it has ended, if that is known.
    pub cost: Option<Amount>,
    /// Upstream was asked, for the proxy, to say in its stream what it used; the client does not get that.
    pub omits_usage: bool,
    /// How long its response is has not been announced.
    pub is_open_ended: bool,
    /// Its client's limits, if there are any.
    pub terms: Option<Arc<Terms>>,
    /// What it has taken of these.
    pub taken: Option<Taken>,
    /// Its place in a trace, if it is in one.
    pub trace: Option<Box<Trace>>,
    /// What it has set aside of its client's budget.
    pub reserved: Option<Amount>,
}

impl RequestRecord {
    /// Starts the record of a request whose head has just been read.
    pub fn new(worker: &Rc<Worker>, peer: Peer, version: Version) -> Self {
        let started = Instant::now();
        worker.begin_request(started.into());
        Self {
            worker: Rc::clone(worker),
            accounted: false,
            started,
            peer,
            version,
            text: worker.spare.text(),
            route: None,
            client: None,
            model: None,
            status: 0,
            error: None,
            end: End::Cancelled,
            bytes_in: 0,
            bytes_out: 0,
            attempts: 0,
            retries: Vec::new(),
            upstream: 0,
            endpoint: None,
            sent_upstream: None,
            connect: Duration::ZERO,
            head_came: None,
            header: None,
            response: None,
            overhead: Duration::ZERO,
            kernel: Timeline::default(),
            wants_timing: false,
            observed: None,
            cost: None,
            omits_usage: false,
            is_open_ended: false,
            terms: None,
            taken: None,
            trace: None,
            reserved: None,
        }
    }

    /// Whose API it speaks.
    pub fn dialect(&self) -> Dialect {
        self.route
            .map_or(Dialect::OpenAi, |route| route.get().dialect)
    }

    /// The name of its client, for who has to call it by one.
    pub fn client_name(&self) -> &str {
        self.client
            .as_ref()
            .map_or(ANONYMOUS, |client| &client.name)
    }

    /// Whether its client may use some models only.
    pub fn is_limited_to_models(&self) -> bool {
        let client = self.client.as_ref();
        client.is_some_and(|client| client.models.is_some())
    }

    /// What it asks of a model.
    pub fn operation(&self) -> Option<Operation> {
        self.route?.get().operation
    }

    /// Whether upstream said in its response that it has failed.
    fn has_failed_within(&self) -> bool {
        let observed = self.observed.as_ref();
        observed.is_some_and(|observed| observed.found().has_failed)
    }

    /// Notes the error the proxy answers, or ends a response, with.
    pub fn failed(&mut self, error: &ProxyError) {
        let class = error.class();
        self.error = Some(class.code);
        if self.status == 0 {
            self.status = class.status;
        }
        let metrics = &self.worker.metrics;
        metrics.http.rejected(class.code);
        if *error == ProxyError::ClientClosed {
            return;
        }
        let kind = Kind {
            code: class.code,
            route: self.route.map_or(UNKNOWN, |route| route.get().template),
            client: self.client_name(),
            model: self.model.as_deref(),
            upstream: (self.attempts > 0).then_some(self.upstream),
        };
        let request_id = self.text.get(Text::RequestId);
        metrics.failures.note(kind, error, request_id);
    }

    /// Ends the record: metrics and access log.
    pub fn finish(mut self, end: End) {
        self.end = end;
        self.account();
    }

    fn account(&mut self) {
        if std::mem::replace(&mut self.accounted, true) {
            return;
        }
        if self.status == 0 {
            self.status = ProxyError::ClientClosed.class().status;
        }
        let failed_within = self.has_failed_within();
        if failed_within && self.end == End::Complete {
            self.end = End::Error;
        }
        let now = Instant::now();
        let total = now.duration_since(self.started);
        let used = self.used();
        let metrics = &self.worker.metrics;
        metrics.http.finished(self.route, self.status, total);
        if let Some(client) = &self.client {
            self.worker.count_client(client, self.status);
        }
        if self.attempts > 0 {
            let outcome = match self.error {
                Some(code) => Outcome::Failed(code),
                None if failed_within => Outcome::ErrorWithin,
                None => Outcome::Status(self.status),
            };
            metrics
                .upstream(self.upstream)
                .finished(outcome, self.header);
            metrics.http.overhead.observe(self.overhead);
            if let Some(operation) = self.operation() {
                let is_real = self.error.is_none() && (200..300).contains(&self.status);
                let asked = (operation, self.model.as_deref());
                let counted = self.counted(now);
                let models = self.worker.models_asked.get(self.upstream);
                let series = &metrics.upstream(self.upstream).gen_ai;
                models.count(series, asked, is_real, &counted);
                if let Some((source, tokens)) = used {
                    metrics.usage.count(source, tokens);
                }
                self.charge(is_real);
            }
        }
        let worker = Rc::clone(&self.worker);
        pipeline::settle(&worker, self, used, now);
        self.worker.log_access(self, total);
        if self.trace.is_some() {
            worker.keep_spans(self, now);
        }
        if let Some(observed) = self.observed.take() {
            self.worker.spare.keep_observation(observed);
        }
        self.worker
            .end_request(std::mem::take(&mut self.text), now.into());
    }
}

impl Drop for RequestRecord {
    fn drop(&mut self) {
        self.account();
    }
}
