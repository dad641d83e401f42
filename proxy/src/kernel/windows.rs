//! What the paths to upstream's endpoints were seen to carry: the memory of `upstream_window`, seen from the proxy.
//!
//! The kernel side only knows paths by number; which endpoint has which is kept here. A connection gets its endpoint's
//! number when it is registered ([`super::FlowTable::register`]).

use std::net::IpAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proxy_common::{DEFAULT_WINDOW, PathRecord, START_AUTO, START_OFF, WindowSettings, is_steady};

use super::idle::Means;
use super::raw::Mapped;
use crate::config::{AfterIdle, InitialWindow, Tcp};

/// Bytes of a segment where nothing makes it shorter, the usual options counted.
const SEGMENT: u32 = 1448;
/// A path that has carried less is not worth keeping windows for: connections would begin with the default.
const WORTH_KEEPING: u32 = 2 * DEFAULT_WINDOW * SEGMENT;

/// The settings, if they give the program anything to do.
pub(super) fn wanted(tcp: Option<&Tcp>) -> Option<&Tcp> {
    tcp.filter(|tcp| {
        let leaves = tcp.initial_window == InitialWindow::Off && tcp.after_idle == AfterIdle::Off;
        !leaves || tcp.congestion_control.is_some()
    })
}

/// What the program is to do.
pub(super) fn settings(tcp: &Tcp, means: &Means) -> WindowSettings {
    WindowSettings {
        start: match tcp.initial_window {
            InitialWindow::Auto => START_AUTO,
            InitialWindow::Off => START_OFF,
            InitialWindow::Segments(count) => count,
        },
        ceiling: tcp.max_window,
        choose: u32::from(tcp.congestion_control.is_some()),
        keep: u32::from(*means == Means::Bbr),
    }
}

/// The congestion control that connections are to have.
pub(super) fn congestion(tcp: Option<&Tcp>) -> Option<Arc<str>> {
    tcp?.congestion_control.as_deref().map(Arc::from)
}

/// The paths.
#[derive(Debug)]
pub struct Windows {
    paths: Mapped<PathRecord>,
    /// The addresses that have the first records, least recently connected to first.
    endpoints: Mutex<Vec<(IpAddr, u16)>>,
}

/// What is known of the path to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathState {
    /// The endpoint.
    pub endpoint: IpAddr,
    /// The most bytes that were acknowledged within a quarter of a round trip without a loss; `None` if nothing is known, or
    /// only from too long ago.
    pub carried: Option<u32>,
    /// Bytes the last connection began with; `None` before one was established.
    pub started: Option<u32>,
    /// The round trip of the connection that carried them.
    pub rtt: Duration,
    /// For how much longer the system's default holds, after a loss.
    pub on_hold: Option<Duration>,
}

impl PathState {
    fn of(endpoint: IpAddr, record: &PathRecord, now_ns: u64) -> Self {
        let seen_ns = record.seen_ns.load(Relaxed);
        let lost_ns = record.lost_ns.load(Relaxed);
        let hold_s = record.hold_s.load(Relaxed);
        let known = is_steady(seen_ns, 0, 0, now_ns);
        let started = record.started.load(Relaxed);
        let held = Duration::from_secs(hold_s.into());
        let since = Duration::from_nanos(now_ns.saturating_sub(lost_ns));
        Self {
            endpoint,
            carried: known.then(|| record.carried.load(Relaxed)),
            started: (started != 0).then_some(started),
            rtt: Duration::from_micros(record.rtt_us.load(Relaxed).into()),
            on_hold: held
                .checked_sub(since)
                .filter(|left| lost_ns != 0 && !left.is_zero()),
        }
    }
}

impl Windows {
    pub(super) const fn new(paths: Mapped<PathRecord>) -> Self {
        Self {
            paths,
            endpoints: Mutex::new(Vec::new()),
        }
    }

    /// The number of the path to this endpoint. With more endpoints than paths, the one not connected to for the longest
    /// time is forgotten.
    pub fn path_to(&self, endpoint: IpAddr) -> u16 {
        let mut endpoints = self.endpoints();
        let known = endpoints.iter().position(|(known, _)| *known == endpoint);
        let path = match known {
            Some(place) => endpoints.remove(place).1,
            None if endpoints.len() < self.paths.len() => {
                // There are 256.
                u16::try_from(endpoints.len()).unwrap_or_default()
            }
            None => {
                let (_, path) = endpoints.remove(0);
                self.forget(path);
                path
            }
        };
        endpoints.push((endpoint, path));
        path
    }

