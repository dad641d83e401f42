//! Memory of requests that have ended, for those that come: nothing is allocated for each.

use std::cell::RefCell;

use crate::account::RecordText;
use crate::account::usage::Observation;

/// Of each kind, so many are kept.
const KEPT: usize = 64;

/// What is used again.
#[derive(Debug, Default)]
pub struct Spare {
    texts: RefCell<Vec<RecordText>>,
    #[expect(clippy::vec_box, reason = "a box goes from record to record as it is")]
    observations: RefCell<Vec<Box<Observation>>>,
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
