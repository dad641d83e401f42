//! What there is one of for each upstream, by its slot.
//!
//! A name of an upstream has a slot, which is its own until the process ends, even if a changed configuration drops the
//! name: counters then never become those of another upstream, and what is under way can still count. [`super::Links`]
//! gives slots out.

use std::fmt;
use std::sync::OnceLock;

/// Slots there are: names of upstreams that one process can have seen.
pub const SLOTS: usize = 64;

/// One `T` for each slot, made when it is first asked for.
pub struct Slots<T>([OnceLock<Box<T>>; SLOTS]);

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self([const { OnceLock::new() }; SLOTS])
    }
}

impl<T: Default> Slots<T> {
    /// That of this slot; of one that nobody gave out, that of the last.
    #[inline]
    pub fn get(&self, slot: usize) -> &T {
        let [.., last] = &self.0;
        self.0.get(slot).unwrap_or(last).get_or_init(Box::default)
    }
}

impl<T: fmt::Debug> fmt::Debug for Slots<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let made = self.0.iter().enumerate();
        let made = made.filter_map(|(slot, cell)| Some((slot, cell.get()?)));
        f.debug_map().entries(made).finish()
    }
}