    /// What is known of all paths, the last connected to first.
    pub fn paths(&self, now_ns: u64) -> Vec<PathState> {
        let endpoints = self.endpoints();
        let state = |(endpoint, path): &(IpAddr, u16)| {
            let record = self.paths.get(usize::from(*path))?;
            Some(PathState::of(*endpoint, record, now_ns))
        };
        endpoints.iter().rev().filter_map(state).collect()
    }

    /// Whether windows should be kept while connections idle: a path is worth it, and none has lost anything lately. For
    /// means that hold for all paths at once.
    pub fn are_steady(&self, now_ns: u64) -> bool {
        let paths = self.paths(now_ns);
        let is_worth = |path: &PathState| path.carried.is_some_and(|bytes| bytes >= WORTH_KEEPING);
        paths.iter().all(|path| path.on_hold.is_none()) && paths.iter().any(is_worth)
    }

    /// Paths in use, and how many there are.
    pub(super) fn occupied(&self) -> (u64, u64) {
        let endpoints = self.endpoints();
        (endpoints.len() as u64, self.paths.len() as u64)
    }

    fn endpoints(&self) -> MutexGuard<'_, Vec<(IpAddr, u16)>> {
        self.endpoints
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self, path: u16) {
        let Some(record) = self.paths.get(usize::from(path)) else {
            return;
        };
        // Named one by one, so that a new field is not forgotten.
        let PathRecord {
            seen_ns,
            lost_ns,
            carried,
            rtt_us,
            hold_s,
            started,
        } = record;
        for long in [seen_ns, lost_ns] {
            long.store(0, Relaxed);
        }
        for word in [carried, rtt_us, hold_s, started] {
            word.store(0, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proxy_common::{ENDPOINTS, REMEMBERED_NS};

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn windows() -> Windows {
        Windows::new(Mapped::anonymous(ENDPOINTS).unwrap())
    }

    fn address(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(number).into()
    }

    /// As the kernel would.
    fn carry(windows: &Windows, endpoint: IpAddr, bytes: u32, now_ns: u64) {
        let record = &windows.paths[usize::from(windows.path_to(endpoint))];
        record.carried.store(bytes, Relaxed);
        record.seen_ns.store(now_ns, Relaxed);
    }

    #[test]
    fn an_endpoint_keeps_its_path() {
        let windows = windows();
        let first = windows.path_to(address(1));
        assert_ne!(first, windows.path_to(address(2)));
        assert_eq!(first, windows.path_to(address(1)));
        assert_eq!(windows.occupied(), (2, 256));
    }

    #[test]
    fn with_too_many_endpoints_the_one_unused_for_longest_is_forgotten() {
        let windows = windows();
        for number in 0..ENDPOINTS {
            carry(&windows, address(number), 1000, SECOND);
        }
        // Used again, unlike the second.
        let first = windows.path_to(address(0));
        let newest = windows.path_to(address(1000));
        assert_eq!((first, newest), (0, 1));
        let paths = windows.paths(SECOND);
        let known = |number| paths.iter().find(|path| path.endpoint == address(number));
        assert_eq!(known(1), None);
        assert_eq!(known(0).unwrap().carried, Some(1000));
        assert_eq!(known(1000).unwrap().carried, None);
    }

    #[test]
    fn windows_are_kept_while_no_path_loses_and_one_is_worth_it() {
        let windows = windows();
        assert!(!windows.are_steady(SECOND));
        carry(&windows, address(1), WORTH_KEEPING - 1, SECOND);
        assert!(!windows.are_steady(SECOND));
        carry(&windows, address(2), WORTH_KEEPING, SECOND);
        assert!(windows.are_steady(SECOND));
        let narrow = &windows.paths[usize::from(windows.path_to(address(1)))];
        narrow.lost_ns.store(2 * SECOND, Relaxed);
        narrow.hold_s.store(10, Relaxed);
        assert!(!windows.are_steady(3 * SECOND));
        let state = &windows.paths(3 * SECOND)[0];
        assert_eq!(state.on_hold, Some(Duration::from_secs(9)));
        assert!(state.carried.is_none() || state.on_hold.is_some());
        assert!(windows.are_steady(12 * SECOND));
        assert!(!windows.are_steady(SECOND + REMEMBERED_NS));
    }
}
