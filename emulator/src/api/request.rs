//! The fields of request bodies that answers depend on, for all endpoints in one type.
//!
//! Texts are measured while they are parsed and not kept: a prompt of megabytes costs no allocation.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::tools::{self, Choice, Tool};

/// Tokens of an answer when the request sets no limit.
const DEFAULT_COMPLETION: u64 = 16;

/// More than any model writes; keeps a mistyped limit from filling the memory.
const MAX_COMPLETION: u64 = 131_072;

/// A request body; what an endpoint does not know stays at its default.
#[derive(Deserialize)]
pub(crate) struct Request<'a> {
    #[serde(borrow, default)]
    pub(crate) model: Cow<'a, str>,
    pub(crate) stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    max_output_tokens: Option<u64>,
    #[serde(default)]
    messages: Text,
    #[serde(default)]
    system: Text,
    #[serde(default)]
    instructions: Text,
    #[serde(default)]
    prompt: Text,
    #[serde(default)]
    query: Text,
    #[serde(default)]
    pub(crate) input: Text,
    #[serde(default)]
    pub(crate) documents: Text,
    pub(crate) dimensions: Option<usize>,
    encoding_format: Option<Encoding>,
    #[serde(borrow)]
    tools: Option<Vec<Tool<'a>>>,
    tool_choice: Option<Choice>,
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    Float,
    Base64,
}

impl Request<'_> {
    pub(crate) fn prompt_tokens(&self) -> u64 {
        let texts = [
            &self.messages,
            &self.system,
            &self.instructions,
            &self.prompt,
            &self.query,
            &self.input,
            &self.documents,
        ];
        let bytes: u64 = texts.iter().map(|text| text.bytes).sum();
        bytes.div_ceil(4)
    }

    /// The tool that the answer has to call: the first, unless the request wants none called or its newest message brings what
    /// one has given back.
    pub(crate) fn tool_to_call(&self) -> Option<&str> {
        let wants_none = self.tool_choice.as_ref().is_some_and(Choice::is_none);
        let mut texts = [&self.messages, &self.input].into_iter();
        if wants_none || texts.any(|text| text.result == Some(true)) {
            return None;
        }
        let name = self.tools.as_ref()?.first()?.name();
        (!name.is_empty()).then_some(name)
    }

    pub(crate) fn completion_tokens(&self) -> u64 {
        if self.tool_to_call().is_some() {
            return tools::TOKENS;
        }
        let limit = self.limit().unwrap_or(DEFAULT_COMPLETION);
        limit.min(MAX_COMPLETION)
    }

    /// Whether the answer ends because of the request's limit, as its finish reason has to say. A call never does.
    pub(crate) fn is_limited(&self) -> bool {
        self.limit().is_some() && self.tool_to_call().is_none()
    }

    pub(crate) fn streams(&self) -> bool {
        self.stream == Some(true)
    }

    pub(crate) fn includes_usage(&self) -> bool {
        let options = self.stream_options.as_ref();
        options.and_then(|options| options.include_usage) == Some(true)
    }

    pub(crate) fn wants_base64(&self) -> bool {
        self.encoding_format == Some(Encoding::Base64)
    }

    fn limit(&self) -> Option<u64> {
        self.max_completion_tokens
            .or(self.max_tokens)
            .or(self.max_output_tokens)
    }
}

/// The size of a text given as string, list of strings, list of content parts, list of messages or
/// list of tokens.
#[derive(Default)]
pub(crate) struct Text {
    /// UTF-8 bytes; a token given as number counts 4.
    pub(crate) bytes: u64,
    /// Separate texts: 1 for a string or a list of tokens, else the length of the list.
    pub(crate) items: usize,
    is_token: bool,
    /// Whether the newest message in it brings a tool's result, if there are messages.
    result: Option<bool>,
    /// It is the word for such a message.
    is_result_word: bool,
}

/// How results of tools are called: a role of chat completions, a type of Anthropic's parts and of the items of responses.
const RESULT_WORDS: [&str; 3] = ["tool", "tool_result", "function_call_output"];

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Measure)
    }
}

struct Measure;

impl<'de> Visitor<'de> for Measure {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a list of texts, messages or tokens")
    }

    fn visit_str<E>(self, text: &str) -> Result<Text, E> {
        Ok(Text {
            bytes: text.len() as u64,
            items: 1,
            is_result_word: RESULT_WORDS.contains(&text),
            ..Text::default()
        })
    }

    fn visit_u64<E>(self, _token: u64) -> Result<Text, E> {
        Ok(Text {
            bytes: 4,
            items: 1,
            is_token: true,
            ..Text::default()
        })
    }

    // Null is no text; so is whatever a future API may put here.
    fn visit_unit<E>(self) -> Result<Text, E> {
        Ok(Text::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Text, E> {
        Ok(Text::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Text, E> {
        Ok(Text::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Text, E> {
        Ok(Text::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Text, A::Error> {
        let mut whole = Text::default();
        let mut tokens = false;
        while let Some(text) = list.next_element::<Text>()? {
            whole.bytes += text.bytes;
            whole.items += 1;
            tokens |= text.is_token;
            whole.result = text.result.or(whole.result);
        }
        if tokens {
            whole.items = 1;
        }
        Ok(whole)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text, A::Error> {
        let mut whole = Text {
            items: 1,
            ..Text::default()
        };
        let (mut brings_result, mut is_message) = (false, false);
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match &*key {
                "content" | "text" | "input" | "output" => {
                    let text = map.next_value::<Text>()?;
                    whole.bytes += text.bytes;
                    brings_result |= text.result == Some(true);
                }
                "role" | "type" => {
                    brings_result |= map.next_value::<Text>()?.is_result_word;
                    is_message |= key == "role";
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        // A part of a message that brings none says nothing of the message.
        whole.result = (brings_result || is_message).then_some(brings_result);
        Ok(whole)
    }
}

#[cfg(test)]
mod tests;
