//! Whether the kernel programs run here, found out by loading them.

use super::Outcome;
use crate::config::{Config, EbpfMode};
use crate::kernel::{Kernel, Settings};

/// Loads and attaches the programs, and detaches them again.
pub fn possible(config: &Config) -> Outcome {
    if config.ebpf == EbpfMode::Off {
        return Outcome::Pass("off, as configured".to_owned());
    }
    let settings = Settings {
        upstreams: 1,
        // The process that serves gives them up; this one has other steps to take.
        keep_capabilities: true,
        ..Settings::default()
    };
    let kernel = match Kernel::start(&settings) {
        Ok(kernel) => kernel,
        Err(missing) => return refused(config, &missing.to_string()),
    };
    match kernel.missing() {
        None => {
            let cgroup = kernel.cgroup().map(|path| path.display().to_string());
            let cgroup = cgroup.unwrap_or_default();
            Outcome::Pass(format!("all programs run, attached to {cgroup}"))
        }
        Some(missing) => refused(config, &missing.to_string()),
    }
}

/// A reason says what to do about it itself.
fn refused(config: &Config, reasons: &str) -> Outcome {
    let reasons = reasons.replace('\n', "; ");
    if config.ebpf == EbpfMode::Required {
        let remedy = "provide what is missing, or run with --ebpf auto";
        return Outcome::Fail(reasons, remedy.to_owned());
    }
    let remedy = "the proxy works without them; timings come from TCP_INFO instead";
    Outcome::Warn(reasons, remedy.to_owned())
}
