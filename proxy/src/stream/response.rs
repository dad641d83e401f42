//! Finds in a response's body, while it passes, what was used, which model answered, when the first output came and
//! whether an error stands in the stream.
//!
//! One JSON document, or a stream of events with one in each (`events.rs`). Whatever the dialect: the names of OpenAI's
//! chat completions, completions, embeddings and responses, and those of Anthropic's messages do not contradict each other.

use super::events::{Events, Line};
use super::json::{Scanner, Schema, Visitor};
use super::usage::Usage;

/// Where the values of a response stand that say something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The document.
    Root,
    /// `response` or `message` of an event: a document within it.
    Inner,
    /// `model`
    Model,
    /// `usage`
    Usage,
    /// `usage.prompt_tokens` or `usage.input_tokens`
    Input,
    /// `usage.completion_tokens` or `usage.output_tokens`
    Output,
    /// `usage.prompt_tokens_details` or `usage.input_tokens_details`
    InputDetails,
    /// `usage.completion_tokens_details` or `usage.output_tokens_details`
    OutputDetails,
    /// `cached_tokens` of the details
    Cached,
    /// `usage.cache_read_input_tokens`
    CacheRead,
    /// `usage.cache_creation_input_tokens`
    CacheWritten,
    /// `reasoning_tokens` of the details
    Reasoning,
    /// `error`
    Error,
    /// `choices`
    Choices,
    /// An element of `choices`.
    Choice,
    /// `delta`: an object of a choice or of Anthropic's event, or text of an event of OpenAI's responses.
    Delta,
    /// Text of the answer.
    Content,
    /// `tool_calls` of a delta.
    ToolCalls,
}

/// The [`Schema`] of responses.
#[derive(Debug)]
pub struct Response;

impl Schema for Response {
    type Place = Place;

    const ROOT: Place = Place::Root;

    fn member(of: Place, key: &[u8]) -> Option<Place> {
        Some(match (of, key) {
            (Place::Root | Place::Inner, b"model") => Place::Model,
            (Place::Root | Place::Inner, b"usage") => Place::Usage,
            (Place::Root | Place::Inner, b"error") => Place::Error,
            (Place::Root, b"response" | b"message") => Place::Inner,
            (Place::Root, b"choices") => Place::Choices,
            (Place::Root | Place::Choice, b"delta") => Place::Delta,
            (Place::Choice, b"text") => Place::Content,
            (Place::Delta, b"content" | b"reasoning_content" | b"reasoning" | b"refusal") => {
                Place::Content
            }
            (Place::Delta, b"text" | b"thinking" | b"partial_json") => Place::Content,
            (Place::Delta, b"tool_calls" | b"function_call") => Place::ToolCalls,
            (Place::Usage, b"prompt_tokens" | b"input_tokens") => Place::Input,
            (Place::Usage, b"completion_tokens" | b"output_tokens") => Place::Output,
            (Place::Usage, b"prompt_tokens_details" | b"input_tokens_details") => {
                Place::InputDetails
            }
            (Place::Usage, b"completion_tokens_details" | b"output_tokens_details") => {
                Place::OutputDetails
            }
            (Place::Usage, b"cache_read_input_tokens") => Place::CacheRead,
            (Place::Usage, b"cache_creation_input_tokens") => Place::CacheWritten,
            (Place::InputDetails, b"cached_tokens") => Place::Cached,
            (Place::OutputDetails, b"reasoning_tokens") => Place::Reasoning,
            _ => return None,
        })
    }

    fn element(of: Place) -> Option<Place> {
        (of == Place::Choices).then_some(Place::Choice)
    }
}

/// What has been found so far.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Tokens. Of several reports in a stream the last stands, each number by itself: Anthropic's begins with the prompt's
    /// and ends with the answer's.
    pub usage: Usage,
    /// The model that answered, as upstream calls it.
    pub model: Option<Box<str>>,
    /// Events with output in them. Upstreams send one to a few tokens in each.
    pub outputs: u64,
    /// An event says that upstream has failed.
    pub has_failed: bool,
    /// The stream has come to its own end: `[DONE]`.
    pub is_done: bool,
    /// Tokens of the answer have been reported after output.
    pub is_usage_final: bool,
    /// The present event has output.
    has_output: bool,
}

impl Visitor<Place> for Found {
    fn text(&mut self, at: Place, text: &[u8]) {
        if at == Place::Model && self.model.is_none() {
            self.model = std::str::from_utf8(text).ok().map(Into::into);
        }
    }

    fn is_filled(&mut self, at: Place) {
        match at {
            Place::Content | Place::Delta => self.has_output = true,
            Place::Error => self.has_failed = true,
            _ => {}
        }
    }

    fn number(&mut self, at: Place, number: u64) {
        let usage = &mut self.usage;
        let field = match at {
            Place::Input => &mut usage.input,
            Place::Output => {
                self.is_usage_final |= self.outputs > 0;
                &mut usage.output
            }
            Place::Cached => &mut usage.cached,
            Place::CacheWritten => &mut usage.cache_written,
            Place::Reasoning => &mut usage.reasoning,
            Place::CacheRead => {
                usage.is_cache_apart = true;
                &mut usage.cached
            }
            _ => return,
        };
        *field = Some(number);
    }

    fn opens(&mut self, at: Place) {
        match at {
            Place::Error => self.has_failed = true,
            Place::ToolCalls => self.has_output = true,
            _ => {}
        }
    }
}

/// Looks at one response's body.
#[derive(Debug)]
pub struct ResponseScanner {
    scanner: Scanner<Response>,
    /// Splits a stream of events.
    events: Option<Events>,
    found: Found,
}

impl ResponseScanner {
    /// For a body that is a stream of events, or one document.
    pub fn new(is_event_stream: bool) -> Self {
        Self {
            scanner: Scanner::default(),
            events: is_event_stream.then(Events::default),
            found: Found::default(),
        }
    }

    /// Looks at the next bytes of the body.
    pub fn feed(&mut self, bytes: &[u8]) {
        let (scanner, found) = (&mut self.scanner, &mut self.found);
        let Some(events) = &mut self.events else {
            scanner.feed(bytes, found);
            return;
        };
        events.feed(bytes, |line| match line {
            Line::Data(piece) => scanner.feed(piece, found),
            Line::Done => found.is_done = true,
            Line::EventEnd => {
                found.outputs += u64::from(std::mem::take(&mut found.has_output));
                scanner.reset();
            }
        });
    }

    /// What has been found so far.
    pub const fn found(&self) -> &Found {
        &self.found
    }
}

#[cfg(test)]
mod tests;
