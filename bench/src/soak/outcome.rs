//! What a request came to, in a few words, and the book of all of them.
//!
//! The words are those of the table in docs/resilience.md, so that what is expected can be read there. Whoever sends a request
//! says which answers are right; what goes on meanwhile may allow others ([`Window`]). All else is unexpected, and kept.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::Serialize;

use super::client::Answer;

/// Nothing came back, or no connection could be made.
pub(super) const NOTHING: &str = "no answer";
/// An h2 stream was reset by the proxy before the head of its answer: what is left of an answer that breaks off at once,
/// since h2 drops what waits to be sent of a stream that is reset.
pub(super) const RESET: &str = "stream reset";
/// The list of models is asked of the first upstream alone, and a process that begins while that is away has none yet.
pub(super) const NO_LIST: &str = "502 `upstream_connect_failed` for a list of models";
/// An answer of upstream's was to be bettered by another attempt, and that one could not connect: its error is what the
/// client gets, and the answer is gone.
pub(super) const LATER: &str = "`upstream_connect_…` of a later attempt";
/// The client left before the answer was whole.
pub(super) const LEFT: &str = "left";

/// How many kinds of unexpected results are kept.
const KEPT: usize = 40;

/// What an answer is.
pub(super) fn describe(answer: &Answer, is_stream: bool) -> String {
    let status = answer.status;
    match &answer.error {
        Some(code) => return format!("{status} `{code}`"),
        None if status >= 400 && answer.is_complete => return format!("{status} of upstream's"),
        None if !answer.is_complete => return format!("{status}, broken off"),
        None if !is_stream => return status.to_string(),
        None => {}
    }
    let text = String::from_utf8_lossy(&answer.body);
    if text.ends_with("data: [DONE]\n\n") {
        return status.to_string();
    }
    let code = text.rsplit_once("\"code\":\"").map(|(_, rest)| rest);
    match code.and_then(|rest| rest.split('"').next()) {
        Some(code) => format!("{status}, then `{code}` as an event"),
        None => format!("{status}, a stream without an end"),
    }
}

/// A time in which more is allowed than else.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) from: Instant,
    /// `None` while it lasts.
    pub(super) until: Option<Instant>,
    /// The proxy whose requests it is about; all if `None`.
    pub(super) line: Option<usize>,
    pub(super) allows: &'static [&'static str],
}

impl Window {
    fn touches(&self, line: usize, begun: Instant, ended: Instant) -> bool {
        self.line.is_none_or(|own| own == line)
            && self.from <= ended
            && self.until.is_none_or(|until| begun <= until)
    }
}

/// A result nobody expected: the first of its kind, and how many there were.
#[derive(Debug, Serialize)]
pub(super) struct Unexpected {
    client: &'static str,
    fault: &'static str,
    outcome: String,
    count: u64,
    /// Of the first and the last one, seconds since the soak began.
    first_s: f64,
    last_s: f64,
    /// Of the first one.
    id: String,
    detail: String,
}

impl std::fmt::Display for Unexpected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let fault = match self.fault {
            "" => String::new(),
            fault => format!(" with {fault}"),
        };
        write!(
            f,
            "{} × {}{fault}: {}, {:.1} to {:.1} s, the first of them {}",
            self.count, self.client, self.outcome, self.first_s, self.last_s, self.id
        )?;
        match self.detail.as_str() {
            "" => Ok(()),
            detail => write!(f, " ({detail})"),
        }
    }
}

/// A request, as far as the book has to know it.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) client: &'static str,
    pub(super) line: usize,
    pub(super) id: String,
    pub(super) fault: &'static str,
    pub(super) begun: Instant,
}

/// The book.
#[derive(Debug)]
pub(super) struct Book {
    begun: Instant,
    windows: Vec<Window>,
    /// By kind of client, line and outcome.
    pub(super) counts: BTreeMap<(&'static str, usize, String), u64>,
    pub(super) requests: u64,
    /// Requests sent again by their clients, since their connection was closed before an answer had begun.
    pub(super) repeated: u64,
    pub(super) unexpected: Vec<Unexpected>,
    pub(super) unexpected_count: u64,
}

impl Book {
    pub(super) fn new(begun: Instant) -> Self {
        Self {
            begun,
            windows: Vec::new(),
            counts: BTreeMap::new(),
            requests: 0,
            repeated: 0,
            unexpected: Vec::new(),
            unexpected_count: 0,
        }
    }

