//! The kernel's view of the proxy's sockets: loads the programs of `proxy-ebpf` and reads what they write.
//!
//! `docs/kernel.md` has the picture. In short, for whoever wires it:
//!
//! * On the main thread, before any other thread is started and before the first `listen`:
//!   [`Kernel::start`]. It always gives a [`Kernel`], in which each program runs or says why not
//!   ([`Kernel::programs`]), unless all are [`Settings::required`]. Log the reasons once.
//! * For each listening socket: [`Kernel::listens_on`] with its port.
//! * A worker gets [`Kernel::flows`]. For a new upstream socket, before `connect`: its cookie from
//!   [`cookie`], once, then [`FlowTable::register`]; before a request's first write: [`FlowTable::begin`], and a
//!   look at the clock before and after it; at its first
//!   response byte: [`FlowTable::timeline`].
//! * A worker gets [`Kernel::accepts`]. After `accept`: [`AcceptTable::take`] with the socket's [`cookie`], and the
//!   difference to [`now_ns`] is the time it has waited.
//! * At a scrape: [`Kernel::snapshot`].
//! * The [`Kernel`] is kept for as long as the process lives: dropping it detaches everything.

mod accepts;
mod capabilities;
mod cgroup;
mod flows;
mod load;
mod messages;
mod raw;
mod reason;
mod snapshot;
mod sockets;
mod tcp_info;
mod timeline;

use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use aya::Ebpf;
use aya::maps::MapError;
use proxy_common::{ACCEPT_RECORDS, FLOW_RECORDS, port_bit};

pub use accepts::AcceptTable;
pub use capabilities::{Capabilities, NEEDED as NEEDED_CAPABILITIES};
pub use cgroup::{CgroupError, open as own_cgroup};
pub use flows::FlowTable;
pub use proxy_common::BOUNDS_NANOS;
pub use reason::{Missing, Reason};
pub use snapshot::{Durations, Snapshot, UpstreamTimings};
pub use sockets::{FirstByte, Followed, Sample, Sockets};
pub use tcp_info::TcpInfo;
pub use timeline::{Sent, Timeline};

/// A program, by the name it has in metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `sock_ops`: connections, round trips, retransmits, accepted connections.
    SocketTiming,
    /// `cgroup_skb`, both ways: first bytes of requests and responses.
    PayloadTiming,
}

impl Program {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::SocketTiming, Self::PayloadTiming];

    /// As in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SocketTiming => "socket_timing",
            Self::PayloadTiming => "payload_timing",
        }
    }
}

/// What to load and how.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// How many upstreams get figures of their own, up to 512. All others share one set.
    pub upstreams: u32,
    /// Whether every program has to run.
    pub required: bool,
    /// Whether the programs' messages go to the log.
    pub log: bool,
    /// Whether the capabilities stay, because somebody else needs them later.
    pub keep_capabilities: bool,
    /// The cgroup to attach to, if it is not the process' own.
    pub cgroup: Option<PathBuf>,
}

/// Loaded programs.
#[derive(Debug)]
pub struct Kernel {
    programs: [(Program, Result<(), Vec<Reason>>); 2],
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    /// Last to go is the object; the messages' thread reads one of its maps.
    _messages: Option<messages::Messages>,
    ebpf: Ebpf,
    flows: Arc<FlowTable>,
    accepts: Arc<AcceptTable>,
    capabilities: Capabilities,
    cgroup: PathBuf,
}

