//! `probe_steering`: loaded from an object of its own, attached to the network namespace, told whom to steer where.

use std::fs::File;
use std::net::{IpAddr, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use aya::maps::lpm_trie::Key;
use aya::maps::{LpmTrie, MapData, MapError, PerCpuArray, SockMap};
use aya::programs::SkLookup;
use aya::programs::sk_lookup::SkLookupLink;
use aya::{Ebpf, EbpfLoader};
use ipnet::IpNet;
use proxy_common::{
    IPV4_PREFIX_BITS, LISTENER_IPV4, LISTENER_IPV6, SOURCES, STEERED_NOT, STEERED_TO_PROBES,
    SourceAddress,
};

use super::load::{self, failed, map_mut, refused};
use super::{KernelError, Reason};

const PROGRAM: &str = "probe_steering";
/// The namespace of the thread that asks.
const NAMESPACE: &str = "/proc/thread-self/ns/net";
/// What stands behind a prefix in the table, which only has to be there.
const LISTED: u32 = 1;

/// The object, if the build had one.
#[cfg(holysheep_ebpf)]
const OBJECT: Option<&[u8]> = Some(aya::include_bytes_aligned!(concat!(
    env!("OUT_DIR"),
    "/probe-steering.bpf.o"
)));
/// The object, if the build had one.
#[cfg(not(holysheep_ebpf))]
const OBJECT: Option<&[u8]> = None;

/// What became of connections from sources of probes; one whose SYN was sent again counts again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steered {
    /// Given to a listener for probes.
    pub steered: u64,
    /// Left on the usual way: there is no listener for probes, or another program had chosen already.
    pub left: u64,
}

/// The attached program. Detached when dropped; connections then take the usual way.
#[derive(Debug)]
pub struct Steering {
    ebpf: Ebpf,
    /// Gone once another process steers.
    link: Mutex<Option<SkLookupLink>>,
    /// What another process has steered before this one: for this program, it was left on the usual way.
    left_before: AtomicU64,
}

impl Steering {
    /// Loads the program, lists the sources and attaches it to this thread's network namespace. Until there are a
    /// port and a listener it steers nothing.
    ///
    /// # Errors
    /// What does not work here.
    pub fn attach(sources: &[IpNet]) -> Result<Self, Reason> {
        let object = OBJECT.ok_or(Reason::NotBuiltIn)?;
        let mut loader = EbpfLoader::new();
        let ebpf = loader.btf(None).load(object).map_err(refused)?;
        let mut steering = Self {
            ebpf,
            link: Mutex::default(),
            left_before: AtomicU64::new(0),
        };
        steering.list(sources)?;
        // Whether the counters are what we take them for, before anybody relies on it.
        let counts = steering.counts();
        counts.map_err(|error| Reason::Stale(error.to_string()))?;
        let namespace = File::open(NAMESPACE).map_err(|error| Reason::Refused {
            step: format!("opening {NAMESPACE}"),
            message: error.to_string(),
        })?;
        let program: &mut SkLookup = load::program(&mut steering.ebpf, PROGRAM)?;
        program
            .load()
            .map_err(|error| failed(&format!("loading {PROGRAM}"), error))?;
        let link = program.attach(namespace);
        let link = link.and_then(|link| program.take_link(link));
        let link = link.map_err(|error| failed(&format!("attaching {PROGRAM}"), error))?;
        steering.link = Mutex::new(Some(link));
        Ok(steering)
    }

    fn list(&mut self, sources: &[IpNet]) -> Result<(), Reason> {
        let failed = |error: MapError| Reason::Refused {
            step: format!("listing sources of probes (at most {SOURCES})"),
            message: error.to_string(),
        };
        let map = map_mut(&mut self.ebpf, "SOURCES")?;
        let mut trie: LpmTrie<&mut MapData, SourceAddress, u32> =
            LpmTrie::try_from(map).map_err(failed)?;
        for source in sources {
            trie.insert(&key(*source), LISTED, 0).map_err(failed)?;
        }
        Ok(())
    }

    /// Steers connections to this port from now on.
    ///
    /// # Errors
    /// The map's.
    pub fn port(&mut self, port: u16) -> Result<(), KernelError> {
        load::add_port(&mut self.ebpf, "STEERED_PORTS", port)
    }

    /// Steers to this listener, in place of the one its family had. It has to listen already. Closing it ends the
    /// steering.
    ///
    /// # Errors
    /// The map's.
    pub fn listener(&mut self, listener: &TcpListener) -> Result<(), KernelError> {
        let slot = match listener.local_addr().map(|address| address.ip()) {
            Ok(IpAddr::V6(_)) => LISTENER_IPV6,
            // Without an address it is none, which the map will say.
            Ok(IpAddr::V4(_)) | Err(_) => LISTENER_IPV4,
        };
        let map = map_mut(&mut self.ebpf, "PROBE_SOCKETS")?;
        Ok(SockMap::try_from(map)?.set(slot, listener, 0)?)
    }

    /// Steers nothing any more, because another process does: of two programs the first to be attached decides.
    pub(super) fn detach(&self) {
        drop(
            self.link
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
    }

    /// Leaves out of the counts what another process has steered, now that it does not any more.
    pub(super) fn begin_to_count(&self) -> Result<(), KernelError> {
        self.left_before.store(self.counts()?.left, Relaxed);
        Ok(())
    }

    /// What became of connections from the sources.
    ///
    /// # Errors
    /// The map's.
    pub fn counts(&self) -> Result<Steered, KernelError> {
        let map = load::map(&self.ebpf, "STEERED")?;
        let array = PerCpuArray::<&MapData, u64>::try_from(map)?;
        let sum = |number| Ok::<_, MapError>(array.get(&number, 0)?.iter().sum());
        Ok(Steered {
            steered: sum(STEERED_TO_PROBES)?,
            left: sum(STEERED_NOT)?.saturating_sub(self.left_before.load(Relaxed)),
        })
    }

    pub(super) fn ebpf(&self) -> &Ebpf {
        &self.ebpf
    }
}

/// A prefix as the table has it.
fn key(source: IpNet) -> Key<SourceAddress> {
    let length = u32::from(source.prefix_len());
    match source.network() {
        IpAddr::V4(address) => {
            Key::new(IPV4_PREFIX_BITS + length, address.to_ipv6_mapped().octets())
        }
        IpAddr::V6(address) => Key::new(length, address.octets()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_of(text: &str) -> (u32, SourceAddress) {
        let key = key(text.parse().unwrap());
        (key.prefix_len(), key.data())
    }

    #[test]
    fn both_families_share_a_table() {
        let (bits, address) = key_of("10.1.2.3/8");
        assert_eq!(bits, 104);
        assert_eq!(&address[10..], &[0xff, 0xff, 10, 0, 0, 0]);
        let (bits, address) = key_of("fd00::1/128");
        assert_eq!((bits, address[0], address[15]), (128, 0xfd, 1));
        assert_eq!(key_of("0.0.0.0/0").0, 96);
    }
}
