//! Loads and attaches what this machine allows, and notes for the rest why not.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::idle::{self, IdleWindows};
use super::{
    CgroupError, Kernel, Program, Reason, Running, Settings, Steering, capabilities, load,
    messages, own_cgroup, windows,
};

/// Loads and attaches everything, each part on its own.
pub(super) fn begin(settings: &Settings) -> Kernel {
    // All that is missing is said at once, not one thing after the other.
    let mut reasons: Vec<_> = load::old_kernel().into_iter().collect();
    reasons.extend(capabilities::missing().into_iter().map(Reason::Capability));
    if load::OBJECT.is_none() {
        reasons = vec![Reason::NotBuiltIn];
    }
    let steering = steer(settings, &reasons);
    let idle = IdleWindows::of(settings.tcp.as_ref());
    let timing = time(settings, &idle, &reasons).unwrap_or_else(|reasons| Timing {
        socket: Err(reasons.clone()),
        payload: Err(reasons.clone()),
        window: match windows::wanted(settings.tcp.as_ref()) {
            Some(_) => Err(reasons),
            None => Err(vec![Reason::NoWindows]),
        },
        running: None,
    });
    let (idle, congestion) = match &timing.window {
        Ok(()) => (idle, None),
        Err(_) => (
            idle.without_program("upstream_window does not run, which would see losses"),
            windows::congestion(settings.tcp.as_ref()),
        ),
    };
    Kernel {
        programs: [
            (Program::SocketTiming, timing.socket),
            (Program::PayloadTiming, timing.payload),
            (Program::UpstreamWindow, timing.window),
            (
                Program::ProbeSteering,
                steering.as_ref().map(|_| ()).map_err(Clone::clone),
            ),
        ],
        running: timing.running,
        steering: steering.ok(),
        idle,
        congestion,
        capabilities: None,
    }
}

fn steer(settings: &Settings, reasons: &[Reason]) -> Result<Steering, Vec<Reason>> {
    if settings.probe_sources.is_empty() {
        return Err(vec![Reason::NoSources]);
    }
    if !reasons.is_empty() {
        return Err(reasons.to_vec());
    }
    Steering::attach(&settings.probe_sources).map_err(|reason| vec![reason])
}

/// What became of the programs on the cgroup.
struct Timing {
    socket: Result<(), Vec<Reason>>,
    payload: Result<(), Vec<Reason>>,
    window: Result<(), Vec<Reason>>,
    running: Option<Running>,
}

fn time(
    settings: &Settings,
    idle: &IdleWindows,
    reasons: &[Reason],
) -> Result<Timing, Vec<Reason>> {
    let mut reasons = reasons.to_vec();
    let cgroup = match &settings.cgroup {
        None => own_cgroup(),
        Some(path) => named_cgroup(path),
    };
    let (path, cgroup, object) = match (cgroup, load::OBJECT) {
        (Ok((path, cgroup)), Some(object)) if reasons.is_empty() => (path, cgroup, object),
        (Err(error), Some(_)) => {
            reasons.push(error.into());
            return Err(reasons);
        }
        _ => return Err(reasons),
    };
    let mut loaded =
        load::load(object, settings.upstreams, settings.log).map_err(|reason| vec![reason])?;
    let socket = load::attach_socket_timing(&mut loaded.ebpf, &cgroup, settings.log);
    let payload = load::attach_payload_timing(&mut loaded.ebpf, &cgroup);
    let window = match (windows::wanted(settings.tcp.as_ref()), &payload) {
        (Some(tcp), Ok(())) => {
            let names = idle::names(tcp.congestion_control.as_deref());
            let settings = (windows::settings(tcp, idle.means()), &names[..]);
            load::attach_upstream_window(&mut loaded.ebpf, &cgroup, settings)
        }
        // It is `payload_timing` that sees what paths carry.
        (Some(_), Err(reason)) => Err(reason.clone()),
        (None, _) => Err(Reason::NoWindows),
    };
    let any = socket.is_ok() || payload.is_ok() || window.is_ok();
    Ok(Timing {
        socket: socket.map_err(|reason| vec![reason]),
        payload: payload.map_err(|reason| vec![reason]),
        window: window.map_err(|reason| vec![reason]),
        running: any.then(|| running(settings, loaded, path)),
    })
}

fn running(settings: &Settings, mut loaded: load::Loaded, cgroup: PathBuf) -> Running {
    let messages = settings
        .log
        .then(|| messages::Messages::start(&mut loaded.ebpf));
    let messages = messages.and_then(|started| {
        started
            .inspect_err(|error| tracing::warn!("no messages of kernel programs: {error}"))
            .ok()
    });
    Running {
        _messages: messages,
        ebpf: loaded.ebpf,
        flows: Arc::new(loaded.flows),
        accepts: Arc::new(loaded.accepts),
        windows: Arc::new(loaded.windows),
        endpoints: Arc::new(loaded.endpoints),
        cgroup,
    }
}

fn named_cgroup(path: &Path) -> Result<(PathBuf, File), CgroupError> {
    let unreadable = |error: std::io::Error| CgroupError::Unreadable {
        path: path.to_path_buf(),
        reason: error.to_string(),
    };
    Ok((path.to_path_buf(), File::open(path).map_err(unreadable)?))
}
