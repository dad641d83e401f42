//! The last errors of a worker, one of each kind, for `/status` and its page: counters say how many, and this who, where and why.
//!
//! Under a flood of errors a kind is there after the first one: all further ones cost a comparison with those kept, a look at the
//! clock and a copy of the request id.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::error::ProxyError;

/// Kinds that are kept; the one that was seen longest ago goes first.
const KEPT: usize = 24;
/// Bytes of what clients choose.
const LONGEST: usize = 128;
/// A message is made anew after this time at the earliest: making one takes longer than all else here.
const MESSAGE_AGE: Duration = Duration::from_secs(1);

/// What tells one kind from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind<'a> {
    /// The error's code.
    pub code: &'static str,
    /// The route's template.
    pub route: &'static str,
    /// The client's name.
    pub client: &'a str,
    /// The model that was asked for, if that was seen.
    pub model: Option<&'a str>,
    /// The position of the upstream it was sent to, if it was.
    pub upstream: Option<usize>,
}

/// Errors of one kind.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The error's code.
    pub code: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
    /// What it was answered with, had the answer not begun.
    pub status: u16,
    /// The route's template.
    pub route: &'static str,
    /// The client's name.
    pub client: Box<str>,
    /// The model that was asked for.
    pub model: Option<Box<str>>,
    /// The position of the upstream it was sent to.
    pub upstream: Option<usize>,
    /// What one of the last was told.
    pub message: String,
    made: SystemTime,
    /// The last one's.
    pub request_id: String,
    /// How many there were.
    pub count: u64,
    /// When the last one was.
    pub last: SystemTime,
}

/// The last errors.
#[derive(Debug, Default)]
pub struct Failures(Mutex<Vec<Failure>>);

impl Failures {
    /// Notes an error, unless somebody reads at this moment: a worker does not wait.
    pub fn note(&self, kind: Kind<'_>, error: &ProxyError, request_id: &[u8]) {
        let Ok(mut kept) = self.0.try_lock() else {
            return;
        };
        let now = SystemTime::now();
        let kind = kind.cut();
        let index = match kept.iter().position(|failure| failure.kind() == kind) {
            Some(index) => index,
            None => {
                if kept.len() >= KEPT {
                    let oldest = kept.iter().enumerate().min_by_key(|(_, one)| one.last);
                    let oldest = oldest.map_or(0, |(index, _)| index);
                    kept.swap_remove(oldest);
                }
                kept.push(Failure::new(kind, error, now));
                kept.len() - 1
            }
        };
        if let Some(failure) = kept.get_mut(index) {
            failure.happened(error, request_id, now);
        }
    }

    /// Those that are kept.
    pub fn all(&self) -> Vec<Failure> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clone()
    }
}

impl Kind<'_> {
    /// The same, and no longer than what is kept of it.
    fn cut(self) -> Self {
        Self {
            model: self.model.map(|model| {
                let end = model.floor_char_boundary(LONGEST);
                model.get(..end).unwrap_or_default()
            }),
            ..self
        }
    }
}

impl Failure {
    fn new(kind: Kind<'_>, error: &ProxyError, now: SystemTime) -> Self {
        Self {
            code: kind.code,
            remedy: error.remedy(),
            status: error.class().status,
            route: kind.route,
            client: kind.client.into(),
            model: kind.model.map(Into::into),
            upstream: kind.upstream,
            message: String::new(),
            made: now,
            request_id: String::new(),
            count: 0,
            last: now,
        }
    }

    /// Its kind.
    pub fn kind(&self) -> Kind<'_> {
        Kind {
            code: self.code,
            route: self.route,
            client: &self.client,
            model: self.model.as_deref(),
            upstream: self.upstream,
        }
    }

    fn happened(&mut self, error: &ProxyError, request_id: &[u8], now: SystemTime) {
        let age = now.duration_since(self.made).unwrap_or_default();
        if self.count == 0 || age >= MESSAGE_AGE {
            self.message = error.to_string();
            self.made = now;
        }
        let id = request_id.get(..LONGEST).unwrap_or(request_id);
        self.request_id.clear();
        self.request_id.push_str(&String::from_utf8_lossy(id));
        self.count += 1;
        self.last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Kind<'_> = Kind {
        code: "overloaded",
        route: "/v1/models",
        client: "team-a",
        model: None,
        upstream: None,
    };

    fn of_model(model: &str) -> Kind<'_> {
        Kind {
            model: Some(model),
            ..KIND
        }
    }

    #[test]
    fn errors_of_one_kind_are_one_entry() {
        let failures = Failures::default();
        for id in ["one", "two"] {
            failures.note(KIND, &ProxyError::Overloaded, id.as_bytes());
        }
        failures.note(of_model("m"), &ProxyError::Overloaded, b"three");
        let all = failures.all();
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].count, &*all[0].request_id), (2, "two"));
        assert_eq!(all[0].message, ProxyError::Overloaded.to_string());
        assert_eq!(all[0].remedy, ProxyError::Overloaded.remedy());
        assert_eq!(all[1].model.as_deref(), Some("m"));
    }

    #[test]
    fn what_clients_make_up_has_an_end() {
        let failures = Failures::default();
        for number in 0..10 * KEPT {
            let model = format!("{number}-{}", "ä".repeat(LONGEST));
            failures.note(of_model(&model), &ProxyError::Overloaded, &[0xff; 1000]);
        }
        let all = failures.all();
        assert_eq!(all.len(), KEPT);
        for failure in &all {
            assert!(failure.model.as_deref().unwrap().len() <= LONGEST);
            // Three bytes stand for each that is no text.
            assert!(failure.request_id.len() <= 3 * LONGEST);
        }
        let last = format!("{}-", 10 * KEPT - 1);
        let is_last = |one: &Failure| one.model.as_deref().unwrap().starts_with(&last);
        assert!(all.iter().any(is_last));
    }

    #[test]
    fn a_worker_does_not_wait_for_a_reader() {
        let failures = Failures::default();
        let reading = failures.0.lock().unwrap();
        failures.note(KIND, &ProxyError::Overloaded, b"");
        drop(reading);
        assert!(failures.all().is_empty());
    }
}
