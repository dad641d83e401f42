//! System calls per request, by name.
//!
//! Counted in a round of their own, as tracing slows the peer down. `perf
//! trace` is preferred because it slows down least: a slow proxy may find more
//! events per `epoll_wait` and make fewer calls than in production. `strace`
//! is used where perf is missing or not allowed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;
use serde::Serialize;

use crate::accounting;
use crate::load::Load;
use crate::peer::Peer;
use crate::process::Process;

/// Requests per count; connections opened at its start vanish among them.
const REQUESTS: u64 = 10_000;
/// How long a tracer may take to attach, to write its summary, and the load in between.
const ATTACH: Duration = Duration::from_secs(5);
const DETACH: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(60);

/// System calls of one peer.
#[derive(Debug, Serialize)]
pub(crate) struct Syscalls {
    pub(crate) target: String,
    pub(crate) connections: usize,
    pub(crate) requests: u64,
    pub(crate) tool: &'static str,
    /// Calls per request by name.
    pub(crate) per_request: BTreeMap<String, f64>,
}

impl Syscalls {
    /// All calls per request.
    pub(crate) fn total(&self) -> f64 {
        self.per_request.values().sum()
    }
}

/// The programs that can count system calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tool {
    Perf,
    Strace,
}

/// Counts the system calls of `peer` while it serves a fixed number of requests.
///
/// # Errors
/// When neither tool works, or a request fails.
pub(crate) async fn count(
    peer: &Peer,
    connections: usize,
    directory: &Path,
    cpu: usize,
) -> Result<Syscalls> {
    // Opens the upstream connections, whose handshakes do not belong to a request.
    Load::start(&peer.target, connections, Some(REQUESTS / 5))?
        .finish(PATIENCE)
        .await;
    let processes = peer.processes()?;
    let perf = attach(Tool::Perf, &processes, directory, cpu).await;
    let mut tracer = match perf {
        Ok(tracer) => tracer,
        Err(perf) => attach(Tool::Strace, &processes, directory, cpu)
            .await
            .with_context(|| format!("{perf:#}; try: apt-get install linux-perf strace"))?,
    };
    let load = Load::start(&peer.target, connections, Some(REQUESTS))?;
    let measured = load.finish(PATIENCE).await;
    ensure!(
        measured.errors == 0,
        "{}",
        measured.first_error.unwrap_or_default()
    );
    ensure!(
        tracer.process.end(Signal::INT, DETACH),
        "the tracer does not end"
    );
    let calls = parse(tracer.tool, &fs::read_to_string(&tracer.output)?)?;
    Ok(Syscalls {
        target: peer.name.clone(),
        connections,
        requests: measured.requests,
        tool: tracer.tool.name(),
        per_request: calls
            .into_iter()
            .map(|(name, calls)| (name, calls as f64 / measured.requests as f64))
            .collect(),
    })
}

struct Tracer {
    tool: Tool,
    process: Process,
    output: PathBuf,
}

/// Starts a tracer and waits until it has attached to all threads.
async fn attach(tool: Tool, processes: &[u32], directory: &Path, cpu: usize) -> Result<Tracer> {
    let output = directory.join("syscalls.txt");
    let mut command = tool.command(processes, &output);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut process = Process::spawn(&mut command, Some(cpu))?;
    let deadline = Instant::now() + ATTACH;
    while !tool.attached(process.id(), processes) {
        if let Some(status) = process.exited()? {
            bail!("{} ended with {status}", tool.name());
        }
        ensure!(Instant::now() < deadline, "{} does not attach", tool.name());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // perf opens its events one after the other; this is time for the rest.
    tokio::time::sleep(Duration::from_millis(300)).await;
    Ok(Tracer {
        tool,
        process,
        output,
    })
}

impl Tool {
    fn name(self) -> &'static str {
        match self {
            Self::Perf => "perf trace",
            Self::Strace => "strace",
        }
    }

    fn command(self, processes: &[u32], output: &Path) -> Command {
        let ids: Vec<String> = processes.iter().map(u32::to_string).collect();
        let mut command = match self {
            Self::Perf => Command::new("perf"),
            Self::Strace => Command::new("strace"),
        };
        match self {
            // A large buffer, so that no event is lost under load.
            Self::Perf => command.args(["trace", "-s", "-m", "2048", "-p", &ids.join(","), "-o"]),
            Self::Strace => command.args(["-f", "-c", "-p", &ids.join(","), "-o"]),
        };
        command.arg(output);
        command
    }

    fn attached(self, tracer: u32, processes: &[u32]) -> bool {
        match self {
            Self::Perf => fs::read_dir(format!("/proc/{tracer}/fd"))
                .into_iter()
                .flatten()
                .flatten()
                .filter_map(|entry| fs::read_link(entry.path()).ok())
                .any(|link| link.to_string_lossy().contains("[perf_event]")),
            Self::Strace => processes.iter().all(|pid| {
                let threads = accounting::threads(*pid).unwrap_or_default();
                threads.iter().all(|thread| {
                    let status = format!("/proc/{pid}/task/{thread}/status");
                    fs::read_to_string(status)
                        .is_ok_and(|text| text.contains(&format!("TracerPid:\t{tracer}\n")))
                })
            }),
        }
    }
}

/// Calls by name, summed over all threads.
fn parse(tool: Tool, text: &str) -> Result<BTreeMap<String, u64>> {
    ensure!(!text.contains("LOST"), "perf trace lost events");
    let mut calls = BTreeMap::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        // perf: name calls errors …; strace: share seconds µs/call calls [errors] name.
        let (name, count) = match (tool, words.as_slice()) {
            (Tool::Perf, [name, count, _, total, ..]) if total.parse::<f64>().is_ok() => {
                (*name, *count)
            }
            (Tool::Strace, [share, _, _, count, .., name]) if share.parse::<f64>().is_ok() => {
                (*name, *count)
            }
            _ => continue,
        };
        if let Ok(count) = count.parse::<u64>()
            && name != "total"
        {
            *calls.entry(name.to_owned()).or_default() += count;
        }
    }
    ensure!(!calls.is_empty(), "{} counted nothing", tool.name());
    Ok(calls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn perf_sums_threads() {
        let text = "
 Summary of events:

 nginx (8625), 58 events, 90.6%

   syscall            calls  errors  total       min       avg       max       stddev
                                     (msec)    (msec)    (msec)    (msec)        (%)
   --------------- --------  ------ -------- --------- --------- ---------     ------
   recvfrom              80     40    0.140     0.016     0.017     0.022      4.34%
   mprotect               3      0     0.060     0.018     0.020     0.024     10.75%

 nginx (8626), 58 events, 9.4%

   recvfrom               8      0     0.140     0.016     0.017     0.022      4.34%
";
        let calls = parse(Tool::Perf, text).unwrap();
        assert_eq!(
            calls,
            [("recvfrom".to_owned(), 88), ("mprotect".to_owned(), 3)].into()
        );
    }

    #[test]
    fn strace_has_an_optional_column() {
        let text = "% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.000003           1        10           read
 40.00    0.000002           2         7         3 recvfrom
------ ----------- ----------- --------- --------- ----------------
100.00    0.000005           1        17         3 total
";
        let calls = parse(Tool::Strace, text).unwrap();
        assert_eq!(
            calls,
            [("read".to_owned(), 10), ("recvfrom".to_owned(), 7)].into()
        );
    }

    #[test]
    fn lost_events_and_empty_summaries_are_errors() {
        assert!(parse(Tool::Perf, "LOST 12 events!\n").is_err());
        assert!(parse(Tool::Strace, "").is_err());
    }
}
