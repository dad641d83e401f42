//! Finds in a request's body, while it passes, which model it is for.

use super::json::{Scanner, Schema, Visitor};

/// Where the values of a request stand that say something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The document.
    Root,
    /// `model`
    Model,
}

/// The [`Schema`] of requests.
#[derive(Debug)]
pub struct Request;

impl Schema for Request {
    type Place = Place;

    const ROOT: Place = Place::Root;

    fn member(of: Place, key: &[u8]) -> Option<Place> {
        (of == Place::Root && key == b"model").then_some(Place::Model)
    }
}

#[derive(Debug, Default)]
struct Found {
    model: Option<Box<str>>,
}

impl Visitor<Place> for Found {
    fn text(&mut self, at: Place, text: &[u8]) {
        if at == Place::Model && self.model.is_none() {
            self.model = std::str::from_utf8(text).ok().map(Into::into);
        }
    }
}

/// Looks at one request's body.
#[derive(Debug, Default)]
pub struct RequestScanner {
    scanner: Scanner<Request>,
    found: Found,
}

impl RequestScanner {
    /// Looks at the next bytes of the body; gives the model once, when it has been found.
    pub fn feed(&mut self, bytes: &[u8]) -> Option<Box<str>> {
        self.scanner.feed(bytes, &mut self.found);
        self.found.model.take()
    }
}

#[cfg(test)]
mod tests;
