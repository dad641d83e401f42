//! The control thread's side: batches of spans, sent to the receiver, and again if that may help.
//!
//! A worker never waits for the receiver. What is gathered, waiting or under way is bounded ([`super::MOST`]); beyond that
//! workers drop what they have, and count it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use http::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use hyper::body::Bytes;
use serde::Deserialize;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::finished::Finished;
use super::otlp::Encoder;
use crate::config::{self, Config};
use crate::forward;
use crate::metrics::TraceMetrics;
use crate::upstream::SharedLinks;
use crate::webhook::{Target, TargetError, TargetSetupError};

/// So many requests go out at once, or what has come within [`DELAY`].
const BATCH: usize = 256;
const DELAY: Duration = Duration::from_millis(500);
/// How often a batch is tried, and the pauses between: doubled each time, or as the receiver says, up to the longest.
const TRIES: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How much of an answer is read.
const MOST_ANSWER: usize = 64 * 1024;
/// How long the last batch may keep the process from ending.
const LAST: Duration = Duration::from_secs(2);

/// Sends spans, on the control thread.
#[derive(Debug)]
pub struct Exporter {
    target: Target,
    fields: HeaderMap,
    encoder: Encoder,
    inbox: mpsc::UnboundedReceiver<Vec<Finished>>,
    waiting: Arc<AtomicUsize>,
    metrics: Arc<TraceMetrics>,
    is_failing: bool,
}

/// A running exporter.
#[derive(Debug)]
pub struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// Why spans cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The file with fields cannot be read.
    #[error("traces.headers_file {path}: {reason}")]
    Headers {
        /// The file.
        path: String,
        /// Why.
        reason: std::io::Error,
    },
    /// A line of it is no field.
    #[error("traces.headers_file {path}: line {line} is none; expected such as x-api-key: abc")]
    Line {
        /// The file.
        path: String,
        /// Which line.
        line: usize,
    },
    /// There is no TLS towards the receiver.
    #[error("traces: {0}")]
    Target(#[from] TargetSetupError),
}

/// What a batch came to.
enum Sent {
    /// Received; so many spans of it were refused.
    Received(u64),
    /// Not now; perhaps after a while.
    Later(String, Option<Duration>),
    /// Never.
    Refused(String),
}

/// `ExportTraceServiceResponse`
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Answer {
    partial_success: PartialSuccess,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PartialSuccess {
    /// A number, which JSON's mapping of 64 bits writes as text.
    rejected_spans: serde_json::Value,
}

impl Exporter {
    pub(super) fn new(
        (config, settings): (&Config, &config::Traces),
        links: &SharedLinks,
        inbox: mpsc::UnboundedReceiver<Vec<Finished>>,
        (waiting, metrics): (&Arc<AtomicUsize>, &Arc<TraceMetrics>),
    ) -> Result<Self, TracesError> {
        let ca_file = settings.ca_file.as_deref();
        Ok(Self {
            target: Target::at(&settings.endpoint, ca_file, &config.dns, settings.timeout)?,
            fields: fields(settings)?,
            encoder: Encoder::new(settings, links),
            inbox,
            waiting: Arc::clone(waiting),
            metrics: Arc::clone(metrics),
            is_failing: false,
        })
    }

    /// Exports until it is told to finish.
    pub fn start(self) -> Running {
        let (stop, stopped) = oneshot::channel();
        let task = tokio::task::spawn_local(self.run(stopped));
        Running { stop, task }
    }

    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        let mut gathered = Vec::new();
        let mut is_over = false;
        while !is_over {
            // Nothing to do until something comes.
            if gathered.is_empty() {
                tokio::select! {
                    came = self.inbox.recv() => match came {
                        Some(came) => gathered.extend(came),
                        None => is_over = true,
                    },
                    _ = &mut stopped => is_over = true,
                }
            }
            let delay = sleep(DELAY);
            tokio::pin!(delay);
            while !is_over && gathered.len() < BATCH {
                tokio::select! {
                    came = self.inbox.recv() => match came {
                        Some(came) => gathered.extend(came),
                        None => is_over = true,
                    },
                    () = &mut delay => break,
                    _ = &mut stopped => is_over = true,
                }
            }
            if is_over {
                // Workers have ended, and left what they had.
                while let Ok(came) = self.inbox.try_recv() {
                    gathered.extend(came);
                }
            }
            while gathered.len() >= BATCH || !gathered.is_empty() && (is_over || delay.is_elapsed())
            {
                let rest = gathered.split_off(gathered.len().min(BATCH));
                let batch = std::mem::replace(&mut gathered, rest);
                self.export(&batch, &mut stopped, &mut is_over).await;
                self.waiting.fetch_sub(batch.len(), Ordering::Relaxed);
            }
        }
    }

    /// Sends a batch until it is received, or there is no hope.
    async fn export(
        &mut self,
        batch: &[Finished],
        stopped: &mut oneshot::Receiver<()>,
        is_over: &mut bool,
    ) {
        let spans: u64 = batch.iter().map(Finished::spans).sum();
        let body = Bytes::from(self.encoder.body(batch));
        let mut pause = FIRST_PAUSE;
        for tries in 1.. {
            let (reason, after) = match self.send(body.clone()).await {
                Sent::Received(refused) => {
                    let refused = refused.min(spans);
                    self.metrics.exported.add(spans - refused);
                    self.metrics.failed.add(refused);
                    self.is_failing = false;
                    return;
                }
                Sent::Later(reason, after) if tries < TRIES && !*is_over => (reason, after),
                Sent::Later(reason, _) | Sent::Refused(reason) => {
                    self.fails(&reason, spans);
                    return;
                }
            };
            tracing::debug!(reason, "spans were not received, and are sent again");
            let wait = after.unwrap_or(pause).min(LONGEST_PAUSE);
            pause = (pause * 2).min(LONGEST_PAUSE);
            tokio::select! {
                () = sleep(wait) => {}
                // Once more, and then no more.
                _ = &mut *stopped => *is_over = true,
            }
        }
    }

    async fn send(&self, body: Bytes) -> Sent {
        let answer = self
            .target
            .post(self.fields.clone(), body, MOST_ANSWER)
            .await;
        match answer {
            Ok(answer) => read(&answer),
            Err(error @ TargetError::Tls(_)) => Sent::Refused(error.to_string()),
            Err(error) => Sent::Later(error.to_string(), None),
        }
    }

    fn fails(&mut self, reason: &str, spans: u64) {
        self.metrics.failed.add(spans);
        // Said once, until it works again.
        if !std::mem::replace(&mut self.is_failing, true) {
            let target = self.target.shown();
            tracing::warn!(target, reason, "spans could not be exported");
        }
    }
}

