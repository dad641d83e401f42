//! `POST /webhooks/payment`: notices of payments, verified and handed on.
//!
//! A worker reads a delivery, within bounds of size, time and number, and verifies its signature (`signature`), which is
//! all that lets anybody in here. The control thread forwards what is genuine (`courier`): it alone knows what has been
//! delivered, so two workers cannot forward the same, and a slow receiver is waited for by no worker's requests. The sender
//! is told 2xx once the receiver has said so, and tries again otherwise.

mod courier;
mod secrets;
mod seen;
mod signature;
mod target;

use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderName, HeaderValue};
use hyper::body::Bytes;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use crate::account::{RequestRecord, Text};
use crate::answer::{self, Answer};
use crate::config::{self, Config, WebhookSecrets};
use crate::downstream::Downstream;
use crate::error::ProxyError;
use crate::forward::ConnectionOptions;
use crate::http1::{FieldName, Framing};
use crate::metrics::webhook::Outcome;
use crate::pipeline::Inbound;
use crate::worker::Worker;
pub use courier::Courier;
use courier::{Delivery, Receipt};
pub use secrets::{Secrets, SecretsError};
use signature::Signed;
pub use target::{Target, TargetError, TargetSetupError};

/// Deliveries being read, verified or forwarded at once. Whoever has no secret gets no further than this, and each holds
/// `webhook.max_body` at most.
const MOST_AT_ONCE: usize = 256;
/// Tells the receiver by which scheme a delivery was found to be genuine. Nobody else may say so.
const VERIFIED: HeaderName = HeaderName::from_static("x-holysheep-webhook-verified");

/// What workers share of it.
#[derive(Debug)]
pub struct Webhook {
    settings: config::Webhook,
    secrets: ArcSwap<Secrets>,
    places: Semaphore,
    courier: mpsc::UnboundedSender<Delivery>,
}

/// Why deliveries cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// There are no secrets.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// There is no TLS towards the receiver.
    #[error(transparent)]
    Target(#[from] TargetSetupError),
}

impl Webhook {
    /// Reads the secrets and makes both sides, if it is configured.
    ///
    /// # Errors
    /// If a file cannot be used.
    pub fn new(config: &Config) -> Result<Option<(Arc<Self>, Courier)>, WebhookError> {
        let Some(settings) = &config.webhook else {
            return Ok(None);
        };
        let secrets = secrets_of(settings)?;
        if secrets.is_any_short() {
            tracing::warn!(
                "a secret of the webhook's has fewer than 24 bytes and could be guessed"
            );
        }
        let target = Target::new(settings, &config.dns)?;
        let (courier, inbox) = mpsc::unbounded_channel();
        let webhook = Arc::new(Self {
            settings: settings.clone(),
            secrets: ArcSwap::from_pointee(secrets),
            places: Semaphore::new(MOST_AT_ONCE),
            courier,
        });
        let courier = Courier::new(Arc::clone(&webhook), target, inbox);
        Ok(Some((webhook, courier)))
    }

    /// What was configured.
    pub const fn settings(&self) -> &config::Webhook {
        &self.settings
    }

    /// How many secrets there are at present.
    pub fn secrets(&self) -> usize {
        self.secrets.load().count()
    }

    /// Whether a delivery's time is too far from ours.
    fn is_stale(&self, timestamp: u64, now: SystemTime) -> bool {
        let sent = Duration::from_secs(timestamp);
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        now.abs_diff(sent) > self.settings.tolerance
    }
}

/// Reads the secrets from where they are.
///
/// # Errors
/// If they cannot be read.
pub fn secrets_of(settings: &config::Webhook) -> Result<Secrets, SecretsError> {
    match &settings.secrets {
        WebhookSecrets::File(path) => Secrets::read(path),
        WebhookSecrets::Given(secret) => Secrets::given(secret),
    }
}

/// What the head of a delivery says.
#[derive(Debug)]
pub struct Notice {
    signed: Result<Signed, &'static str>,
    body: Framing,
    /// What goes on to the receiver.
    fields: HeaderMap,
}

/// Takes what is needed of a delivery's head.
///
/// # Errors
/// If there is no webhook.
pub fn notice(
    worker: &Worker,
    inbound: &Inbound<'_>,
    record: &RequestRecord,
) -> Result<Notice, ProxyError> {
    let webhook = worker.webhook.as_ref().ok_or(ProxyError::UnknownRoute)?;
    let settings = &webhook.settings;
    let (scheme, field) = (settings.scheme, &settings.signature_header);
    Ok(Notice {
        signed: Signed::read(&inbound.head, scheme, field),
        body: inbound.body,
        fields: fields(inbound, record, scheme.as_str()),
    })
}

