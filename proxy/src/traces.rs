//! Spans of requests, for an OTLP receiver.
//!
//! A request that is traced has a [`Trace`] in its record, which notes when its attempts began and ended. After the
//! response what is known of it goes to the control thread (`exporter`), which makes spans of it (`otlp`). Without
//! `traces:` there is no [`Tracer`], and all that is left of this on a request's way is the question whether there is one.

mod attempt;
mod context;
mod exporter;
mod finished;
mod otlp;
mod shape;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::sync::mpsc;

use crate::account::RequestRecord;
use crate::config::{self, Config};
use crate::kernel::Timeline;
use crate::metrics::TraceMetrics;
use crate::pipeline::Inbound;
use crate::upstream::Message;
use crate::upstream::SharedLinks;
use crate::worker::Worker;
pub use attempt::{Attempt, Came};
use context::Context;
pub use context::is_ours;
pub use exporter::{Exporter, TracesError};
pub use finished::Finished;

/// Requests that wait to be exported, with those under way: about a kilobyte each.
const MOST: usize = 2048;
/// A worker hands over so many at once, or what there is at its next beat.
pub const HAND_OVER: usize = 64;

/// What workers need to trace requests.
#[derive(Debug)]
pub struct Tracer {
    settings: config::Traces,
    waiting: Arc<AtomicUsize>,
    exporter: mpsc::UnboundedSender<Vec<Finished>>,
}

/// A request's place in its trace.
#[derive(Debug)]
pub struct Trace {
    context: Context,
    is_sampled: bool,
    /// Whether it came over TLS.
    is_https: bool,
    /// The id of the server's span; those of the attempts follow it.
    span: u64,
    attempts: Vec<Attempt>,
}

impl Tracer {
    /// Makes both sides, if they are configured.
    ///
    /// # Errors
    /// If a file cannot be used.
    pub fn new(
        config: &Config,
        links: &SharedLinks,
        metrics: &Arc<TraceMetrics>,
    ) -> Result<Option<(Arc<Self>, Exporter)>, TracesError> {
        let Some(settings) = &config.traces else {
            return Ok(None);
        };
        let (sender, inbox) = mpsc::unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let exporter = Exporter::new((config, settings), links, inbox, (&waiting, metrics))?;
        let tracer = Self {
            settings: settings.clone(),
            waiting,
            exporter: sender,
        };
        Ok(Some((Arc::new(tracer), exporter)))
    }

    /// What was configured.
    pub const fn settings(&self) -> &config::Traces {
        &self.settings
    }

    /// Decides about a request whose head has been read: as its client did, if that did, and else by chance.
    #[cold]
    pub fn begin(&self, worker: &Worker, inbound: &Inbound<'_>, record: &mut RequestRecord) {
        let random = worker.random_bits();
        let given = Context::read(&inbound.head);
        let is_sampled = match &given {
            Some(given) => given.is_sampled,
            None => is_in_share(random, self.settings.sample),
        };
        // Of a client's trace its id goes to the log in any case.
        if given.is_none() && !is_sampled {
            return;
        }
        let context = given.unwrap_or_else(|| Context::root(random));
        record.trace = Some(Box::new(Trace {
            context,
            is_sampled,
            is_https: inbound.https,
            // Far enough from the end of the numbers for all attempts, and never 0, which is no id.
            span: worker.random_bits() as u64 >> 2 | 1 << 62,
            attempts: Vec::new(),
        }));
    }

    /// Hands over what a worker has gathered; gives the number of spans that were dropped because too many wait.
    pub fn hand_over(&self, requests: Vec<Finished>) -> u64 {
        let count = requests.len();
        if self.waiting.fetch_add(count, Ordering::Relaxed) + count > MOST {
            self.waiting.fetch_sub(count, Ordering::Relaxed);
            return requests.iter().map(Finished::spans).sum();
        }
        match self.exporter.send(requests) {
            Ok(()) => 0,
            // The control thread has gone.
            Err(error) => error.0.iter().map(Finished::spans).sum(),
        }
    }
}

/// Whether a trace with this id is in the share: decided by the id, as others that see it may.
fn is_in_share(id: u128, share: f64) -> bool {
    let bits = id as u64 >> 11;
    #[expect(clippy::cast_precision_loss, reason = "53 bits, which is what fits")]
    let place = bits as f64 / (1_u64 << 53) as f64;
    place < share
}

impl Trace {
    /// The trace's id, in hexadecimal digits.
    pub fn id(&self) -> String {
        format!("{:032x}", self.context.id)
    }

    /// What upstream is told in `traceparent`, and in `tracestate`.
    pub fn told(&self) -> (String, &str) {
        // Without spans of ours the client's is the one that upstream's belong to.
        let (parent, flags) = match self.is_sampled {
            true => (self.span + 1, 1),
            false => (self.context.parent, 0),
        };
        let text = format!("00-{:032x}-{parent:016x}-{flags:02x}", self.context.id);
        (text, &self.context.state)
    }

    /// Another attempt begins; if its request is one that was sent before, it says so.
    pub fn attempt_begins(&mut self, upstream: usize, message: Option<&mut Message>) {
        if !self.is_sampled {
            return;
        }
        let span = self.span + 1 + self.attempts.len() as u64;
        if !self.attempts.is_empty()
            && let Some(message) = message
        {
            context::rewrite(message, span);
        }
        self.attempts.push(Attempt::new(span, upstream));
    }

    /// The last attempt's request goes out.
    pub fn sent(&mut self, at: Instant, endpoint: SocketAddr) {
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.sent = Some(at);
            attempt.endpoint = Some(endpoint);
        }
    }

    /// The last attempt has a response head, or nothing.
    pub fn answered(&mut self, head: Option<(Instant, u16)>, kernel: Timeline) {
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.head = head;
            attempt.kernel = kernel;
        }
    }

    /// The last attempt is over, and another follows. If there were two at once, neither has brought anything.
    pub fn failed(&mut self, came: Came) {
        let open = self.attempts.iter_mut().rev();
        for attempt in open.take_while(|attempt| attempt.end.is_none()) {
            attempt.ends(came);
        }
    }

    /// Of two requests at once one is not waited for any longer.
    pub fn hedged(&mut self, has_second_won: bool, came: Came) {
        let count = self.attempts.len();
        if !has_second_won && count >= 2 {
            // The one that goes on is the last.
            self.attempts.swap(count - 2, count - 1);
        }
        let index = count.checked_sub(2);
        if let Some(attempt) = index.and_then(|index| self.attempts.get_mut(index)) {
            attempt.ends(came);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_what_it_says() {
        for (share, expected) in [(0.0, 0..1), (0.1, 900..1100), (1.0, 10_000..10_001)] {
            let mut random = fastrand::Rng::with_seed(7);
            let chosen = (0..10_000).filter(|_| is_in_share(random.u128(..), share));
            let count = chosen.count();
            assert!(expected.contains(&count), "{count} of {share}");
        }
    }
}
