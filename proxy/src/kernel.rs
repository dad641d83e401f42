//! The kernel's view of the proxy's sockets: loads the programs of `proxy-ebpf` and reads what they write.
//!
//! `docs/kernel.md` has the picture. In short, for whoever wires it:
//!
//! * On the main thread, before any other thread is started and before the first `listen`:
//!   [`Kernel::start`]. It always gives a [`Kernel`], in which each program runs or says why not
//!   ([`Kernel::programs`]), unless all are [`Settings::required`]. Log the reasons once.
//! * For each listening socket: [`Kernel::listens_on`] with its port. For each data port: [`Kernel::steers`], and for the
//!   listeners of probes: [`Kernel::steers_to`]. Then [`Kernel::give_up_capabilities`], before any other thread.
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
mod endpoints;
mod flows;
mod idle;
mod load;
mod messages;
mod raw;
mod reason;
mod snapshot;
mod sockets;
mod start;
mod steering;
mod succession;
mod tcp_info;
mod timeline;
mod windows;

use std::net::TcpListener;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use aya::Ebpf;
use aya::maps::MapError;
use ipnet::IpNet;
use proxy_common::{ACCEPT_RECORDS, Counters, FLOW_RECORDS};

pub use accepts::AcceptTable;
pub use capabilities::{Capabilities, NEEDED as NEEDED_CAPABILITIES};
pub use cgroup::{CgroupError, open as own_cgroup};
pub use endpoints::EndpointView;
pub use flows::FlowTable;
pub use idle::{IdleWindows, Means, is_available as is_congestion_available};
pub use proxy_common::BOUNDS_NANOS;
pub(crate) use raw::give_back_memory;
pub use reason::{Missing, Reason};
pub use snapshot::{Durations, Snapshot, UpstreamTimings};
pub use sockets::{ConnectionEnd, FirstByte, Followed, Sample, Sockets};
pub use steering::{Steered, Steering};
pub use tcp_info::TcpInfo;
pub use timeline::{Sent, Timeline};
pub use windows::{PathState, Windows};

use crate::config::Tcp;

/// A program, by the name it has in metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `sock_ops`: connections, round trips, retransmits, accepted connections.
    SocketTiming,
    /// `cgroup_skb`, arriving packets: first bytes of responses.
    PayloadTiming,
    /// `sock_ops`: how much connections to upstream may send at once.
    UpstreamWindow,
    /// `sk_lookup`: connections of health probes.
    ProbeSteering,
}

impl Program {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::SocketTiming,
        Self::PayloadTiming,
        Self::UpstreamWindow,
        Self::ProbeSteering,
    ];

    /// As in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SocketTiming => "socket_timing",
            Self::PayloadTiming => "payload_timing",
            Self::UpstreamWindow => "upstream_window",
            Self::ProbeSteering => "probe_steering",
        }
    }
}

/// What to load and how.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// How many upstreams get figures of their own, up to 512. All others share one set.
    pub upstreams: u32,
    /// Where health probes come from. Without any, probes are not steered.
    pub probe_sources: Vec<IpNet>,
    /// How much connections to upstream may send at once. Without it, that is left to the system.
    pub tcp: Option<Tcp>,
    /// Whether every program has to run that has something to do.
    pub required: bool,
    /// Whether the programs' messages go to the log.
    pub log: bool,
    /// The cgroup to attach to, if it is not the process' own.
    pub cgroup: Option<PathBuf>,
}

/// Loaded programs.
#[derive(Debug)]
pub struct Kernel {
    programs: [(Program, Result<(), Vec<Reason>>); 4],
    running: Option<Running>,
    steering: Option<Steering>,
    idle: IdleWindows,
    /// The congestion control of connections to upstream, where no program sets it.
    congestion: Option<Arc<str>>,
    capabilities: Option<Capabilities>,
}

/// The programs on the cgroup and what they fill.

#[derive(Debug)]
struct Running {
    /// Last to go is the object; the messages' thread reads one of its maps.
    _messages: Option<messages::Messages>,
    ebpf: Ebpf,
    flows: Arc<FlowTable>,
    accepts: Arc<AcceptTable>,
    windows: Arc<Windows>,
    endpoints: Arc<endpoints::Endpoints>,
    cgroup: PathBuf,
}