/// The delivery's own fields, but for those of the connection, credentials, and what the proxy says itself.
fn fields(inbound: &Inbound<'_>, record: &RequestRecord, scheme: &'static str) -> HeaderMap {
    let named = ConnectionOptions::of(&inbound.head);
    let mut fields = HeaderMap::new();
    let mut forwarded_for = Vec::new();
    for (name, text, value) in inbound.head.fields() {
        match name {
            FieldName::Authorization
            | FieldName::XApiKey
            | FieldName::ApiKey
            | FieldName::Host
            | FieldName::Expect
            | FieldName::Forwarded
            | FieldName::XForwardedProto
            | FieldName::XRealIp
            | FieldName::XRequestId => continue,
            FieldName::XForwardedFor => {
                forwarded_for.extend_from_slice(value);
                forwarded_for.extend_from_slice(b", ");
                continue;
            }
            name if name.is_hop_by_hop() || named.contains(text) => continue,
            _ => {}
        }
        let field = (HeaderName::from_bytes(text), HeaderValue::from_bytes(value));
        if let (Ok(name), Ok(value)) = field
            && name != VERIFIED
            && name != http::header::COOKIE
        {
            fields.append(name, value);
        }
    }
    forwarded_for.extend_from_slice(inbound.peer.text());
    let id = record.text.get(Text::RequestId);
    for (name, value) in [("x-forwarded-for", &*forwarded_for), ("x-request-id", id)] {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            fields.insert(HeaderName::from_static(name), value);
        }
    }
    fields.insert(VERIFIED, HeaderValue::from_static(scheme));
    fields
}

/// Takes a delivery, and answers as the receiver did.
///
/// # Errors
/// Why it was not taken, or not delivered.
pub async fn answer<D: Downstream>(
    worker: &Worker,
    notice: Notice,
    client: &mut D,
    record: &mut RequestRecord,
) -> Result<(), ProxyError> {
    let webhook = worker.webhook.as_ref().ok_or(ProxyError::UnknownRoute)?;
    let received = receive(webhook, notice, client).await;
    worker.metrics.webhooks.count(outcome(&received));
    received?;
    let delivered = Answer {
        status: 200,
        content_type: "application/json".into(),
        fields: Vec::new(),
        body: br#"{"status":"delivered"}"#.as_slice().into(),
    };
    answer::send(worker, client, record, delivered).await
}

/// A delivery that the receiver has.
#[derive(Debug, PartialEq, Eq)]
enum Delivered {
    Now,
    /// It had it already, and the sender did not hear of it.
    Before,
}

async fn receive<D: Downstream>(
    webhook: &Webhook,
    notice: Notice,
    client: &mut D,
) -> Result<Delivered, ProxyError> {
    let signed = notice.signed.map_err(ProxyError::WebhookBadSignature)?;
    if webhook.is_stale(signed.timestamp, SystemTime::now()) {
        return Err(ProxyError::WebhookStale(webhook.settings.tolerance));
    }
    let limit = webhook.settings.max_body;
    if matches!(notice.body, Framing::Length(length) if length > limit) {
        return Err(ProxyError::RequestTooLarge { limit });
    }
    // Held to the end: a body that waits to be forwarded is memory, too.
    let _place = (webhook.places.try_acquire()).map_err(|_| ProxyError::Overloaded)?;
    let body = timeout(webhook.settings.timeout, read(client, limit)).await;
    let body = body.unwrap_or(Err(ProxyError::RequestTimeout))?;
    if !signed.is_genuine(&webhook.secrets.load(), &body) {
        return Err(ProxyError::WebhookBadSignature("none of it fits"));
    }
    let (receipt, receipts) = oneshot::channel();
    let delivery = Delivery {
        identity: signed.identity(&body),
        timestamp: signed.timestamp,
        fields: notice.fields,
        body: Bytes::from(body),
        receipt,
    };
    // Neither fails while the control thread runs, which outlives the workers.
    let sent = webhook.courier.send(delivery);
    sent.map_err(|_| ProxyError::WebhookForwardFailed)?;
    match receipts.await {
        Ok(Receipt::Delivered) => Ok(Delivered::Now),
        Ok(Receipt::DeliveredBefore) => Ok(Delivered::Before),
        Ok(Receipt::Repeated) => Err(ProxyError::WebhookRepeated),
        Ok(Receipt::Overloaded) => Err(ProxyError::Overloaded),
        Ok(Receipt::Failed) | Err(_) => Err(ProxyError::WebhookForwardFailed),
    }
}

/// The whole body, of so many bytes at most.
async fn read<D: Downstream>(client: &mut D, limit: u64) -> Result<Vec<u8>, ProxyError> {
    let mut body = Vec::new();
    loop {
        let is_end = poll_fn(|cx| {
            client.poll_data(cx).map_ok(|data| {
                body.extend_from_slice(data);
                data.is_empty()
            })
        })
        .await?;
        if body.len() as u64 > limit {
            return Err(ProxyError::RequestTooLarge { limit });
        }
        if is_end {
            return Ok(body);
        }
    }
}

const fn outcome(received: &Result<Delivered, ProxyError>) -> Outcome {
    match received {
        Ok(Delivered::Now) => Outcome::Accepted,
        Ok(Delivered::Before) | Err(ProxyError::WebhookRepeated) => Outcome::Repeated,
        Err(ProxyError::WebhookBadSignature(_)) => Outcome::BadSignature,
        Err(ProxyError::WebhookStale(_)) => Outcome::Stale,
        Err(ProxyError::RequestTooLarge { .. }) => Outcome::TooLarge,
        Err(ProxyError::WebhookForwardFailed) => Outcome::ForwardFailed,
        Err(ProxyError::Overloaded) => Outcome::Overloaded,
        // Its body has not come, or not as a body should.
        Err(_) => Outcome::Incomplete,
    }
}
