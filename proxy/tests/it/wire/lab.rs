//! The rig of the wire tests: an emulator without TLS that remembers every request, and cases that
//! say what comes back and what arrives upstream.

use std::ops::Deref;

use holysheep_emulator::Tls;

use crate::harness::client::{Client, Reply};
use crate::harness::{EMULATOR_KEY, Rig};

/// A path whose answer does not depend on its body.
pub(super) const FILES: &str = "/v1/files";

/// What a client reads, and whether it may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    status: u16,
    error: Option<&'static str>,
    /// `None` if it is the reply's to say.
    open: Option<bool>,
}

/// Upstream's answer, on a connection that stays open.
pub(super) const SERVED: Outcome = Outcome {
    status: 200,
    error: None,
    open: Some(true),
};

/// Not HTTP; nothing that follows on the connection can be trusted.
pub(super) const REFUSED: Outcome = refused(400, "invalid_request");

/// An error of the proxy, after which it closes.
pub(super) const fn refused(status: u16, error: &'static str) -> Outcome {
    Outcome {
        status,
        error: Some(error),
        open: Some(false),
    }
}

/// An error of the proxy about a request whose end is known.
pub(super) const fn declined(status: u16, error: &'static str) -> Outcome {
    Outcome {
        status,
        error: Some(error),
        open: Some(true),
    }
}

impl Outcome {
    /// The same, and the connection ends.
    pub(super) const fn closing(self) -> Self {
        Self {
            open: Some(false),
            ..self
        }
    }

    /// The same, and whether the connection ends depends on how much of the request has come.
    pub(super) const fn perhaps_closing(self) -> Self {
        Self { open: None, ..self }
    }
}

/// How the bytes of a case are sent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sent {
    /// In one write.
    Whole,
    /// Each byte in a write of its own.
    Dripped,
}

/// A request as upstream saw it.
pub(super) type Seen = (String, Vec<u8>);

/// A rig and how much of the emulator's record has been looked at.
pub(super) struct Lab {
    rig: Rig,
}

impl Deref for Lab {
    type Target = Rig;

    fn deref(&self) -> &Rig {
        &self.rig
    }
}

impl Lab {
    pub(super) fn start() -> Self {
        Self::with("")
    }

    pub(super) fn with(yaml: &str) -> Self {
        let plain = |emulator: holysheep_emulator::Builder| emulator.tls(Tls::Plain).record(10_000);
        let rig = Rig::builder().config(yaml).emulator(plain).start();
        Self { rig }
    }

    /// Everything that reached upstream whole since the last look: method with target, and body.
    pub(super) fn seen(&self) -> Vec<Seen> {
        let requests = self.emulator.requests();
        let whole = requests.iter().filter(|request| request.complete);
        let seen = whole.map(|request| {
            let line = format!("{} {}", request.method, request.path_and_query);
            (line, request.body.to_vec())
        });
        let seen = seen.collect();
        self.emulator.reset().unwrap();
        seen
    }

    /// Sends a case on a connection of its own and checks what comes back.
    #[track_caller]
    pub(super) fn check(&self, case: &[u8], sent: Sent, expected: Outcome) -> Reply {
        let mut client = self.client();
        match sent {
            Sent::Whole => client.send(case),
            Sent::Dripped => case.chunks(1).for_each(|byte| client.send(byte)),
        }
        let reply = client.reply();
        let shown = String::from_utf8_lossy(&case[..case.len().min(300)]);
        assert_outcome(
            &mut client,
            &reply,
            expected,
            &format!("{sent:?} {shown:?}"),
        );
        reply
    }

    /// The same, whole and dripped, and nothing may arrive upstream.
    #[track_caller]
    pub(super) fn check_refused(&self, case: &[u8], expected: Outcome) {
        for sent in [Sent::Whole, Sent::Dripped] {
            self.check(case, sent, expected);
            let seen = self.seen();
            let shown = String::from_utf8_lossy(case);
            assert!(seen.is_empty(), "{sent:?} {shown:?} let {seen:?} through");
        }
    }

    /// The same, and exactly these requests arrive upstream.
    #[track_caller]
    pub(super) fn check_served(&self, case: &[u8], expected: Outcome, upstream: &[(&str, &str)]) {
        for sent in [Sent::Whole, Sent::Dripped] {
            self.check(case, sent, expected);
            assert_seen(&self.seen(), upstream, &String::from_utf8_lossy(case));
        }
    }

    /// Nothing is left of any request or connection, and the proxy still answers.
    #[track_caller]
    pub(super) fn assert_quiet(&self) {
        self.wait_metric("holysheep_http_requests_in_flight", 0.0);
        self.wait_metric("holysheep_http_connections", 0.0);
        let active = "holysheep_upstream_connections{upstream=\"holysheep\",state=\"active\"}";
        self.wait_metric(active, 0.0);
        self.wait_stats(|stats| stats.in_flight == 0);
        assert_eq!(self.get("/health").text(), "healthy\n");
    }
}

#[track_caller]
pub(super) fn assert_seen(seen: &[Seen], expected: &[(&str, &str)], about: &str) {
    let seen: Vec<_> = seen
        .iter()
        .map(|(line, body)| (line.as_str(), String::from_utf8_lossy(body)))
        .collect();
    let expected: Vec<_> = expected
        .iter()
        .map(|(line, body)| (*line, (*body).into()))
        .collect();
    assert_eq!(seen, expected, "upstream, after {about:?}");
}

/// Checks a reply, and the connection after it.
#[track_caller]
pub(super) fn assert_outcome(client: &mut Client, reply: &Reply, expected: Outcome, about: &str) {
    assert!(reply.complete, "{about}: {reply:?}");
    let got = (reply.status, reply.error());
    assert_eq!(got, (expected.status, expected.error), "{about}: {reply:?}");
    let announced = reply.header("connection") == Some("close");
    let open = expected.open.unwrap_or(!announced);
    assert_eq!(announced, !open, "{about}: {reply:?}");
    if open {
        let key = format!("Bearer {EMULATOR_KEY}");
        let next = client.request("GET", "/health", &[("authorization", &key)], b"");
        assert_eq!(next.text(), "healthy\n", "{about}: {next:?}");
    } else {
        let rest = client.rest();
        let rest = String::from_utf8_lossy(&rest);
        assert!(
            rest.is_empty(),
            "{about}: more after the last answer: {rest:?}"
        );
    }
}

/// A `POST` that upstream answers whatever its body is.
pub(super) fn post(fields: &str, body: &str) -> Vec<u8> {
    format!("POST {FILES} HTTP/1.1\r\nhost: proxy.test\r\n{fields}\r\n{body}").into_bytes()
}

/// The field with the key the emulator wants, for `auth: passthrough`.
pub(super) fn key_field() -> String {
    format!("authorization: Bearer {EMULATOR_KEY}\r\n")
}
