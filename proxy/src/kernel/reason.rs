//! Why a kernel program does not run, and what to do about it.

use std::fmt;

use super::Program;
use super::cgroup::CgroupError;

/// Why a program does not run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Somebody said so.
    #[error("switched off")]
    Off,
    /// Nobody has said where probes come from, so there are none to steer.
    #[error("no sources of probes are configured (probes.sources)")]
    NoSources,
    /// The system's windows are to stay.
    #[error("upstream.tcp leaves windows to the system")]
    NoWindows,
    /// There is no object in this binary.
    #[error(
        "kernel programs are not part of this build; `cargo xtask build-ebpf`, then build again"
    )]
    NotBuiltIn,
    /// The object does not fit this binary.
    #[error(
        "the embedded object is not of this version ({0}); `cargo xtask build-ebpf`, then build again"
    )]
    Stale(String),
    /// The kernel is too old.
    #[error("kernel {found} is too old; {needed} or newer is needed")]
    OldKernel {
        /// Its release.
        found: String,
        /// What it takes.
        needed: &'static str,
    },
    /// The process lacks a capability.
    #[error(
        "capability {0} is missing; in Kubernetes, add it and run as uid 0 (or use the privileged DaemonSet)"
    )]
    Capability(&'static str),
    /// No place to attach to.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// The kernel refuses although the capabilities are there.
    #[error(
        "the kernel does not permit {step}; is bpf() barred by seccomp, by lockdown, or by a user namespace?"
    )]
    NotPermitted {
        /// What was tried.
        step: String,
    },
    /// The kernel cannot do it.
    #[error(
        "{step}: {message}; is the kernel built with CONFIG_BPF_SYSCALL, CONFIG_CGROUP_BPF and CONFIG_BPF_STREAM_PARSER?"
    )]
    Refused {
        /// What was tried.
        step: String,
        /// What the kernel said.
        message: String,
    },
}

impl Reason {
    /// Whether the program would have nothing to do, since somebody chose so.
    pub(super) const fn is_nothing_to_do(&self) -> bool {
        matches!(self, Self::NoSources | Self::NoWindows)
    }
}

/// What keeps programs from running that have to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Missing(pub Vec<(Program, Vec<Reason>)>);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What holds for several programs is said once.
        let mut told: Vec<(&Reason, Vec<&str>)> = Vec::new();
        for (program, reasons) in &self.0 {
            for reason in reasons {
                match told.iter_mut().find(|(known, _)| *known == reason) {
                    Some((_, programs)) => programs.push(program.name()),
                    None => told.push((reason, vec![program.name()])),
                }
            }
        }
        for (index, (reason, programs)) in told.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{}: {reason}", programs.join(", "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Kernel;

    #[test]
    fn a_reason_shared_by_programs_is_told_once() {
        let both = [Program::SocketTiming, Program::PayloadTiming];
        let reasons = vec![
            Reason::Capability("CAP_BPF"),
            Reason::Capability("CAP_NET_ADMIN"),
        ];
        let missing = Missing(both.map(|program| (program, reasons.clone())).to_vec());
        let text = missing.to_string();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(
            text.starts_with("socket_timing, payload_timing: capability CAP_BPF"),
            "{text}"
        );
    }

    #[test]
    fn what_somebody_chose_is_not_missing() {
        let program = Program::ProbeSteering;
        let wants = |reason: Reason| Kernel::without(&[reason]).wants(program);
        assert!(!wants(Reason::Off) && !wants(Reason::NoSources) && !wants(Reason::NoWindows));
        assert!(wants(Reason::NotBuiltIn) && wants(Reason::Capability("CAP_BPF")));
    }
}
