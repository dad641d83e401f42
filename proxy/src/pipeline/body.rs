//! observe: the request body on its way, with what is looked for in it, and what is added.

use std::task::{Context, Poll, ready};

use super::permit::Guard;
use crate::downstream::Downstream;
use crate::error::ProxyError;
use crate::http1::HeadView;
use crate::stream::request::{Asked, RequestScanner};
use crate::upstream::RequestBody;

/// Asks upstream to say at the end of a stream what it used. A member, for the end of an object that has others.
const ADDITION: &[u8] = br#","stream_options":{"include_usage":true}"#;
/// By how much a body grows that has it, or white space instead: its length is announced before it is known which.
pub const ADDED: u64 = ADDITION.len() as u64;

/// What becomes of the addition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Addition {
    /// There is none, or it is behind.
    None,
    /// It waits for the end of the document.
    Awaited,
    /// It is next.
    Next,
}

/// The client with what is looked for in its request's body.
#[derive(Debug)]
pub(super) struct Observed<'a, D> {
    pub(super) client: &'a mut D,
    scanner: Option<RequestScanner>,
    /// Watches over the models that are named, if not all are allowed.
    guard: Option<Box<Guard>>,
    /// The model is all that is looked for.
    only_model: bool,
    addition: Addition,
    /// The addition, and what followed it in the same piece.
    tail: Vec<u8>,
    /// Upstream has been asked for what the client has not asked for.
    pub(super) has_added: bool,
}

impl<'a, D: Downstream> Observed<'a, D> {
    /// `looks` says whether there is anything to be found, `adds` whether [`ADDED`] bytes more have been announced.
    pub(super) fn new(client: &'a mut D, looks: bool, adds: bool, only_model: bool) -> Self {
        Self {
            client,
            scanner: (looks || adds).then(RequestScanner::default),
            guard: None,
            only_model: only_model && !adds,
            addition: match adds {
                true => Addition::Awaited,
                false => Addition::None,
            },
            tail: Vec::new(),
            has_added: false,
        }
    }

    /// The same, watched over.
    pub(super) fn guarded_by(self, guard: Option<Box<Guard>>) -> Self {
        Self { guard, ..self }
    }

    /// Whether nothing may be sent before the model is known.
    pub(super) const fn is_guarded(&self) -> bool {
        self.guard.is_some()
    }

    /// Whether it is known which model the request is for; there may be none.
    pub(super) fn knows_model(&mut self) -> bool {
        match (&self.guard, &mut self.scanner) {
            (Some(guard), _) => guard.has_named(),
            (None, Some(scanner)) => scanner.asked().model.is_some(),
            (None, None) => true,
        }
    }

    /// What has been found so far.
    pub(super) fn asked(&mut self) -> Option<&mut Asked> {
        self.scanner.as_mut().map(RequestScanner::asked)
    }
}

impl<D: Downstream> RequestBody for Observed<'_, D> {
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<&[u8], ProxyError>> {
        if self.addition == Addition::Next {
            self.addition = Addition::None;
            return Poll::Ready(Ok(&self.tail));
        }
        let data = ready!(self.client.poll_data(cx))?;
        if let Some(guard) = &mut self.guard {
            guard.look(data)?;
        }
        let Some(scanner) = &mut self.scanner else {
            return Poll::Ready(Ok(data));
        };
        if self.only_model && scanner.asked().model.is_some() {
            return Poll::Ready(Ok(data));
        }
        let end = scanner.feed(data);
        if self.addition != Addition::Awaited || (end.is_none() && !data.is_empty()) {
            return Poll::Ready(Ok(data));
        }
        let (before, rest) = data.split_at(end.unwrap_or_default());
        let asked = scanner.asked();
        self.tail.reserve_exact(ADDITION.len() + rest.len());
        self.has_added = end.is_some() && asked.is_stream && !asked.has_stream_options;
        match self.has_added {
            true => self.tail.extend_from_slice(ADDITION),
            false => self.tail.resize(ADDITION.len(), b' '),
        }
        self.tail.extend_from_slice(rest);
        if before.is_empty() {
            self.addition = Addition::None;
            return Poll::Ready(Ok(&self.tail));
        }
        self.addition = Addition::Next;
        Poll::Ready(Ok(before))
    }

    fn interim(&mut self, cx: &mut Context<'_>, head: &HeadView<'_>) {
        self.client.interim(cx, head);
    }
}
