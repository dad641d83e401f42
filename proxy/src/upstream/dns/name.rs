//! What is known of a name: what each family's last answer was, and which addresses to go by.
//!
//! An answer that takes everything away is not believed: a name that had addresses keeps them until there are
//! others, whatever the name servers say of it or do not say. A connection to them fails if they are gone for good, and
//! works if only the name servers are in trouble, or somebody's zone file is.

use std::net::{IpAddr, SocketAddr};

use super::Resolution;
use super::lookup::{Answer, Family};

/// What a name is worth that has no address at all.
const NO_ADDRESS: &str = "the name has no address";

/// What is known of both families.
#[derive(Debug, Default)]
pub(super) struct Name {
    v4: Known,
    v6: Known,
}

/// What is known of one.
#[derive(Debug, Default)]
struct Known {
    /// The last addresses there were, sorted: a name server that rotates them changes nothing.
    ips: Vec<IpAddr>,
    last: Last,
}

/// The last answer.
#[derive(Debug, Default, PartialEq, Eq)]
enum Last {
    #[default]
    Pending,
    Found,
    Empty,
    Failed(String),
}

impl Name {
    fn of(&self, family: Family) -> &Known {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }

    fn of_mut(&mut self, family: Family) -> &mut Known {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }

    /// Takes an answer in, and tells whether it is a reason to ask for the other family now: what
    /// has come back or has gone for one has probably done so for the other.
    pub(super) fn note(&mut self, family: Family, answer: &Answer) -> bool {
        let last = match answer {
            Answer::Found { ips, .. } => {
                let known = self.of_mut(family);
                known.ips.clone_from(ips);
                known.ips.sort_unstable();
                known.ips.dedup();
                // Both have been looked at since: the other's old addresses are gone for good.
                let other = self.of_mut(family.other());
                if other.last == Last::Empty {
                    other.ips.clear();
                }
                Last::Found
            }
            Answer::Empty { .. } => Last::Empty,
            Answer::Failed(reason) => Last::Failed(reason.clone()),
        };
        let before = std::mem::replace(&mut self.of_mut(family).last, last);
        match (before, &self.of(family).last) {
            (Last::Pending, _) => false,
            (Last::Found, Last::Empty) => true,
            (before, Last::Found) => before != Last::Found,
            _ => false,
        }
    }

    /// Whether the last answer for a family brought addresses.
    pub(super) fn has_found(&self, family: Family) -> bool {
        self.of(family).last == Last::Found
    }

    /// Whether either family's did.
    pub(super) fn is_good(&self) -> bool {
        Family::ALL.into_iter().any(|family| self.has_found(family))
    }

    /// Whether a family has not been answered for yet, not even with a failure.
    pub(super) fn is_pending(&self, family: Family) -> bool {
        self.of(family).last == Last::Pending
    }

    /// Whether it is known which addresses of a family there are.
    pub(super) fn is_certain(&self, family: Family) -> bool {
        matches!(self.of(family).last, Last::Found | Last::Empty)
    }

    /// Why a family's last answer is nothing to go by; `None` if it is, or is still to come.
    pub(super) fn trouble(&self, family: Family) -> Option<&str> {
        match &self.of(family).last {
            Last::Failed(reason) => Some(reason),
            // It has addresses of the other family, or may have.
            Last::Empty if self.has_found(family.other()) || self.is_pending(family.other()) => {
                None
            }
            Last::Empty => Some(NO_ADDRESS),
            Last::Pending | Last::Found => None,
        }
    }

    /// The addresses to go by, or why there are none.
    pub(super) fn resolution(&self, port: u16) -> Resolution {
        let believed = |family| match self.of(family).last {
            Last::Empty => &[][..],
            _ => &self.of(family).ips[..],
        };
        let mut addresses = interleave(believed(Family::V4), believed(Family::V6), port);
        if addresses.is_empty() {
            addresses = interleave(&self.v4.ips, &self.v6.ips, port);
        }
        if !addresses.is_empty() {
            return Resolution::Known(addresses.into());
        }
        if Family::ALL
            .into_iter()
            .any(|family| self.is_pending(family))
        {
            return Resolution::Pending;
        }
        let failure = |family| match &self.of(family).last {
            Last::Failed(reason) => Some(reason.as_str()),
            _ => None,
        };
        let reason = Family::ALL.into_iter().find_map(failure);
        Resolution::Failed(reason.unwrap_or(NO_ADDRESS).into())
    }
}

/// Alternates between families (RFC 8305 section 4), so that a broken one
/// costs one attempt and not half of the list.
fn interleave(v4: &[IpAddr], v6: &[IpAddr], port: u16) -> Vec<SocketAddr> {
    let longest = v6.len().max(v4.len());
    (0..longest)
        .flat_map(|index| [v4.get(index), v6.get(index)])
        .flatten()
        .map(|ip| SocketAddr::new(*ip, port))
        .collect()
}

#[cfg(test)]
mod tests;
