//! Two processes with kernel programs on one cgroup and one network, while one takes the place of the other
//! ([`crate::takeover`]).
//!
//! Each has programs and maps of its own, and links on a cgroup stack, so each goes on seeing its own connections to upstream. What
//! both cannot have is arranged here: who steers probes, who changes the setting for idle connections, and whose the
//! connections are that wait to be accepted.

use super::{Kernel, now_ns};

impl Kernel {
    /// The next process is about to start: it finds the system's settings as if this one were not there. Not lent any more
    /// if it does not come to serve.
    pub fn lend(&self, is_lent: bool) {
        if let Err(error) = self.idle.lend(is_lent) {
            tracing::warn!(%error, "the setting for idle connections could not be put back");
        }
    }

    /// The next process serves, and steers.
    pub fn hand_over(&self) {
        if let Some(steering) = &self.steering {
            steering.detach();
        }
    }

    /// This process serves in the place of another.
    pub fn take_over(&self) {
        if let Some(accepts) = self.accepts() {
            accepts.forget_before(now_ns());
        }
        let counted = self.steering.as_ref().map(|one| one.begin_to_count());
        if let Some(Err(error)) = counted {
            tracing::warn!(%error, "what another process has steered is counted as not steered");
        }
    }
}
