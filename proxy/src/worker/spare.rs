//! Memory of requests that have ended, for those that come: nothing is allocated for each.

use std::cell::RefCell;

use crate::account::RecordText;
use crate::account::usage::Observation;
use crate::http1::Guarded;

/// Of each kind, so many are kept.
const KEPT: usize = 64;
/// First allocation for a request: an SDK's head and a small body fit.
const BUFFER: usize = 2 * 1024;
/// A larger one is given back to the system.
const MAX_BUFFER: usize = 16 * 1024;

/// What is used again.
#[derive(Debug, Default)]
pub struct Spare {
    texts: RefCell<Vec<RecordText>>,
    #[expect(clippy::vec_box, reason = "a box goes from record to record as it is")]
    observations: RefCell<Vec<Box<Observation>>>,
    /// Requests to upstream, so that none is allocated for each and none is kept by an idle connection.
    buffers: RefCell<Vec<Guarded>>,
}

impl Spare {
    /// A text buffer, used before or new.
    pub fn text(&self) -> RecordText {
        self.texts.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes a text buffer back.
    pub fn keep_text(&self, mut text: RecordText) {
        text.clear();
        keep(&self.texts, text);
    }

    /// An empty buffer for a request, used before or new.
    pub fn buffer(&self) -> Guarded {
        let spare = self.buffers.borrow_mut().pop();
        spare.unwrap_or_else(|| Guarded::with_capacity(BUFFER))
    }

    /// Takes a buffer back of a request that has left.
    pub fn keep_buffer(&self, mut buffer: Guarded) {
        if (BUFFER..=MAX_BUFFER).contains(&buffer.capacity()) {
            buffer.clear();
            keep(&self.buffers, buffer);
        }
    }

    /// What looks at a response that is a stream of events, or one document.
    pub fn observation(&self, is_stream: bool) -> Box<Observation> {
        match self.observations.borrow_mut().pop() {
            Some(mut used) => {
                *used = Observation::new(is_stream);
                used
            }
            None => Box::new(Observation::new(is_stream)),
        }
    }

    /// Takes it back.
    pub fn keep_observation(&self, observation: Box<Observation>) {
        keep(&self.observations, observation);
    }
}

fn keep<T>(all: &RefCell<Vec<T>>, one: T) {
    let mut all = all.borrow_mut();
    if all.len() < KEPT {
        all.push(one);
    }
}
