//! An answer to `GET /v1/models` as it is kept, or passed to those who wait.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::account::RequestRecord;
use crate::answer;
use crate::clients::Client;
use crate::downstream::Downstream;
use crate::error::ProxyError;
use crate::forward::ConnectionOptions;
use crate::http1::{FieldName, HeadView};
use crate::worker::Worker;

/// Fields of a list that describe it. What else upstream sent with it was for
/// one request at one time.
const OF_A_LIST: [&[u8]; 3] = [b"content-type", b"content-encoding", b"vary"];
/// Fields of another answer that are not passed on: the proxy has its own, and
/// a cookie is for one client.
const NOT_PASSED: [&[u8]; 3] = [b"date", b"set-cookie", b"x-holysheep-error"];

type Field = (Box<[u8]>, Box<[u8]>);

/// Upstream's answer.
#[derive(Debug)]
pub(super) struct Entry {
    /// When its head came.
    pub(super) fetched: Instant,
    status: u16,
    fields: Vec<Field>,
    /// Its body, as it was coded.
    pub(super) body: Vec<u8>,
}

impl Entry {
    /// An answer with this head; its body follows.
    pub(super) fn new(head: &HeadView<'_>, now: Instant) -> Self {
        let mut entry = Self {
            fetched: now,
            status: head.status(),
            fields: Vec::new(),
            body: Vec::new(),
        };
        let named = ConnectionOptions::of(head);
        for (name, text, value) in head.fields() {
            if name.is_hop_by_hop() || named.contains(text) {
                continue;
            }
            let is_one_of = |names: &[&[u8]]| names.iter().any(|n| n.eq_ignore_ascii_case(text));
            let keep = if entry.is_list() {
                is_one_of(&OF_A_LIST)
            } else {
                !is_one_of(&NOT_PASSED)
            };
            if keep {
                // The client's id is the one in our log.
                let text = match name {
                    FieldName::XRequestId => b"x-upstream-request-id",
                    _ => text,
                };
                entry.fields.push((text.into(), value.into()));
            }
        }
        entry
    }

    /// Whether it is a list, and may be kept.
    pub(super) const fn is_list(&self) -> bool {
        self.status == 200
    }

    /// The status upstream answered with.
    pub(super) const fn status(&self) -> u16 {
        self.status
    }

    /// How old it is.
    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.fetched)
    }

    /// Answers a request with it; a list is fresh for `ttl` in all.
    ///
    /// # Errors
    /// If the client is gone, or must not see all of a list that cannot be read.
    pub(super) async fn send<D: Downstream>(
        &self,
        worker: &Worker,
        client: &mut D,
        record: &mut RequestRecord,
        ttl: Duration,
    ) -> Result<(), ProxyError> {
        let age = self.age(Instant::now());
        let body = match record.client.as_deref().filter(|_| self.is_list()) {
            Some(client) if client.models.is_some() => Cow::Owned(self.for_client(client)?),
            _ => Cow::Borrowed(&*self.body),
        };
        // With keys, two clients may get different ones.
        let scope = match record.client {
            Some(_) => "private",
            None => "public",
        };
        answer::send_parts(worker, client, record, (self.status, &body), |client| {
            for (name, value) in &self.fields {
                client.field(name, value);
            }
            if self.is_list() {
                let max_age = format!("{scope}, max-age={}", ttl.as_secs());
                client.field(b"cache-control", max_age.as_bytes());
                client.field(b"age", age.as_secs().to_string().as_bytes());
            }
        })
        .await
    }

    /// The list with only the models that a client may ask for.
    fn for_client(&self, client: &Client) -> Result<Vec<u8>, ProxyError> {
        let unreadable = || ProxyError::UpstreamInvalidResponse("no list of models".into());
        let mut list: Value = serde_json::from_slice(&self.body).map_err(|_| unreadable())?;
        let models = list.get_mut("data").and_then(Value::as_array_mut);
        let may_see = |model: &Value| {
            let id = model.get("id").and_then(Value::as_str);
            id.is_some_and(|id| client.may_ask(id.as_bytes()))
        };
        models.ok_or_else(unreadable)?.retain(may_see);
        serde_json::to_vec(&list).map_err(|_| unreadable())
    }
}
