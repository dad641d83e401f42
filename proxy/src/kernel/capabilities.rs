//! The capabilities the programs need: whether they are there, and giving them up again.

use std::{fmt, io};

use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

/// Loading programs and maps, and attaching to a cgroup.
pub const NEEDED: [(CapabilitySet, &str); 2] = [
    (CapabilitySet::BPF, "CAP_BPF"),
    (CapabilitySet::NET_ADMIN, "CAP_NET_ADMIN"),
];

/// What became of the capabilities after attaching.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Capabilities {
    /// Given up by the calling thread, and so by all it starts from now on.
    Dropped,
    /// Kept, and why.
    Kept(String),
}

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dropped => f.write_str("given up after attaching"),
            Self::Kept(reason) => write!(f, "kept: {reason}"),
        }
    }
}

/// The names of those this thread does not have.
pub(super) fn missing() -> Vec<&'static str> {
    let effective = capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
    // What CAP_BPF permits was permitted by CAP_SYS_ADMIN before, and still is.
    let all = effective.contains(CapabilitySet::SYS_ADMIN);
    NEEDED
        .iter()
        .filter(|(capability, _)| {
            let implied = all && *capability == CapabilitySet::BPF;
            !effective.contains(*capability) && !implied
        })
        .map(|(_, name)| *name)
        .collect()
}

/// Gives both up, if `works` still does without them: before Linux 6.0 no map could be read without. Only this
/// thread, and threads it starts later.
pub(super) fn drop_if(works: impl FnOnce() -> Result<(), String>) -> Capabilities {
    let all = NEEDED
        .iter()
        .fold(CapabilitySet::empty(), |sum, (one, _)| sum | *one);
    match try_drop(all, works) {
        Ok(result) => result,
        Err(error) => Capabilities::Kept(format!("they cannot be given up: {error}")),
    }
}

fn try_drop(
    given_up: CapabilitySet,
    works: impl FnOnce() -> Result<(), String>,
) -> io::Result<Capabilities> {
    let before = capabilities(None)?;
    let mut after = before;
    // They stay permitted until it is sure that nothing needs them: so there is a way back.
    after.effective -= given_up;
    set_capabilities(None, after)?;
    if let Err(reason) = works() {
        set_capabilities(None, before)?;
        return Ok(Capabilities::Kept(format!(
            "without them maps cannot be read: {reason}"
        )));
    }
    after.permitted -= given_up;
    after.inheritable -= given_up;
    set_capabilities(None, after)?;
    Ok(Capabilities::Dropped)
}
