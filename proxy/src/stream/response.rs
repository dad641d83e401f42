//! Finds in a response's body, while it passes, what was used, which model answered, when the first output came and
//! whether an error stands in the stream.
//!
//! One JSON document, or a stream of events with one in each (`events.rs`). Whatever the dialect: the names of OpenAI's
//! chat completions, completions, embeddings and responses, and those of Anthropic's messages do not contradict each other.

use super::events::{Events, Line};
use super::frames::{Frames, Part};
use super::json::{Scanner, Schema, Visitor};
use super::usage::Usage;

/// Where the values of a response stand that say something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The document of an event or a message.
    Root,
    /// One that is the whole body: when what of the answer came does not matter.
    Whole,
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
    /// `usage.cache_creation`
    CacheCreation,
    /// `ephemeral_1h_input_tokens` of it
    CacheWritten1h,
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
            (Place::Root | Place::Whole | Place::Inner, b"model") => Place::Model,
            (Place::Root | Place::Whole | Place::Inner, b"usage") => Place::Usage,
            (Place::Root | Place::Whole | Place::Inner, b"error") => Place::Error,
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
            (
                Place::Usage,
                b"prompt_tokens_details" | b"input_tokens_details" | b"input_token_details",
            ) => Place::InputDetails,
            (
                Place::Usage,
                b"completion_tokens_details" | b"output_tokens_details" | b"output_token_details",
            ) => Place::OutputDetails,
            (Place::Usage, b"cache_read_input_tokens") => Place::CacheRead,
            (Place::Usage, b"cache_creation_input_tokens") => Place::CacheWritten,
            (Place::Usage, b"cache_creation") => Place::CacheCreation,
            (Place::CacheCreation, b"ephemeral_1h_input_tokens") => Place::CacheWritten1h,
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
    usage: Usage,
    /// Those of a session's earlier messages.
    earlier: Usage,
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
    /// What is known of the present event.
    event: Event,
    /// The last event said what was used, and nothing else.
    is_usage_only: bool,
}

/// What is known of an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Event {
    has_output: bool,
    has_usage: bool,
    has_choices: bool,
    has_choice: bool,
}

impl Found {
    /// What was used, as upstream reports it.
    pub fn usage(&self) -> Usage {
        self.earlier.plus(&self.usage)
    }

    fn end_event(&mut self) {
        let event = std::mem::take(&mut self.event);
        self.outputs += u64::from(event.has_output);
        self.is_usage_only = event.has_usage && event.has_choices && !event.has_choice;
    }

    /// Of a session, each report of usage is about one response.
    fn end_message(&mut self) {
        let usage = std::mem::take(&mut self.usage);
        self.earlier = self.earlier.plus(&usage);
        let event = std::mem::take(&mut self.event);
        self.outputs += u64::from(event.has_output);
        self.is_usage_final = match usage.is_known() {
            true => true,
            false => self.is_usage_final && !event.has_output,
        };
    }
}

impl Visitor<Place> for Found {
    fn text(&mut self, at: Place, text: &[u8]) {
        if at == Place::Model && self.model.is_none() {
            self.model = std::str::from_utf8(text).ok().map(Into::into);
        }
    }

    fn is_filled(&mut self, at: Place) {
        match at {
            Place::Content | Place::Delta => self.event.has_output = true,
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
            Place::CacheWritten => {
                usage.is_cache_apart = true;
                &mut usage.cache_written
            }
            Place::CacheWritten1h => &mut usage.cache_written_1h,
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
            Place::ToolCalls => self.event.has_output = true,
            Place::Usage => self.event.has_usage = true,
            Place::Choices => self.event.has_choices = true,
            Place::Choice => self.event.has_choice = true,
            _ => {}
        }
    }
}

/// What an event of a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not known yet.
    Open,
    /// It says what was used, and nothing else.
    UsageOnly,
    /// It says something else.
    Other,
}

/// Looks at one response's body.
#[derive(Debug)]
pub struct ResponseScanner {
    scanner: Scanner<Response>,
    form: Form,
    found: Found,
}

/// How documents stand in a body.
#[derive(Debug)]
enum Form {
    /// It is one.
    Document,
    /// One in each event.
    Events(Events),
    /// One in each text message of a WebSocket.
    Messages(Frames),
}

impl ResponseScanner {
    /// For a body that is a stream of events, or one document.
    pub fn new(is_event_stream: bool) -> Self {
        Self {
            scanner: Scanner::new(match is_event_stream {
                true => Place::Root,
                false => Place::Whole,
            }),
            form: match is_event_stream {
                true => Form::Events(Events::default()),
                false => Form::Document,
            },
            found: Found::default(),
        }
    }

    /// For what the server of a WebSocket sends.
    pub fn of_session() -> Self {
        Self {
            scanner: Scanner::default(),
            form: Form::Messages(Frames::default()),
            found: Found::default(),
        }
    }

    /// Looks at the next bytes of the body.
    pub fn feed(&mut self, bytes: &[u8]) {
        let (scanner, found) = (&mut self.scanner, &mut self.found);
        match &mut self.form {
            Form::Document => {
                scanner.feed(bytes, found);
            }
            Form::Events(events) => events.feed(bytes, |line| match line {
                Line::Data(piece) => {
                    scanner.feed(piece, found);
                }
                Line::Done => found.is_done = true,
                Line::EventEnd => {
                    found.end_event();
                    scanner.reset();
                }
            }),
            Form::Messages(frames) => frames.feed(bytes, |part| match part {
                Part::Text(piece) => {
                    scanner.feed(piece, found);
                }
                Part::TextEnd => {
                    found.end_message();
                    scanner.reset();
                }
                Part::Close => {}
            }),
        }
    }

    /// Upstream has said outside of the stream that it has failed.
    pub const fn fail(&mut self) {
        self.found.has_failed = true;
    }

    /// What can be said by now of the event of which a line, or a part of one, was fed last.
    pub fn verdict(&mut self) -> Verdict {
        match self.is_between() {
            true if std::mem::take(&mut self.found.is_usage_only) => Verdict::UsageOnly,
            true => Verdict::Other,
            false if self.found.event.has_choice => Verdict::Other,
            false => Verdict::Open,
        }
    }

    /// Whether the next byte is the first of an event.
    pub fn is_between(&self) -> bool {
        match &self.form {
            Form::Document => false,
            Form::Events(events) => events.is_between(),
            Form::Messages(frames) => frames.is_between(),
        }
    }

    /// What has been found so far.
    pub const fn found(&self) -> &Found {
        &self.found
    }
}

#[cfg(test)]
mod tests;
