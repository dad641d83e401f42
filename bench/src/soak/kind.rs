//! Kinds of clients: how they speak, and what they ask for.

use super::site::Keys;

/// A kind of client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// HTTP/1.1, answers in one piece.
    Plain,
    /// HTTP/1.1, streams.
    Streamed,
    /// HTTP/1.1, leaves within a stream.
    Leaving,
    /// A connection for each request.
    Short,
    /// h2 with prior knowledge.
    H2,
    /// The same, leaves within streams.
    H2Leaving,
    /// HTTP/1.1 over TLS.
    Tls,
    /// h2 over TLS.
    TlsH2,
    /// Other paths: embeddings, messages, models, and an upstream that is spoken to in h2.
    Other,
    /// Keys that are not known, or none.
    BadKey,
    /// More than its limits allow.
    OverLimit,
    /// What the proxy refuses.
    Refused,
    /// What is no request.
    Raw,
    /// Nothing.
    Idle,
}

/// A request before it is one.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) body: Vec<u8>,
    pub(super) key: String,
    pub(super) is_stream: bool,
    /// Answers that are right.
    pub(super) right: &'static [&'static str],
}

/// The clients of a proxy.
pub(super) const CLIENTS: [Kind; 26] = [
    Kind::Plain,
    Kind::Plain,
    Kind::Plain,
    Kind::Plain,
    Kind::Streamed,
    Kind::Streamed,
    Kind::Streamed,
    Kind::Streamed,
    Kind::Leaving,
    Kind::Leaving,
    Kind::Short,
    Kind::Short,
    Kind::H2,
    Kind::H2,
    Kind::H2Leaving,
    Kind::Tls,
    Kind::Tls,
    Kind::TlsH2,
    Kind::TlsH2,
    Kind::Other,
    Kind::BadKey,
    Kind::OverLimit,
    Kind::Refused,
    Kind::Raw,
    Kind::Idle,
    Kind::Idle,
];

const CHAT: &str = "/v1/chat/completions";
const RIGHT: &[&str] = &["200"];

impl Kind {
    /// Its name in tables.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Streamed => "streamed",
            Self::Leaving => "leaving",
            Self::Short => "short",
            Self::H2 => "h2",
            Self::H2Leaving => "h2, leaving",
            Self::Tls => "tls",
            Self::TlsH2 => "tls, h2",
            Self::Other => "other paths",
            Self::BadKey => "bad key",
            Self::OverLimit => "over limit",
            Self::Refused => "refused",
            Self::Raw => "no request",
            Self::Idle => "idle",
        }
    }

    pub(super) fn is_tls(self) -> bool {
        matches!(self, Self::Tls | Self::TlsH2)
    }

    pub(super) fn is_h2(self) -> bool {
        matches!(self, Self::H2 | Self::H2Leaving | Self::TlsH2)
    }

    /// Whether its requests may ask for faults.
    pub(super) fn has_faults(self) -> bool {
        matches!(
            self,
            Self::Plain | Self::Streamed | Self::H2 | Self::Tls | Self::TlsH2
        )
    }

    /// Whether it leaves before an answer is whole.
    pub(super) fn leaves(self) -> bool {
        matches!(self, Self::Leaving | Self::H2Leaving)
    }

    /// Whether it has a connection for each request.
    pub(super) fn is_short(self) -> bool {
        self == Self::Short
    }

    /// What it asks for next.
    pub(super) fn ask(self, random: &mut fastrand::Rng, keys: &Keys) -> Ask {
        let usual = || keys.usual.clone();
        let is_stream = match self {
            Self::Plain | Self::Other | Self::BadKey | Self::OverLimit | Self::Refused => false,
            Self::Streamed | Self::Leaving | Self::H2Leaving => true,
            _ => random.bool(),
        };
        let chat = |model: &str, key: String, right| Ask {
            method: "POST",
            path: CHAT,
            body: chat(model, is_stream, if self.leaves() { 200 } else { 8 }),
            key,
            is_stream,
            right,
        };
        match self {
            Self::Other => other(random, usual()),
            Self::Refused => refused(random, keys),
            Self::BadKey => {
                let unknown = "hs-AAAAAAAAAAAA-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
                let bad = ["", "nonsense", unknown][random.usize(..3)];
                chat("soak-a", bad.to_owned(), &["401 `invalid_api_key`"])
            }
            Self::OverLimit => {
                let right = &["200", "429 `rate_limit_exceeded`"];
                chat("soak-a", keys.limited.clone(), right)
            }
            _ => {
                let model = ["soak-a", "soak-a", "soak-b", "alias"][random.usize(..4)];
                chat(model, usual(), RIGHT)
            }
        }
    }
}

fn chat(model: &str, is_stream: bool, tokens: u32) -> Vec<u8> {
    format!(
        r#"{{"model":"{model}","max_tokens":{tokens},"stream":{is_stream},"messages":[{{"role":"user","content":"hello"}}]}}"#
    )
    .into_bytes()
}

fn other(random: &mut fastrand::Rng, key: String) -> Ask {
    let (method, path, body): (_, _, &str) = match random.u8(..5) {
        0 => ("GET", "/v1/models", ""),
        1 => (
            "POST",
            "/v1/embeddings",
            r#"{"model":"soak-a","input":"hello"}"#,
        ),
        2 => (
            "POST",
            "/v1/messages",
            r#"{"model":"soak-b","max_tokens":4,"messages":[{"role":"user","content":"hello"}]}"#,
        ),
        3 => (
            "POST",
            CHAT,
            r#"{"model":"h2-a","max_tokens":4,"messages":[{"role":"user","content":"hello"}]}"#,
        ),
        _ => ("GET", "/v1/rate_limit", ""),
    };
    Ask {
        method,
        path,
        body: body.as_bytes().to_vec(),
        key,
        is_stream: false,
        right: RIGHT,
    }
}

fn refused(random: &mut fastrand::Rng, keys: &Keys) -> Ask {
    let (method, path, body, right): (_, _, _, &[&str]) = match random.u8(..4) {
        0 => ("GET", "/v1/nothing", Vec::new(), &["404 `unknown_route`"]),
        1 => ("DELETE", CHAT, Vec::new(), &["405 `method_not_allowed`"]),
        2 => (
            "POST",
            CHAT,
            chat("gpt", false, 1),
            &["403 `model_not_allowed`"],
        ),
        _ => (
            "POST",
            CHAT,
            vec![b' '; 3 << 20],
            &["413 `request_too_large`"],
        ),
    };
    Ask {
        method,
        path,
        body,
        key: keys.listed.clone(),
        is_stream: false,
        right,
    }
}