impl Running {
    /// Sends what there is, if that does not take long.
    pub async fn finish(self) {
        // Both say only that it has ended already.
        let _ = self.stop.send(());
        if timeout(LAST, self.task).await.is_err() {
            tracing::warn!("the last spans could not be exported in time");
        }
    }
}

fn read(answer: &Response<Bytes>) -> Sent {
    let status = answer.status().as_u16();
    match status {
        200..300 => {
            let body: Answer = serde_json::from_slice(answer.body()).unwrap_or_default();
            let rejected = body.partial_success.rejected_spans;
            let text = rejected.as_str().and_then(|text| text.parse().ok());
            Sent::Received(rejected.as_u64().or(text).unwrap_or(0))
        }
        // The ones that OTLP says may be tried again.
        429 | 502 | 503 | 504 => {
            let after = answer.headers().get(RETRY_AFTER);
            let after = after.and_then(|value| retry_after(value.to_str().ok()?));
            Sent::Later(format!("it answered {status}"), after)
        }
        _ => Sent::Refused(format!("it answered {status}")),
    }
}

/// A number of seconds, or a date.
fn retry_after(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

fn fields(settings: &config::Traces) -> Result<HeaderMap, TracesError> {
    let mut fields = HeaderMap::new();
    let user_agent = HeaderValue::from_static(forward::USER_AGENT);
    fields.insert(USER_AGENT, user_agent);
    let mut put = |name: &str, value: &[u8]| {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        let mut value = HeaderValue::from_bytes(value).ok()?;
        value.set_sensitive(true);
        fields.insert(name, value);
        Some(())
    };
    if let Some(path) = &settings.headers_file {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|reason| TracesError::Headers {
            path: shown.clone(),
            reason,
        })?;
        let text = zeroize::Zeroizing::new(text);
        let lines = text.lines().enumerate();
        for (index, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
            let field = line.split_once(':');
            let put = field.and_then(|(name, value)| put(name.trim(), value.trim().as_bytes()));
            put.ok_or_else(|| TracesError::Line {
                path: shown.clone(),
                line: index + 1,
            })?;
        }
    }
    for (name, value) in &settings.headers {
        // Both have been checked.
        put(name, value.expose());
    }
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_as_otlp_has_it() {
        let answer = |status: u16, after: &str, body: &'static str| {
            let built = Response::builder()
                .status(status)
                .header(RETRY_AFTER, after);
            read(&built.body(Bytes::from_static(body.as_bytes())).unwrap())
        };
        let partial = "{\"partialSuccess\":{\"rejectedSpans\":\"3\",\"errorMessage\":\"x\"}}";
        for (body, refused) in [("{}", 0), ("", 0), (partial, 3)] {
            assert!(matches!(answer(200, "", body), Sent::Received(count) if count == refused));
        }
        let seconds = Some(Duration::from_secs(7));
        assert!(matches!(answer(503, "7", ""), Sent::Later(_, after) if after == seconds));
        assert!(matches!(answer(429, "soon", ""), Sent::Later(_, None)));
        for status in [301, 400, 401, 404, 413, 500] {
            assert!(
                matches!(answer(status, "7", ""), Sent::Refused(_)),
                "{status}"
            );
        }
    }
}
