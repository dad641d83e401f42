//! CPU time, as the kernel accounts it to processes and to CPUs.
//!
//! `schedstat` counts nanoseconds on a CPU exactly; the user/system split in
//! `stat` is sampled by the timer tick, so only its proportion is used.
//! Softirq work of the loopback device runs in, and is charged to, whoever
//! sends, unless the kernel has `CONFIG_IRQ_TIME_ACCOUNTING`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// CPU time that some processes have used since they started.
#[derive(Debug, Clone, Default)]
pub(crate) struct Usage {
    /// Nanoseconds on a CPU, per thread.
    threads: BTreeMap<u32, u64>,
    /// Clock ticks in user mode and in the kernel, summed over processes.
    user_ticks: u64,
    system_ticks: u64,
}

/// CPU time used between two samples, or between several pairs of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Spent {
    /// Nanoseconds on a CPU.
    pub(crate) total_ns: u64,
    user_ticks: u64,
    system_ticks: u64,
    /// Threads that came or went in between; their time is partly lost.
    pub(crate) changed_threads: usize,
}

impl Usage {
    /// Samples all threads of `processes`, but not their children; see [`family`].
    ///
    /// # Errors
    /// When a process is gone.
    pub(crate) fn sample(processes: &[u32]) -> Result<Self> {
        let mut usage = Self::default();
        for &pid in processes {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat"))
                .with_context(|| format!("process {pid} is gone"))?;
            let stat = ProcessStat::parse(&stat).with_context(|| format!("/proc/{pid}/stat"))?;
            usage.user_ticks += stat.user_ticks;
            usage.system_ticks += stat.system_ticks;
            for thread in threads(pid)? {
                let path = format!("/proc/{pid}/task/{thread}/schedstat");
                // A thread may end between the listing and the reading.
                if let Ok(text) = fs::read_to_string(&path) {
                    let on_cpu = parse_schedstat(&text).context(path)?;
                    usage.threads.insert(thread, on_cpu);
                }
            }
        }
        Ok(usage)
    }

    /// What was used since `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> Spent {
        let total: u64 = self
            .threads
            .iter()
            .map(|(thread, now)| now - earlier.threads.get(thread).copied().unwrap_or(0).min(*now))
            .sum();
        let before: BTreeSet<_> = earlier.threads.keys().collect();
        let after: BTreeSet<_> = self.threads.keys().collect();
        Spent {
            total_ns: total,
            user_ticks: self.user_ticks.saturating_sub(earlier.user_ticks),
            system_ticks: self.system_ticks.saturating_sub(earlier.system_ticks),
            changed_threads: before.symmetric_difference(&after).count(),
        }
    }
}

impl Spent {
    /// Share of it in user mode (0 to 1), estimated from ticks.
    pub(crate) fn user_share(&self) -> f64 {
        let all = (self.user_ticks + self.system_ticks).max(1);
        self.user_ticks as f64 / all as f64
    }

    /// Adds what was used between two other samples.
    pub(crate) fn add(&mut self, other: &Self) {
        self.total_ns += other.total_ns;
        self.user_ticks += other.user_ticks;
        self.system_ticks += other.system_ticks;
        self.changed_threads += other.changed_threads;
    }
}

/// The process ids of `root` and of all its descendants.
///
/// # Errors
/// When `/proc` cannot be listed.
pub(crate) fn family(root: u32) -> Result<BTreeSet<u32>> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for pid in numbered_entries(Path::new("/proc"))? {
        // Processes end while we look; those are nobody's children any more.
        if let Ok(text) = fs::read_to_string(format!("/proc/{pid}/stat"))
            && let Ok(stat) = ProcessStat::parse(&text)
        {
            children.entry(stat.parent).or_default().push(pid);
        }
    }
    let mut found = BTreeSet::new();
    let mut open = vec![root];
    while let Some(pid) = open.pop() {
        if found.insert(pid) {
            open.extend(children.get(&pid).into_iter().flatten());
        }
    }
    Ok(found)
}

/// The thread ids of a process.
///
/// # Errors
/// When the process is gone.
pub(crate) fn threads(pid: u32) -> Result<Vec<u32>> {
    numbered_entries(Path::new(&format!("/proc/{pid}/task")))
}

fn numbered_entries(directory: &Path) -> Result<Vec<u32>> {
    let entries = fs::read_dir(directory).with_context(|| directory.display().to_string())?;
    Ok(entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect())
}

/// The fields we need of `/proc/PID/stat`.
#[derive(Debug, PartialEq, Eq)]
struct ProcessStat {
    parent: u32,
    user_ticks: u64,
    system_ticks: u64,
}

impl ProcessStat {
    fn parse(text: &str) -> Result<Self> {
        // The command name is in parentheses and may itself contain both
        // spaces and parentheses; the fields begin after the last one.
        let (_, rest) = text.rsplit_once(')').context("no command name")?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let field = |index: usize| fields.get(index).context("too few fields");
        Ok(Self {
            parent: field(1)?.parse()?,
            user_ticks: field(11)?.parse()?,
            system_ticks: field(12)?.parse()?,
        })
    }
}

/// Nanoseconds on a CPU: the first of the three fields of `schedstat`.
fn parse_schedstat(text: &str) -> Result<u64> {
    let first = text.split_ascii_whitespace().next().context("empty")?;
    Ok(first.parse()?)
}

/// Ticks of one CPU, whoever used them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CpuTicks {
    busy: u64,
    idle: u64,
    steal: u64,
}

impl CpuTicks {
    /// Samples CPU number `cpu`.
    ///
    /// # Errors
    /// When the kernel does not list this CPU.
    pub(crate) fn sample(cpu: usize) -> Result<Self> {
        Self::parse(&fs::read_to_string("/proc/stat")?, cpu)
    }

    fn parse(text: &str, cpu: usize) -> Result<Self> {
        let name = format!("cpu{cpu} ");
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(&name))
            .with_context(|| format!("no {name}in /proc/stat"))?;
        let ticks = line
            .split_ascii_whitespace()
            .map(str::parse)
            .collect::<Result<Vec<u64>, _>>()?;
        let at = |index: usize| ticks.get(index).copied().unwrap_or(0);
        Ok(Self {
            // user, system, irq, softirq; guest time is part of user.
            busy: at(0) + at(2) + at(5) + at(6),
            // nice as well: it gives way, as the loops of [`crate::awake`] do.
            idle: at(1) + at(3) + at(4),
            steal: at(7),
        })
    }

    /// Shares of the time since `earlier`: busy, and taken by the hypervisor (0 to 1).
    pub(crate) fn since(&self, earlier: &Self) -> (f64, f64) {
        let busy = self.busy.saturating_sub(earlier.busy) as f64;
        let idle = self.idle.saturating_sub(earlier.idle) as f64;
        let steal = self.steal.saturating_sub(earlier.steal) as f64;
        let all = (busy + idle + steal).max(1.0);
        (busy / all, steal / all)
    }
}

#[cfg(test)]
mod tests;
