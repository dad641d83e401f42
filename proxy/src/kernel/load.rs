//! Loads the embedded object and attaches its programs.

use std::fs::File;
use std::io;

use aya::maps::{Array, Map, MapData, MapError};
use aya::programs::{CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, ProgramError, SockOps};
use aya::{Ebpf, EbpfError, EbpfLoader};
use proxy_common::{
    ACCEPT_RECORDS, AcceptRecord, CELLS, CongestionName, ENDPOINT_RECORDS, ENDPOINTS,
    EndpointRecord, FLOW_RECORDS, FlowRecord, PathRecord, SLOTS, WindowSettings, port_bit,
};

use super::KernelError;
use super::accepts::AcceptTable;
use super::endpoints::Endpoints;
use super::flows::FlowTable;
use super::raw::{Mapped, Shared};
use super::reason::Reason;
use super::windows::Windows;

/// Maps are paid for by the cgroup and no longer by `RLIMIT_MEMLOCK`.
const MIN_KERNEL: (u32, u32) = (5, 11);
/// As text.
const MIN_KERNEL_TEXT: &str = "5.11";

/// Messages of each level aya-log has.
const ALL_LEVELS: u8 = 5;
/// The smallest ring buffer there is, for messages nobody will send.
const NO_MESSAGES: u32 = 4096;
/// Room for messages.
const MESSAGES: u32 = 128 * 1024;

/// The object, if the build had one.
#[cfg(holysheep_ebpf)]
pub(super) const OBJECT: Option<&[u8]> = Some(aya::include_bytes_aligned!(concat!(
    env!("OUT_DIR"),
    "/proxy.bpf.o"
)));
/// The object, if the build had one.
#[cfg(not(holysheep_ebpf))]
pub(super) const OBJECT: Option<&[u8]> = None;

/// What a loaded object offers, before any program is attached.
pub(super) struct Loaded {
    pub(super) ebpf: Ebpf,
    pub(super) flows: FlowTable,
    pub(super) accepts: AcceptTable,
    pub(super) windows: Windows,
    pub(super) endpoints: Endpoints,
}

/// Why the running kernel is too old.
pub(super) fn old_kernel() -> Option<Reason> {
    let release = rustix::system::uname();
    let release = release.release().to_string_lossy().into_owned();
    is_old(&release).then_some(Reason::OldKernel {
        found: release,
        needed: MIN_KERNEL_TEXT,
    })
}

fn is_old(release: &str) -> bool {
    let mut parts = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) < MIN_KERNEL,
        _ => true,
    }
}

/// Makes the maps and maps those into memory that are read there.
pub(super) fn load(object: &[u8], upstreams: u32, log: bool) -> Result<Loaded, Reason> {
    let mut ebpf = EbpfLoader::new()
        // No program reads structures of the kernel, so nobody has to parse their description, which takes a while.
        .btf(None)
        // For `socket_messages`, the only one that sends any.
        .override_global(aya_log::LEVEL, &ALL_LEVELS, true)
        .map_max_entries("STATS", (upstreams.min(SLOTS) + 1) * CELLS)
        .map_max_entries("AYA_LOGS", if log { MESSAGES } else { NO_MESSAGES })
        .load(object)
        .map_err(refused)?;
    // Whether everything has the size it should before anybody relies on it.
    let stats = super::snapshot::upstreams(map(&ebpf, "STATS")?, 1);
    stats.map_err(stale)?;
    let flows = mapped::<FlowRecord>(&ebpf, "FLOWS", FLOW_RECORDS)?;
    let accepts = mapped::<AcceptRecord>(&ebpf, "ACCEPTED", ACCEPT_RECORDS)?;
    let paths = mapped::<PathRecord>(&ebpf, "PATHS", ENDPOINTS)?;
    let endpoints = mapped::<EndpointRecord>(&ebpf, "ENDPOINTS", ENDPOINT_RECORDS)?;
    array::<u64>(&mut ebpf, "PORTS")?;
    Ok(Loaded {
        flows: FlowTable::new(flows, upstreams.min(SLOTS)),
        accepts: AcceptTable::new(accepts),
        windows: Windows::new(paths),
        endpoints: Endpoints::new(endpoints),
        ebpf,
    })
}

/// A map of the object.
pub(super) fn map<'a>(ebpf: &'a Ebpf, name: &str) -> Result<&'a Map, Reason> {
    ebpf.map(name)
        .ok_or_else(|| Reason::Stale(format!("it has no map {name}")))
}

/// The same, to be changed.
pub(super) fn map_mut<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Map, Reason> {
    ebpf.map_mut(name)
        .ok_or_else(|| Reason::Stale(format!("it has no map {name}")))
}

/// An array to write to.
fn array<'a, V: aya::Pod>(
    ebpf: &'a mut Ebpf,
    name: &str,
) -> Result<Array<&'a mut MapData, V>, Reason> {
    Array::try_from(map_mut(ebpf, name)?).map_err(stale)
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn stale(error: MapError) -> Reason {
    Reason::Stale(error.to_string())
}

