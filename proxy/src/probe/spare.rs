//! Descriptors kept aside, so that a probe can be accepted when user traffic has taken all others.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;

/// Probes that can be answered at a time when there is nothing else left.
const SPARES: usize = 4;

/// The descriptors; they stand for nothing.
#[derive(Debug, Default)]
pub(super) struct Spares(RefCell<Vec<OwnedFd>>);

impl Spares {
    /// Takes as many as are missing, if there are that many. To be called now and then, and when a connection ends.
    pub(super) fn fill(&self) {
        let mut held = self.0.borrow_mut();
        while held.len() < SPARES {
            match eventfd(0, EventfdFlags::CLOEXEC) {
                Ok(descriptor) => held.push(descriptor),
                Err(_) => return,
            }
        }
    }

    /// Gives one back to the system if this is why `accept` failed; whether it makes sense to try again at once.
    pub(super) fn give_way(&self, error: &io::Error) -> bool {
        let is_full = error.raw_os_error() == Some(Errno::MFILE.raw_os_error())
            || error.raw_os_error() == Some(Errno::NFILE.raw_os_error());
        is_full && self.0.borrow_mut().pop().is_some()
    }
}