    /// Opens a window; the number to close it by.
    pub(super) fn open(&mut self, line: Option<usize>, allows: &'static [&'static str]) -> usize {
        self.windows.push(Window {
            from: Instant::now(),
            until: None,
            line,
            allows,
        });
        self.windows.len() - 1
    }

    /// Closes it at a time that may be to come.
    pub(super) fn close(&mut self, window: usize, at: Instant) {
        if let Some(window) = self.windows.get_mut(window) {
            window.until = Some(at);
        }
    }

    /// Closes all that are open.
    pub(super) fn close_all(&mut self, at: Instant) {
        let open = self
            .windows
            .iter_mut()
            .filter(|window| window.until.is_none());
        open.for_each(|window| window.until = Some(at));
    }

    /// Notes a result.
    pub(super) fn note(&mut self, sent: &Sent, right: &[&str], outcome: &str, detail: &str) {
        self.requests += 1;
        let key = (sent.client, sent.line, outcome.to_owned());
        *self.counts.entry(key).or_default() += 1;
        if !right.contains(&outcome) && !self.allows(sent, outcome) {
            self.object(sent, outcome, detail);
        }
    }

    /// Whether what goes on allows for this.
    pub(super) fn allows(&self, sent: &Sent, outcome: &str) -> bool {
        let now = Instant::now();
        let mut touched = self.windows.iter().rev();
        touched.any(|window| {
            window.touches(sent.line, sent.begun, now) && window.allows.contains(&outcome)
        })
    }

    /// Keeps what must not be.
    pub(super) fn object(&mut self, sent: &Sent, outcome: &str, detail: &str) {
        self.unexpected_count += 1;
        let at_s = self.begun.elapsed().as_secs_f64();
        let kind = (sent.client, sent.fault, outcome);
        let mut known = self.unexpected.iter_mut();
        if let Some(known) = known.find(|own| (own.client, own.fault, &*own.outcome) == kind) {
            known.count += 1;
            known.last_s = at_s;
        } else if self.unexpected.len() < KEPT {
            self.unexpected.push(Unexpected {
                client: sent.client,
                fault: sent.fault,
                outcome: outcome.to_owned(),
                count: 1,
                first_s: at_s,
                last_s: at_s,
                id: sent.id.clone(),
                detail: detail.to_owned(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status,
            error: None,
            is_complete: true,
            closes: false,
            body: body.as_bytes().to_vec(),
        }
    }

    #[test]
    fn answers_are_told_apart() {
        assert_eq!(describe(&answer(200, "{}"), false), "200");
        assert_eq!(describe(&answer(200, "data: [DONE]\n\n"), true), "200");
        assert_eq!(describe(&answer(503, "{}"), true), "503 of upstream's");
        let within = "data: {}\n\ndata: {\"error\":{\"code\":\"upstream_closed\"}}\n\n";
        let said = "200, then `upstream_closed` as an event";
        assert_eq!(describe(&answer(200, within), true), said);
        let said = "200, a stream without an end";
        assert_eq!(describe(&answer(200, "data: {}\n\n"), true), said);
        let mut broken = answer(200, "");
        broken.is_complete = false;
        assert_eq!(describe(&broken, true), "200, broken off");
    }

    #[test]
    fn a_window_allows_what_touches_it_and_nothing_else() {
        let mut book = Book::new(Instant::now());
        let sent = |line| Sent {
            client: "plain",
            line,
            id: String::new(),
            fault: "",
            begun: Instant::now(),
        };
        book.note(&sent(0), &["200"], "200", "");
        assert_eq!(book.unexpected_count, 0);
        let window = book.open(Some(1), &[NOTHING]);
        book.note(&sent(1), &["200"], NOTHING, "");
        assert_eq!(book.unexpected_count, 0);
        book.note(&sent(0), &["200"], NOTHING, "");
        assert_eq!(book.unexpected_count, 1);
        book.note(&sent(1), &["200"], "500 of upstream's", "");
        assert_eq!(book.unexpected_count, 2);
        book.close(window, Instant::now());
        let late = sent(1);
        book.note(&late, &["200"], NOTHING, "");
        assert_eq!(book.unexpected_count, 3);
        let counts: Vec<_> = book.unexpected.iter().map(|own| own.count).collect();
        assert_eq!(counts, [2, 1]);
        assert_eq!(book.counts[&("plain", 1, NOTHING.to_owned())], 2);
    }
}
