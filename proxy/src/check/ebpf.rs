//! Whether the kernel programs run here, found out by loading them.

use super::{Line, Outcome};
use crate::config::{AfterIdle, Config, EbpfMode, InitialWindow};
use crate::kernel::{Kernel, Means, Program, Reason, Settings};
use crate::probe;

/// Loads and attaches the programs, and detaches them again: a line for those that time connections, one for that
/// which steers probes, and one for how much connections to upstream may send at once.
pub fn possible(config: &Config) -> [Line; 3] {
    let sources = probe::node::networks(&config.probes);
    let tcp = &config.upstream.tcp;
    let kernel = match config.ebpf {
        EbpfMode::Off => Kernel::off(Some(tcp)),
        _ => {
            let settings = Settings {
                upstreams: 1,
                probe_sources: sources.clone(),
                tcp: Some(tcp.clone()),
                ..Settings::default()
            };
            Kernel::start(&settings).unwrap_or_else(|_| Kernel::off(Some(tcp)))
        }
    };
    let from = sources.iter().map(ToString::to_string).collect::<Vec<_>>();
    [
        ("ebpf", timing(config, &kernel)),
        ("probes", steering(config, &kernel, &from.join(", "))),
        ("windows", windows(config, &kernel)),
    ]
    .map(|(name, result)| Line {
        name,
        of: String::new(),
        result,
    })
}

fn timing(config: &Config, kernel: &Kernel) -> Outcome {
    if config.ebpf == EbpfMode::Off {
        return Outcome::Pass("off, as configured".to_owned());
    }
    let timing = [Program::SocketTiming, Program::PayloadTiming];
    let reasons = reasons(kernel, |program| timing.contains(&program));
    if reasons.is_empty() {
        let cgroup = kernel.cgroup().map(|path| path.display().to_string());
        let cgroup = cgroup.unwrap_or_default();
        return Outcome::Pass(format!("connections are timed, in {cgroup}"));
    }
    let remedy = "the proxy works without them; timings come from TCP_INFO instead";
    refused(config, reasons, remedy)
}

fn steering(config: &Config, kernel: &Kernel, from: &str) -> Outcome {
    let listen = config.probes.listen;
    let port = listen.map(|address| format!("; port for probes {address}"));
    let port = port.unwrap_or_default();
    if config.probes.sources.is_empty() {
        return Outcome::Pass(format!("not steered: no probes.sources{port}"));
    }
    if kernel.runs(Program::ProbeSteering) {
        return Outcome::Pass(format!("steered from {from}{port}"));
    }
    if config.ebpf == EbpfMode::Off {
        let fact = format!("not steered: kernel programs are off, as configured{port}");
        let remedy =
            "probes wait behind user traffic; set ebpf, or probe the port of probes.listen";
        return Outcome::Warn(fact, remedy.to_owned());
    }
    let reasons = reasons(kernel, |program| program == Program::ProbeSteering);
    let remedy = "probes wait behind user traffic; provide what is missing, or probe the port of probes.listen";
    refused(config, reasons, remedy)
}

/// Long prompts: with how much connections begin, and whether that outlasts idling.
fn windows(config: &Config, kernel: &Kernel) -> Outcome {
    let tcp = &config.upstream.tcp;
    let idle = kernel.idle_windows().means();
    let begin = match (tcp.initial_window, kernel.runs(Program::UpstreamWindow)) {
        (InitialWindow::Off, _) => "connections begin with the system's default".to_owned(),
        (_, false) => {
            let reasons = reasons(kernel, |program| program == Program::UpstreamWindow);
            format!("connections begin with the system's default: {reasons}")
        }
        (InitialWindow::Auto, _) => "connections begin with half of what was carried".to_owned(),
        (InitialWindow::Segments(count), _) => format!("connections begin with {count} segments"),
    };
    let fact = format!("{begin}; after idling: {idle}");
    match idle {
        Means::Nothing(_) if tcp.after_idle == AfterIdle::Auto => Outcome::Warn(
            fact,
            "long prompts take several round trips after a pause; docs/long-prompts.md says what helps"
                .to_owned(),
        ),
        _ => Outcome::Pass(fact),
    }
}

/// Why programs do not run, in one line.
fn reasons(kernel: &Kernel, which: impl Fn(Program) -> bool) -> String {
    let programs = kernel.programs().iter();
    let chosen = programs.filter(|(program, _)| which(*program));
    let mut reasons: Vec<&Reason> = Vec::new();
    for reason in chosen
        .flat_map(|(_, result)| result.as_ref().err())
        .flatten()
    {
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    let reasons = reasons.iter().map(ToString::to_string);
    reasons.collect::<Vec<_>>().join("; ")
}

/// A reason says what to do about it itself.
fn refused(config: &Config, reasons: String, remedy: &str) -> Outcome {
    if config.ebpf == EbpfMode::Required {
        let remedy = "provide what is missing, or run with --ebpf auto";
        return Outcome::Fail(reasons, remedy.to_owned());
    }
    Outcome::Warn(reasons, remedy.to_owned())
}