/// Sets a port's bit in a bitmap.
pub(super) fn add_port(ebpf: &mut Ebpf, name: &str, port: u16) -> Result<(), KernelError> {
    let mut ports = array::<u64>(ebpf, name)?;
    let (word, bit) = port_bit(port);
    let present = ports.get(&word, 0)?;
    Ok(ports.set(word, present | bit, 0)?)
}

fn mapped<T: Shared>(ebpf: &Ebpf, name: &str, length: u32) -> Result<Mapped<T>, Reason> {
    let Map::Array(data) = map(ebpf, name)? else {
        return Err(Reason::Stale(format!("{name} is no array")));
    };
    let info = data.info().map_err(stale)?;
    let sizes = (info.value_size() as usize, info.max_entries());
    if sizes != (size_of::<T>(), length) {
        return Err(Reason::Stale(format!("{name} has other records")));
    }
    use std::os::fd::AsFd;
    Mapped::of(data.fd().as_fd(), length)
        .map_err(|error| because(&format!("mapping {name}"), &error))
}

/// Loads and attaches the program of connections; that with messages for `log`.
pub(super) fn attach_socket_timing(
    ebpf: &mut Ebpf,
    cgroup: &File,
    log: bool,
) -> Result<(), Reason> {
    let name = if log {
        "socket_messages"
    } else {
        "socket_timing"
    };
    attach_sock_ops(ebpf, cgroup, name)
}

/// Loads and attaches the program of windows, to do what `settings` say.
pub(super) fn attach_upstream_window(
    ebpf: &mut Ebpf,
    cgroup: &File,
    (settings, names): (WindowSettings, &[(u32, CongestionName)]),
) -> Result<(), Reason> {
    let mut map = array::<WindowSettings>(ebpf, "WINDOW_SETTINGS")?;
    map.set(0, settings, 0).map_err(stale)?;
    let mut map = array::<CongestionName>(ebpf, "NAMES")?;
    for (number, name) in names {
        map.set(*number, name, 0).map_err(stale)?;
    }
    attach_sock_ops(ebpf, cgroup, "upstream_window")
}

fn attach_sock_ops(ebpf: &mut Ebpf, cgroup: &File, name: &str) -> Result<(), Reason> {
    let program: &mut SockOps = program(ebpf, name)?;
    program
        .load()
        .map_err(|error| failed(&format!("loading {name}"), error))?;
    // Single: several links on a cgroup stack anyway, and asking for more than one is an error for links.
    program
        .attach(cgroup, CgroupAttachMode::Single)
        .map_err(|error| failed(&format!("attaching {name}"), error))?;
    Ok(())
}

/// Loads and attaches the program of packets.
pub(super) fn attach_payload_timing(ebpf: &mut Ebpf, cgroup: &File) -> Result<(), Reason> {
    let name = "payload_timing";
    let program: &mut CgroupSkb = program(ebpf, name)?;
    program
        .load()
        .map_err(|error| failed(&format!("loading {name}"), error))?;
    program
        .attach(
            cgroup,
            CgroupSkbAttachType::Ingress,
            CgroupAttachMode::Single,
        )
        .map_err(|error| failed(&format!("attaching {name}"), error))?;
    Ok(())
}

pub(super) fn program<'a, T>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut T, Reason>
where
    &'a mut T: TryFrom<&'a mut aya::programs::Program>,
{
    ebpf.program_mut(name)
        .and_then(|program| program.try_into().ok())
        .ok_or_else(|| Reason::Stale(format!("it has no program {name}")))
}

pub(super) fn refused(error: EbpfError) -> Reason {
    match error {
        EbpfError::MapError(MapError::CreateError { name, io_error }) => {
            because(&format!("making the map {name}"), &io_error)
        }
        EbpfError::MapError(MapError::SyscallError(error)) => because(error.call, &error.io_error),
        other => Reason::Stale(chain(&other)),
    }
}

pub(super) fn failed(step: &str, error: ProgramError) -> Reason {
    match error {
        ProgramError::SyscallError(error) => because(step, &error.io_error),
        ProgramError::LoadError {
            io_error,
            verifier_log,
        } => {
            tracing::debug!(%verifier_log, "{step}: {io_error}");
            match complaint(&verifier_log.to_string()) {
                // It got as far as being looked at: permissions are not what is missing.
                Some(complaint) => Reason::Refused {
                    step: step.to_owned(),
                    message: format!("{io_error}, {complaint}"),
                },
                None => because(step, &io_error),
            }
        }
        other => Reason::Refused {
            step: step.to_owned(),
            message: chain(&other),
        },
    }
}

/// What the verifier objects to: the last line that is not its statistics.
fn complaint(log: &str) -> Option<&str> {
    let statistics = ["processed ", "verification time ", "stack depth "];
    log.lines()
        .map(str::trim)
        .rfind(|line| !line.is_empty() && !statistics.iter().any(|word| line.starts_with(word)))
}

fn because(step: &str, error: &io::Error) -> Reason {
    let step = step.to_owned();
    match error.kind() {
        io::ErrorKind::PermissionDenied => Reason::NotPermitted { step },
        _ => Reason::Refused {
            step,
            message: error.to_string(),
        },
    }
}

/// An error with all its sources.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
