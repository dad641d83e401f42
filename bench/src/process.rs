//! Child processes that are pinned to one CPU and never outlive the bench.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, Signal, getrlimit, kill_process_group, pidfd_open, setrlimit,
};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// How long a process may take to end by itself after SIGTERM.
const GRACE: Duration = Duration::from_secs(2);

/// A running child process and the process group it leads.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts `command` so that it and all its threads and children run on `cpu` only, if one is named.
    ///
    /// # Errors
    /// When the CPU may not be used or the program cannot be started.
    pub(crate) fn spawn(command: &mut Command, cpu: Option<usize>) -> Result<Self> {
        // A child inherits the affinity of the thread that starts it, so
        // there is no moment in which it could start threads elsewhere.
        let own = sched_getaffinity(None)?;
        if let Some(cpu) = cpu {
            pin(cpu)?;
        }
        let child = command.process_group(0).spawn();
        sched_setaffinity(None, &own)?;
        let program = command.get_program().display();
        Ok(Self {
            child: child.with_context(|| format!("cannot start {program}"))?,
        })
    }

    /// The id of the process itself, not of its children.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// When the kernel does not know the process.
    pub(crate) fn exited(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Its standard output, if it was piped and not taken yet.
    pub(crate) fn stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// Sends `signal` to the process group and waits for the leader to end; true if it did.
    pub(crate) fn end(&mut self, signal: Signal, grace: Duration) -> bool {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return true;
        }
        // The id cannot have been reused: the child has not been waited for.
        let pid = Pid::from_child(&self.child);
        let ended = pidfd_open(pid, PidfdFlags::empty()).is_ok_and(|pidfd| {
            // A process that has just ended is what we want anyway.
            let _ = kill_process_group(pid, signal);
            wait_readable(&pidfd, grace)
        });
        ended && self.child.wait().is_ok()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.end(Signal::TERM, GRACE) {
            self.end(Signal::KILL, GRACE);
        }
    }
}

/// Restricts the calling thread, and what it starts from now on, to one CPU.
///
/// # Errors
/// When the CPU does not exist or may not be used.
pub(crate) fn pin(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).with_context(|| format!("cannot use CPU {cpu}"))
}

/// The CPUs this thread may run on, in order.
///
/// # Errors
/// When the kernel does not say.
pub(crate) fn allowed_cpus() -> Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU)
        .filter(|cpu| set.is_set(*cpu))
        .collect())
}

/// Raises the number of descriptors to `wanted`, or as far as it may go, for this process and what it starts; what it
/// is then.
///
/// # Errors
/// When the kernel refuses.
pub(crate) fn raise_descriptors(wanted: usize) -> Result<usize> {
    let limit = getrlimit(Resource::Nofile);
    let wanted = wanted as u64;
    let to = |count: u64, maximum| Rlimit {
        current: Some(count),
        maximum,
    };
    let most = limit.maximum.unwrap_or(u64::MAX);
    if most < wanted && setrlimit(Resource::Nofile, to(wanted, Some(wanted))).is_ok() {
        return Ok(wanted as usize);
    }
    let possible = wanted.min(most);
    setrlimit(Resource::Nofile, to(possible, limit.maximum))
        .context("cannot raise the number of descriptors")?;
    Ok(possible as usize)
}

/// Waits for a pidfd to become readable, which it is once the process has ended.
fn wait_readable(pidfd: &impl std::os::fd::AsFd, grace: Duration) -> bool {
    let deadline = Instant::now() + grace;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(timeout) = Timespec::try_from(left) else {
            return false;
        };
        match poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&timeout)) {
            Err(rustix::io::Errno::INTR) => {}
            result => return result.is_ok_and(|ready| ready > 0),
        }
    }
}

#[cfg(test)]
mod tests;
