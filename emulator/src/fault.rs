//! What the emulator can do wrong, and for how long.
//!
//! [`Fault`] is a typed description; `fault/parse.rs` reads it from text, `fault/active.rs` keeps
//! what is in force, `fault/shape.rs` acts on answer bodies and `fault/wire.rs` below HTTP.
//! The request path in `exchange.rs` asks for the fault of a request, `server/connection.rs` for
//! the fault of a connection.

pub(crate) mod active;
mod parse;
pub(crate) mod shape;
pub(crate) mod wire;

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

pub use parse::{FaultError, GRAMMAR};
pub(crate) use parse::{Scoped, of_request, scoped};

/// Request header that asks for a [`Fault`] for this request alone; see [`GRAMMAR`].
pub const FAULT_HEADER: &str = "x-emulator-fault";

/// One way to misbehave. Names in the text form are given in [`GRAMMAR`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The port is closed: connection attempts get ECONNREFUSED. Only with [`FaultScope::Until`]
    /// or [`FaultScope::Always`], since nobody can count attempts the kernel answers.
    Refuse,
    /// A connection is accepted and then reset (RST) before any byte.
    ResetOnAccept,
    /// The TLS handshake is left unanswered for `pause`, for ever if `None`.
    StallHandshake {
        /// How long; `None` is until the peer gives up.
        pause: Option<Duration>,
    },
    /// The certificate presented ended yesterday.
    ExpiredCertificate,
    /// The certificate presented is for [`crate::tls::WRONG_NAME`] only.
    WrongNameCertificate,
    /// The connection is reset (RST, by `SO_LINGER` 0) once the request is read. Under h2 a reset
    /// within the body is preceded by one of the stream.
    Reset {
        /// Body bytes of the answer to send first; `None` sends not even the head.
        after: Option<u64>,
    },
    /// The request is read and then nothing is sent for `pause`.
    StallBeforeHeaders {
        /// How long; `None` is until the peer gives up.
        pause: Option<Duration>,
    },
    /// The head is sent and then nothing for `pause`.
    StallAfterHeaders {
        /// How long; `None` is until the peer gives up.
        pause: Option<Duration>,
    },
    /// The connection is closed (FIN) after `after` body bytes: a chunked body ends without its
    /// last chunk, any other is shorter than announced. Under h2 the stream is reset instead.
    Cut {
        /// Body bytes sent; an answer that is not longer than this is sent whole.
        after: u64,
    },
    /// The body is sent one byte at a time.
    Drip {
        /// Time between two bytes.
        interval: Duration,
    },
    /// An error answer in the dialect of the route.
    Status {
        /// 400 to 599.
        status: u16,
        /// What its fields say about another attempt.
        hints: RetryHints,
    },
    /// A well-formed JSON answer of this size.
    OversizedBody {
        /// Body length, at least 16.
        bytes: u64,
    },
    /// The usual answer with padding fields in its head, 8,000 bytes each.
    OversizedHeaders {
        /// Padding in total.
        bytes: u64,
    },
    /// Bytes that are not HTTP.
    Malformed(Malformation),
    /// An error answer before the request body is read; the connection ends after it.
    EarlyResponse {
        /// 400 to 599.
        status: u16,
    },
    /// The connection is closed, unannounced, after this many answers counting from this request.
    CloseAfter {
        /// At least 1.
        requests: u64,
    },
    /// The connection is closed once it has been idle for some time.
    CloseIdle {
        /// Idle time: each connection draws its own, uniformly, from the builder's seed.
        after: RangeInclusive<Duration>,
    },
}

/// Fields of an error answer that tell a client whether and when to try again; none unless set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetryHints {
    /// Value of `retry-after`, seconds.
    pub after: Option<u32>,
    /// Value of `retry-after-ms`, which OpenAI's clients prefer; milliseconds.
    pub after_ms: Option<u64>,
    /// Value of `x-should-retry`, which they obey before anything else.
    pub should_retry: Option<bool>,
}

/// How an answer violates RFC 9112. Under h2 each is a DATA frame on stream 0, a connection error
/// by RFC 9113 section 6.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformation {
    /// A status line without a status.
    StatusLine,
    /// A chunk size that is not hexadecimal.
    ChunkSize,
    /// Both `Content-Length` and `Transfer-Encoding: chunked` (RFC 9112 section 6.3).
    LengthAndChunked,
}

