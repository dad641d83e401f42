//! Connections that wait in an accept queue: since when.

use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::sync::atomic::fence;

use proxy_common::{AcceptRecord, accept_index};

use super::raw::Mapped;

/// All connections the kernel has established on the proxy's ports.
#[derive(Debug)]
pub struct AcceptTable {
    records: Mapped<AcceptRecord>,
}

impl AcceptTable {
    pub(super) fn new(records: Mapped<AcceptRecord>) -> Self {
        Self { records }
    }

    /// When this connection's handshake was complete, in nanoseconds of [`super::now_ns`]. To be asked once, right
    /// after `accept`. `None` if the kernel did not tell, or somebody else has taken the record since.
    #[inline]
    pub fn take(&self, cookie: u64) -> Option<u64> {
        let record = self.records.get(accept_index(cookie) as usize)?;
        if cookie == 0 || record.cookie.load(Acquire) != cookie {
            return None;
        }
        let established = record.established_ns.load(Relaxed);
        fence(Acquire);
        // Marks it as read, unless it is another's by now.
        record
            .cookie
            .compare_exchange(cookie, 0, Relaxed, Relaxed)
            .ok()
            .map(|_| established)
    }

    /// Forgets those that became complete before a moment: another process has accepted them, or nearly all of them.
    pub fn forget_before(&self, now_ns: u64) {
        for record in self.records.iter() {
            let cookie = record.cookie.load(Acquire);
            if cookie != 0 && record.established_ns.load(Relaxed) < now_ns {
                // Unless it is another's by now.
                let _ = record.cookie.compare_exchange(cookie, 0, Relaxed, Relaxed);
            }
        }
    }

    /// Connections that wait. Looks at every record: for a scrape.
    pub fn waiting(&self) -> u64 {
        let waits = |record: &&AcceptRecord| record.cookie.load(Relaxed) != 0;
        self.records.iter().filter(waits).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use proxy_common::ACCEPT_RECORDS;

    use super::*;

    #[test]
    fn a_time_is_handed_out_once_and_to_its_own_socket_only() {
        let table = AcceptTable::new(Mapped::anonymous(ACCEPT_RECORDS).unwrap());
        let record = &table.records[7];
        record.established_ns.store(1234, Relaxed);
        record.cookie.store(7, Relaxed);
        assert_eq!(table.waiting(), 1);
        assert_eq!(table.take(7 + u64::from(ACCEPT_RECORDS)), None);
        assert_eq!(table.take(7), Some(1234));
        assert_eq!(table.take(7), None);
        assert_eq!((table.take(0), table.waiting()), (None, 0));
    }

    #[test]
    fn what_another_process_accepted_is_forgotten() {
        let table = AcceptTable::new(Mapped::anonymous(ACCEPT_RECORDS).unwrap());
        for (cookie, established) in [(1, 1000), (2, 2000)] {
            let record = &table.records[cookie];
            record.established_ns.store(established, Relaxed);
            record.cookie.store(cookie as u64, Relaxed);
        }
        table.forget_before(1500);
        assert_eq!((table.take(1), table.take(2)), (None, Some(2000)));
    }
}
