//! The proxy's own errors of late, for `/status` and its page.

use std::time::SystemTime;

use serde::Serialize;

use super::Admin;
use crate::metrics::failures::Failure;

/// The last error of a kind: a code, for one route, client, model and upstream.
#[derive(Debug, Serialize)]
pub struct FailureStatus {
    /// When.
    pub time: String,
    /// Its code.
    pub code: &'static str,
    /// The status it has.
    pub status: u16,
    /// How many of this kind there were since the first that is kept.
    pub count: u64,
    /// What a client was told.
    pub message: String,
    /// What to do about it.
    pub remedy: &'static str,
    /// The route's template, or `unknown`.
    pub route: &'static str,
    /// The client's name.
    pub client: Box<str>,
    /// The model that was asked for, if that was seen.
    pub model: Option<Box<str>>,
    /// The upstream it was sent to, if it was.
    pub upstream: Option<String>,
    /// The `x-request-id` of the last.
    pub request_id: String,
}

impl FailureStatus {
    /// Of all workers, the latest first.
    pub(super) fn all(admin: &Admin) -> Vec<Self> {
        let workers = admin.readiness.metrics.workers().iter();
        let mut all: Vec<Failure> = Vec::new();
        for failure in workers.flat_map(|worker| worker.failures.all()) {
            match all.iter_mut().find(|known| known.kind() == failure.kind()) {
                Some(known) => merge(known, failure),
                None => all.push(failure),
            }
        }
        all.sort_by_key(|failure| std::cmp::Reverse(failure.last));
        all.into_iter().map(|one| Self::of(admin, one)).collect()
    }

    fn of(admin: &Admin, failure: Failure) -> Self {
        let links = admin.readiness.links.load();
        let upstream = failure.upstream.and_then(|slot| links.name(slot));
        Self {
            time: moment(failure.last),
            code: failure.code,
            status: failure.status,
            count: failure.count,
            message: failure.message,
            remedy: failure.remedy,
            route: failure.route,
            client: failure.client,
            model: failure.model,
            upstream: upstream.map(str::to_owned),
            request_id: failure.request_id,
        }
    }
}

impl FailureStatus {
    /// For the status page.
    pub(super) fn in_words(&self) -> String {
        let (time, count, route) = (&self.time, self.count, self.route);
        let upstream = self.upstream.as_deref().unwrap_or("no upstream");
        let model = self.model.as_deref().unwrap_or("no model");
        format!(
            "{time}, {count} of this kind: {}; {route}, {}, {model}, {upstream}, request {}; {}",
            self.message, self.client, self.request_id, self.remedy
        )
    }
}

/// A time as it stands in `/status`.
pub(super) fn moment(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

/// Another worker's errors of the same kind.
fn merge(known: &mut Failure, other: Failure) {
    let count = known.count + other.count;
    if other.last > known.last {
        *known = other;
    }
    known.count = count;
}
