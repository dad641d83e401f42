//! Whether an answer calls a tool, and the call: always the same arguments, for the first tool there is.
//!
//! `request.rs` reads a [`Tool`] and a [`Choice`] from a body; the endpoints write [`ARGUMENTS`].

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;

/// The arguments of every call, one piece to the token.
pub(super) const ARGUMENTS: [&str; 5] = ["{\"", "place", "\":\"", "Paris", "\"}"];

/// Tokens of an answer that is a call.
pub(super) const TOKENS: u64 = ARGUMENTS.len() as u64;

/// The arguments in one piece.
pub(super) fn arguments() -> String {
    ARGUMENTS.concat()
}

/// Piece `n` of the arguments, from 0.
pub(super) fn piece(n: u64) -> &'static str {
    let piece = usize::try_from(n).ok().and_then(|n| ARGUMENTS.get(n));
    piece.copied().unwrap_or_default()
}

/// One of a request's `tools`, in any of the three forms: chat completions have the name one level down.
#[derive(Deserialize)]
pub(super) struct Tool<'a> {
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    function: Option<Function<'a>>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow, default)]
    name: Cow<'a, str>,
}

impl Tool<'_> {
    /// Empty for a tool without a name, which a model would not call either.
    pub(super) fn name(&self) -> &str {
        match &self.function {
            Some(function) => &function.name,
            None => &self.name,
        }
    }
}

/// `tool_choice`: a word in OpenAI's dialect, unless it names a tool; an object in Anthropic's.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Choice {
    Word(String),
    Kind {
        #[serde(rename = "type")]
        kind: String,
    },
    Other(IgnoredAny),
}

impl Choice {
    pub(super) fn is_none(&self) -> bool {
        match self {
            Self::Word(word) | Self::Kind { kind: word } => word == "none",
            Self::Other(_) => false,
        }
    }
}
