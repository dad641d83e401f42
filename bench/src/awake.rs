//! CPUs that do not sleep: a loop on each that runs only when nothing else would.
//!
//! A CPU with nothing to do halts, and a virtual one that halts is the hypervisor's to wake up again, which takes longer
//! than a proxy does with a request. With the loops it is seen what a proxy adds by itself; they give way at once to
//! whatever wakes up (`SCHED_IDLE`, sched(7)).

use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::process::Process;

/// The loop ends with the bench. It seldom asks: system calls are not on the account of a nice value.
const WATCH: &str = "while kill -0";
const COUNT: &str = "i=0; while [ $i -lt 1000000 ]; do i=$((i+1)); done";

/// Loops that end when this is dropped, or the bench is no more.
#[derive(Debug)]
pub(crate) struct Awake {
    _loops: Vec<Process>,
}

impl Awake {
    /// Keeps `cpus` awake.
    ///
    /// # Errors
    /// When `nice`, `chrt` or `sh` cannot be started.
    pub(crate) fn keep(cpus: &[usize]) -> Result<Self> {
        let start = |cpu: &usize| {
            let mut command = Command::new("nice");
            // The nice value is for the account: `/proc/stat` has a column of its own for it.
            command.args(["-n", "19", "chrt", "--idle", "0", "sh", "-c"]);
            command.arg(format!("{WATCH} {}; do {COUNT}; done", std::process::id()));
            command.stdin(Stdio::null()).stdout(Stdio::null());
            Process::spawn(&mut command, Some(*cpu)).context("chrt is in Debian's util-linux")
        };
        let loops = cpus.iter().map(start).collect::<Result<_>>()?;
        Ok(Self { _loops: loops })
    }
}