/// Why a figure of the kernel's could not be read or a setting not be made.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The system call failed.
    #[error("a map cannot be used: {0}")]
    Map(#[from] MapError),
    /// The object has no such map, or it is of another kind.
    #[error(transparent)]
    Object(#[from] Reason),
}

impl Kernel {
    /// Loads and attaches what this machine allows.
    ///
    /// # Errors
    /// If a program is [`Settings::required`] and does not run: everything that is missing.
    pub fn start(settings: &Settings) -> Result<Self, Missing> {
        let kernel = match begin(settings) {
            Ok(kernel) => kernel,
            Err(reasons) => Self::without(&reasons),
        };
        match kernel.missing() {
            Some(missing) if settings.required => Err(missing),
            _ => Ok(kernel),
        }
    }

    /// Nothing is loaded, because nobody wants it.
    pub fn off() -> Self {
        Self::without(&[Reason::Off])
    }

    /// Whether the programs are part of this binary.
    pub const fn is_built_in() -> bool {
        load::OBJECT.is_some()
    }

    fn without(reasons: &[Reason]) -> Self {
        Self {
            programs: Program::ALL.map(|program| (program, Err(reasons.to_vec()))),
            running: None,
        }
    }

    /// Each program with the reasons why it does not run, if it does not.
    pub fn programs(&self) -> &[(Program, Result<(), Vec<Reason>>)] {
        &self.programs
    }

    /// The programs that do not run, if there are such, with their reasons.
    pub fn missing(&self) -> Option<Missing> {
        let reasons = |(program, result): &(Program, Result<(), Vec<Reason>>)| {
            Some((*program, result.clone().err()?))
        };
        let missing: Vec<_> = self.programs.iter().filter_map(reasons).collect();
        (!missing.is_empty()).then_some(Missing(missing))
    }

    /// Whether a program runs.
    pub fn runs(&self, program: Program) -> bool {
        self.programs.contains(&(program, Ok(())))
    }

    /// The cgroup the programs are attached to.
    pub fn cgroup(&self) -> Option<&Path> {
        Some(&self.running.as_ref()?.cgroup)
    }

    /// Whether the capabilities were given up after attaching.
    pub fn capabilities(&self) -> Option<&Capabilities> {
        Some(&self.running.as_ref()?.capabilities)
    }

    /// The table of upstream connections, if any program fills it.
    pub fn flows(&self) -> Option<Arc<FlowTable>> {
        Some(Arc::clone(&self.running.as_ref()?.flows))
    }

    /// The table of accepted connections, if a program fills it.
    pub fn accepts(&self) -> Option<Arc<AcceptTable>> {
        let running = self.running.as_ref()?;
        self.runs(Program::SocketTiming)
            .then(|| Arc::clone(&running.accepts))
    }

    /// Says that connections to this port are the proxy's. Those accepted before are not timed.
    ///
    /// # Errors
    /// The map's.
    pub fn listens_on(&mut self, port: u16) -> Result<(), KernelError> {
        let Some(running) = &mut self.running else {
            return Ok(());
        };
        let mut ports = load::ports(&mut running.ebpf)?;
        let (word, bit) = port_bit(port);
        let present = ports.get(&word, 0)?;
        Ok(ports.set(word, present | bit, 0)?)
    }

    /// Reads what the kernel has added up.
    ///
    /// # Errors
    /// A map that cannot be read.
    pub fn snapshot(&self) -> Result<Snapshot, KernelError> {
        let Some(running) = &self.running else {
            return Ok(Snapshot::default());
        };
        let counters = snapshot::counters(load::map(&running.ebpf, "COUNTERS")?)?;
        let upstreams = if self.runs(Program::SocketTiming) {
            snapshot::upstreams(load::map(&running.ebpf, "STATS")?)?
        } else {
            Vec::new()
        };
        Ok(Snapshot {
            upstreams,
            dropped: snapshot::dropped(counters, &running.flows),
            maps: vec![
                ("FLOWS", running.flows.occupied(), FLOW_RECORDS.into()),
                ("ACCEPTED", running.accepts.waiting(), ACCEPT_RECORDS.into()),
            ],
        })
    }

    /// Instructions the verifier looked at for each loaded program, where the kernel tells (from 5.16 on).
    pub fn verified_instructions(&self) -> Vec<(String, Option<u32>)> {
        let Some(running) = &self.running else {
            return Vec::new();
        };
        let info = |(name, program): (&str, &aya::programs::Program)| {
            let info = program.info().ok()?;
            Some((name.to_owned(), info.verified_instruction_count()))
        };
        running.ebpf.programs().filter_map(info).collect()
    }
}

/// Nanoseconds of the clock the kernel programs use, `CLOCK_MONOTONIC`.
#[inline]
pub fn now_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    // It starts at zero and is never negative.
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

/// The same of a moment at which the standard library looked at the clock, which on Linux is the same one. No second look.
#[inline]
fn nanos_at(moment: Instant) -> u64 {
    static BOTH: LazyLock<(Instant, u64)> = LazyLock::new(|| (Instant::now(), now_ns()));
    let (base, base_ns) = *BOTH;
    let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    match moment.checked_duration_since(base) {
        Some(since) => base_ns.saturating_add(nanos(since)),
        None => base_ns.saturating_sub(nanos(base.duration_since(moment))),
    }
}

/// The number by which a socket is known in the kernel; one system call. 0 if it cannot be had, which no socket has.
pub fn cookie(socket: impl AsFd) -> u64 {
    rustix::net::sockopt::socket_cookie(socket).unwrap_or(0)
}

/// Everything up to a running object, or all that keeps it from running.
fn begin(settings: &Settings) -> Result<Kernel, Vec<Reason>> {
    let object = load::OBJECT.ok_or_else(|| vec![Reason::NotBuiltIn])?;
    let mut reasons: Vec<_> = load::old_kernel().into_iter().collect();
    reasons.extend(capabilities::missing().into_iter().map(Reason::Capability));
    let cgroup = match &settings.cgroup {
        None => own_cgroup(),
        Some(path) => named_cgroup(path),
    };
    // All that is missing is said at once, not one thing after the other.
    let (path, cgroup) = match (cgroup, reasons.is_empty()) {
        (Ok(cgroup), true) => cgroup,
        (Ok(_), false) => return Err(reasons),
        (Err(error), _) => {
            reasons.push(error.into());
            return Err(reasons);
        }
    };
    let mut loaded =
        load::load(object, settings.upstreams, settings.log).map_err(|reason| vec![reason])?;
    let socket_timing = load::attach_socket_timing(&mut loaded.ebpf, &cgroup, settings.log);
    let payload_timing = load::attach_payload_timing(&mut loaded.ebpf, &cgroup);
    Ok(finish(
        settings,
        loaded,
        path,
        [socket_timing, payload_timing],
    ))
}

fn finish(
    settings: &Settings,
    mut loaded: load::Loaded,
    cgroup: PathBuf,
    results: [Result<(), Reason>; 2],
) -> Kernel {
    let [socket_timing, payload_timing] = results.map(|result| result.map_err(|one| vec![one]));
    let programs = [
        (Program::SocketTiming, socket_timing),
        (Program::PayloadTiming, payload_timing),
    ];
    if programs.iter().all(|(_, result)| result.is_err()) {
        return Kernel {
            programs,
            running: None,
        };
    }
    let messages = settings
        .log
        .then(|| messages::Messages::start(&mut loaded.ebpf));
    let messages = messages.and_then(|started| {
        started
            .inspect_err(|error| tracing::warn!("no messages of kernel programs: {error}"))
            .ok()
    });
    let capabilities = if settings.keep_capabilities {
        Capabilities::Kept("they are needed later".to_owned())
    } else {
        capabilities::drop_if(|| readable(&loaded.ebpf))
    };
    let running = Running {
        _messages: messages,
        ebpf: loaded.ebpf,
        flows: Arc::new(loaded.flows),
        accepts: Arc::new(loaded.accepts),
        capabilities,
        cgroup,
    };
    Kernel {
        programs,
        running: Some(running),
    }
}

/// Whether maps can be read with the capabilities there are now.
fn readable(ebpf: &Ebpf) -> Result<(), String> {
    let map = load::map(ebpf, "COUNTERS").map_err(|error| error.to_string())?;
    snapshot::counters(map).map_err(|error| error.to_string())?;
    Ok(())
}

fn named_cgroup(path: &Path) -> Result<(PathBuf, File), CgroupError> {
    let unreadable = |error: std::io::Error| CgroupError::Unreadable {
        path: path.to_path_buf(),
        reason: error.to_string(),
    };
    Ok((path.to_path_buf(), File::open(path).map_err(unreadable)?))
}
