//! A worker's side of the upstreams.

use std::rc::Rc;

use super::Worker;
use crate::upstream::Origin;

impl Worker {
    /// Its side of each upstream, in the configuration's order; those of [`Worker::model_map`] are positions here.
    #[inline]
    pub fn origins(&self) -> Rc<[Rc<Origin>]> {
        Rc::clone(&self.origins.borrow())
    }

    /// Whether there are several.
    #[inline]
    pub fn has_upstreams(&self) -> bool {
        self.origins.borrow().len() > 1
    }

    /// Its side of the upstream with this slot, if there still is one of that name.
    #[inline]
    pub fn origin(&self, slot: usize) -> Option<Rc<Origin>> {
        let origins = self.origins.borrow();
        origins
            .iter()
            .find(|origin| origin.link.slot == slot)
            .cloned()
    }
}