impl Running {
    fn counters(&self) -> Result<Counters, KernelError> {
        Ok(snapshot::counters(load::map(&self.ebpf, "COUNTERS")?)?)
    }
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
        let kernel = start::begin(settings);
        match kernel.missing() {
            Some(missing) if settings.required => Err(missing),
            _ => Ok(kernel),
        }
    }

    /// Nothing is loaded, because nobody wants it. What keeps windows open is then the system's affair.
    pub fn off(tcp: Option<&Tcp>) -> Self {
        let idle = IdleWindows::of(tcp).without_program("kernel programs are switched off");
        Self {
            idle,
            congestion: windows::congestion(tcp),
            ..Self::without(&[Reason::Off])
        }
    }

    /// Whether the programs are part of this binary.
    pub const fn is_built_in() -> bool {
        load::OBJECT.is_some()
    }

    fn without(reasons: &[Reason]) -> Self {
        Self {
            programs: Program::ALL.map(|program| (program, Err(reasons.to_vec()))),
            running: None,
            steering: None,
            idle: IdleWindows::of(None),
            congestion: None,
            capabilities: None,
        }
    }

    /// Each program with the reasons why it does not run, if it does not.
    pub fn programs(&self) -> &[(Program, Result<(), Vec<Reason>>)] {
        &self.programs
    }

    /// The programs that do not run although they are wanted, if there are such, with their reasons.
    pub fn missing(&self) -> Option<Missing> {
        let reasons = |(program, result): &(Program, Result<(), Vec<Reason>>)| {
            let reasons = result.clone().err()?;
            let idle = matches!(reasons.as_slice(), [reason] if reason.is_nothing_to_do());
            (!idle).then_some((*program, reasons))
        };
        let missing: Vec<_> = self.programs.iter().filter_map(reasons).collect();
        (!missing.is_empty()).then_some(Missing(missing))
    }

    /// Whether a program should run: kernel programs are not switched off, and it would have something to do.
    pub fn wants(&self, program: Program) -> bool {
        let off = |reason: &Reason| *reason == Reason::Off || reason.is_nothing_to_do();
        !matches!(self.why_not(program), [reason] if off(reason))
    }

    /// Why a program does not run; nothing if it does.
    pub fn why_not(&self, program: Program) -> &[Reason] {
        let mut results = self.programs.iter().filter(|(each, _)| *each == program);
        let reasons = results.find_map(|(_, result)| result.as_ref().err());
        reasons.map_or(&[], Vec::as_slice)
    }

    /// Whether a program runs.
    pub fn runs(&self, program: Program) -> bool {
        self.programs.contains(&(program, Ok(())))
    }

    /// The cgroup the programs are attached to.
    pub fn cgroup(&self) -> Option<&Path> {
        Some(&self.running.as_ref()?.cgroup)
    }

    /// What became of the capabilities, once [`Self::give_up_capabilities`] was called.
    pub fn capabilities(&self) -> Option<&Capabilities> {
        self.capabilities.as_ref()
    }

    /// Gives up the capabilities that only loading and attaching take. To be called once everything is set up, from the
    /// thread all others are started from afterwards: each thread has its own.
    pub fn give_up_capabilities(&mut self) {
        if self.running.is_some() || self.steering.is_some() {
            self.capabilities = Some(capabilities::drop_if(|| {
                self.readable().map_err(|error| error.to_string())
            }));
        }
    }

    /// Whether maps can be read with the capabilities there are now.
    fn readable(&self) -> Result<(), KernelError> {
        if let Some(running) = &self.running {
            running.counters()?;
        }
        self.steered().map(drop)
    }

    /// What became of connections from sources of probes. `None` if the program that steers does not run.
    ///
    /// # Errors
    /// A map that cannot be read.
    pub fn steered(&self) -> Result<Option<Steered>, KernelError> {
        self.steering.as_ref().map(Steering::counts).transpose()
    }

    /// The table of upstream connections, if any program fills it.
    pub fn flows(&self) -> Option<Arc<FlowTable>> {
        Some(Arc::clone(&self.running.as_ref()?.flows))
    }

    /// What the paths to upstream were seen to carry, if a program sees that.
    pub fn windows(&self) -> Option<Arc<Windows>> {
        let running = self.running.as_ref()?;
        self.runs(Program::UpstreamWindow)
            .then(|| Arc::clone(&running.windows))
    }

    /// What keeps windows open while connections idle.
    pub const fn idle_windows(&self) -> &IdleWindows {
        &self.idle
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
        match &mut self.running {
            Some(running) => load::add_port(&mut running.ebpf, "PORTS", port),
            None => Ok(()),
        }
    }

    /// Steers health probes to this listener, for its family. Connections to [`Self::steers`]' ports are meant.
    ///
    /// # Errors
    /// The map's.
    pub fn steers_to(&mut self, listener: &TcpListener) -> Result<(), KernelError> {
        match &mut self.steering {
            Some(steering) => steering.listener(listener),
            None => Ok(()),
        }
    }

    /// Says that probes may come to this port, from now on.
    ///
    /// # Errors
    /// The map's.
    pub fn steers(&mut self, port: u16) -> Result<(), KernelError> {
        match &mut self.steering {
            Some(steering) => steering.port(port),
            None => Ok(()),
        }
    }

    /// Reads what the kernel has added up.
    ///
    /// # Errors
    /// A map that cannot be read.
    pub fn snapshot(&self) -> Result<Snapshot, KernelError> {
        let mut snapshot = Snapshot::default();
        if let Some(running) = &self.running {
            let counters = running.counters()?;
            if self.runs(Program::SocketTiming) || self.runs(Program::UpstreamWindow) {
                let stats = load::map(&running.ebpf, "STATS")?;
                snapshot.upstreams = snapshot::upstreams(stats, running.flows.used_slots())?;
            }
            let dropped = snapshot::dropped(counters, &running.flows);
            snapshot.dropped.extend(dropped);
            snapshot.maps = vec![
                ("FLOWS", running.flows.occupied(), FLOW_RECORDS.into()),
                ("ACCEPTED", running.accepts.waiting(), ACCEPT_RECORDS.into()),
            ];
            if self.runs(Program::UpstreamWindow) {
                let (used, all) = running.windows.occupied();
                snapshot.maps.push(("PATHS", used, all));
            }
        }
        if let Some(counts) = self.steered()? {
            snapshot.probes_steered = Some(counts.steered);
            snapshot.dropped.push(("probe_not_steered", counts.left));
        }
        Ok(snapshot)
    }

    /// Instructions the verifier looked at for each loaded program, where the kernel tells (from 5.16 on).
    pub fn verified_instructions(&self) -> Vec<(String, Option<u32>)> {
        let objects = [
            self.running.as_ref().map(|running| &running.ebpf),
            self.steering.as_ref().map(Steering::ebpf),
        ];
        let info = |(name, program): (&str, &aya::programs::Program)| {
            let info = program.info().ok()?;
            Some((name.to_owned(), info.verified_instruction_count()))
        };
        let programs = objects.into_iter().flatten().flat_map(Ebpf::programs);
        programs.filter_map(info).collect()
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
