//! Finds in a request's body, while it passes, which model it is for and whether it asks for a stream, and where a
//! member can be added to it.

use std::ops::Range;

use super::json::{Scanner, Schema, Visitor};

/// Where the values of a request stand that say something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The document.
    Root,
    /// `model`
    Model,
    /// `stream`
    Stream,
    /// `stream_options`
    StreamOptions,
    /// `max_tokens`, `max_completion_tokens`, `max_output_tokens`
    MaxOutput,
    /// `n`
    Choices,
}

/// The [`Schema`] of requests.
#[derive(Clone, Debug)]
pub struct Request;

impl Schema for Request {
    type Place = Place;

    const ROOT: Place = Place::Root;

    fn member(of: Place, key: &[u8]) -> Option<Place> {
        match (of, key) {
            (Place::Root, b"model") => Some(Place::Model),
            (Place::Root, b"stream") => Some(Place::Stream),
            (Place::Root, b"stream_options") => Some(Place::StreamOptions),
            (Place::Root, b"max_tokens" | b"max_completion_tokens" | b"max_output_tokens") => {
                Some(Place::MaxOutput)
            }
            (Place::Root, b"n") => Some(Place::Choices),
            _ => None,
        }
    }
}

/// What has been found so far.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// The model, as the client calls it.
    pub model: Option<Box<str>>,
    /// It asks for a stream.
    pub is_stream: bool,
    /// It says itself what belongs into the stream.
    pub has_stream_options: bool,
    /// How many tokens an answer may have.
    pub max_output: Option<u64>,
    /// How many answers it asks for; 0 if it does not say.
    pub choices: u64,
}

impl Visitor<Place> for Asked {
    fn text(&mut self, at: Place, text: &[u8]) {
        if at == Place::Model && self.model.is_none() {
            self.model = std::str::from_utf8(text).ok().map(Into::into);
        }
    }

    fn number(&mut self, at: Place, number: u64) {
        match at {
            Place::MaxOutput => self.max_output = self.max_output.max(Some(number)),
            Place::Choices => self.choices = number,
            _ => {}
        }
    }

    fn truth(&mut self, at: Place, truth: bool) {
        if at == Place::Stream {
            self.is_stream = truth;
        }
    }

    fn named(&mut self, at: Place) {
        self.has_stream_options |= at == Place::StreamOptions;
    }
}

/// Looks at one request's body.
#[derive(Clone, Debug, Default)]
pub struct RequestScanner {
    scanner: Scanner<Request>,
    asked: Asked,
}

impl RequestScanner {
    /// Looks at the next bytes of the body. Once they hold the end of the document, gives the position of the brace that
    /// ends it.
    pub fn feed(&mut self, bytes: &[u8]) -> Option<usize> {
        if self.scanner.is_done() {
            return None;
        }
        let rest = self.scanner.feed(bytes, &mut self.asked);
        let behind = bytes.len().checked_sub(rest.len())?;
        let at = behind.checked_sub(1).filter(|_| self.scanner.is_done())?;
        (bytes.get(at) == Some(&b'}')).then_some(at)
    }

    /// What has been found so far.
    pub const fn asked(&mut self) -> &mut Asked {
        &mut self.asked
    }
}

/// Where in a body, of which the beginning may be enough, the name of the model stands, without its quotes.
pub fn place_of_model(body: &[u8]) -> Option<Range<usize>> {
    /// Bytes between two looks.
    const STEP: usize = 64;
    let mut scanner = RequestScanner::default();
    let mut start = 0;
    for piece in body.chunks(STEP) {
        let before = scanner.clone();
        scanner.feed(piece);
        if scanner.asked().model.is_some() {
            scanner = before;
            break;
        }
        start += piece.len();
    }
    for (index, byte) in body.iter().enumerate().skip(start) {
        scanner.feed(std::slice::from_ref(byte));
        if let Some(model) = &scanner.asked().model {
            return Some(index.checked_sub(model.len())?..index);
        }
    }
    None
}

#[cfg(test)]
mod tests;
