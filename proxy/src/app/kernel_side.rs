//! Starts the kernel side.

use anyhow::{Context, Result, ensure};
use ipnet::IpNet;

use crate::config::{Config, EbpfMode, MOST_UPSTREAMS};
use crate::kernel::{self, Kernel, Program};
use crate::probe;

/// Starts the kernel side; with it come the sources of probes, if those are steered.
pub(super) fn start(config: &Config) -> Result<(Kernel, Vec<IpNet>)> {
    let refused = refused_congestion_control(config)?;
    let (kernel, sources) = load_kernel(config)?;
    // A program may set any that is loaded, a process without capabilities may not.
    if let Some(error) = refused.filter(|_| !kernel.runs(Program::UpstreamWindow)) {
        tracing::warn!(%error, "connections to upstream keep the system's congestion control");
    }
    Ok((kernel, sources))
}

/// Why this process may not give connections the congestion control that is configured, if it may not.
///
/// # Errors
/// If the kernel has none of that name.
fn refused_congestion_control(config: &Config) -> Result<Option<std::io::Error>> {
    let Some(name) = config.upstream.tcp.congestion_control.as_deref() else {
        return Ok(None);
    };
    let refused = kernel::is_congestion_available(name).err();
    let known = refused.as_ref().map(std::io::Error::kind) != Some(std::io::ErrorKind::NotFound);
    ensure!(
        known,
        "upstream.tcp.congestion_control: this kernel has no {name}; \
         `sysctl net.ipv4.tcp_available_congestion_control` says which it has"
    );
    Ok(refused)
}

/// Loads the kernel programs; the summary of the start says which do not run and why. With them come the sources of probes, if those
/// are steered.
fn load_kernel(config: &Config) -> Result<(Kernel, Vec<IpNet>)> {
    if config.ebpf == EbpfMode::Off {
        if !config.probes.sources.is_empty() {
            tracing::info!("probes are not steered: kernel programs are switched off (ebpf)");
        }
        return Ok((Kernel::off(Some(&config.upstream.tcp)), Vec::new()));
    }
    let sources = probe::node::networks(&config.probes);
    let kernel = Kernel::start(&kernel::Settings {
        upstreams: u32::try_from(MOST_UPSTREAMS)?,
        probe_sources: sources.clone(),
        tcp: Some(config.upstream.tcp.clone()),
        required: config.ebpf == EbpfMode::Required,
        log: config.ebpf_log,
        ..kernel::Settings::default()
    })
    .context("--ebpf required, but kernel programs cannot run")?;
    tracing::info!(
        by = kernel.idle_windows().means().name(),
        "windows of idle connections: {}",
        kernel.idle_windows().means()
    );
    if !kernel.runs(Program::ProbeSteering) {
        return Ok((kernel, Vec::new()));
    }
    let shown = sources.iter().map(ToString::to_string).collect::<Vec<_>>();
    tracing::info!(from = shown.join(", "), "probes are steered");
    Ok((kernel, sources))
}