/// How long a fault set on the emulator is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultScope {
    /// For the next n requests, or connections if the fault is one of connections.
    Next(u64),
    /// For this long from now.
    Until(Duration),
    /// Until it is cleared.
    Always,
}

/// Where in the life of a connection a fault acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Listener,
    Accept,
    Handshake,
    Request,
}

impl Fault {
    /// An error answer without hints.
    pub fn status(status: u16) -> Self {
        Self::Status {
            status,
            hints: RetryHints::default(),
        }
    }

    /// Closes connections that have been idle for exactly this long.
    pub fn close_idle(after: Duration) -> Self {
        Self::CloseIdle {
            after: after..=after,
        }
    }

    pub(crate) fn stage(&self) -> Stage {
        match self {
            Self::Refuse => Stage::Listener,
            Self::ResetOnAccept => Stage::Accept,
            Self::StallHandshake { .. } | Self::ExpiredCertificate | Self::WrongNameCertificate => {
                Stage::Handshake
            }
            Self::Reset { .. }
            | Self::StallBeforeHeaders { .. }
            | Self::StallAfterHeaders { .. }
            | Self::Cut { .. }
            | Self::Drip { .. }
            | Self::Status { .. }
            | Self::OversizedBody { .. }
            | Self::OversizedHeaders { .. }
            | Self::Malformed(_)
            | Self::EarlyResponse { .. }
            | Self::CloseAfter { .. }
            | Self::CloseIdle { .. } => Stage::Request,
        }
    }
}

impl fmt::Display for Fault {
    /// The text form, which parses back to the same fault.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stall = |f: &mut fmt::Formatter<'_>, name: &str, pause: &Option<Duration>| match pause {
            Some(pause) => write!(f, "{name};ms={}", pause.as_millis()),
            None => f.write_str(name),
        };
        match self {
            Self::Refuse => f.write_str("refuse"),
            Self::ResetOnAccept => f.write_str("reset-on-accept"),
            Self::StallHandshake { pause } => stall(f, "stall-handshake", pause),
            Self::ExpiredCertificate => f.write_str("expired-certificate"),
            Self::WrongNameCertificate => f.write_str("wrong-name-certificate"),
            Self::Reset { after: None } => f.write_str("reset"),
            Self::Reset { after: Some(bytes) } => write!(f, "reset;after={bytes}"),
            Self::StallBeforeHeaders { pause } => stall(f, "stall-before-headers", pause),
            Self::StallAfterHeaders { pause } => stall(f, "stall-after-headers", pause),
            Self::Cut { after } => write!(f, "cut;after={after}"),
            Self::Drip { interval } => write!(f, "drip;ms={}", interval.as_millis()),
            Self::Status { status, hints } => write!(f, "status;code={status}{hints}"),
            Self::OversizedBody { bytes } => write!(f, "oversized-body;bytes={bytes}"),
            Self::OversizedHeaders { bytes } => write!(f, "oversized-headers;bytes={bytes}"),
            Self::Malformed(kind) => write!(f, "malformed;kind={}", kind.name()),
            Self::EarlyResponse { status } => write!(f, "early-response;code={status}"),
            Self::CloseAfter { requests } => write!(f, "close-after;requests={requests}"),
            Self::CloseIdle { after } => {
                let (from, to) = (after.start().as_millis(), after.end().as_millis());
                write!(f, "close-idle;ms={from}")?;
                if from == to {
                    return Ok(());
                }
                write!(f, "..{to}")
            }
        }
    }
}

impl fmt::Display for RetryHints {
    /// As keys of the text form.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(seconds) = self.after {
            write!(f, ";retry-after={seconds}")?;
        }
        if let Some(ms) = self.after_ms {
            write!(f, ";retry-after-ms={ms}")?;
        }
        match self.should_retry {
            Some(retry) => write!(f, ";should-retry={retry}"),
            None => Ok(()),
        }
    }
}

impl Malformation {
    pub(crate) const ALL: [Self; 3] = [Self::StatusLine, Self::ChunkSize, Self::LengthAndChunked];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::StatusLine => "status-line",
            Self::ChunkSize => "chunk-size",
            Self::LengthAndChunked => "length-and-chunked",
        }
    }
}
