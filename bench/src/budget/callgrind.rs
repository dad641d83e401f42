//! Runs a peer under callgrind, for [`super`]: which functions a request's instructions in user space are in, and how often
//! memory is allocated and copied. Reads the format of
//! <https://valgrind.org/docs/manual/cl-format.html>, written without compressed names.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use crate::load::{Load, Target};

/// Requests before anything is counted: connections are opened, tables have grown.
const WARM_UP: u64 = 200;
/// How often the number of answers is looked at.
const LOOK: Duration = Duration::from_millis(5);
/// How long so few requests may take at a fiftieth of the speed.
const PATIENCE: Duration = Duration::from_secs(120);

/// The program and its arguments in front of a peer's own; counts go to `callgrind.out.*` in the peer's directory.
pub(super) const COMMAND: [&str; 7] = [
    "valgrind",
    "--tool=callgrind",
    "--instr-atstart=no",
    "--compress-strings=no",
    "--compress-pos=no",
    "--dump-line=no",
    "--callgrind-out-file=callgrind.out",
];

/// Where instructions are, and calls of what costs more than its instructions say.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct Counts {
    /// Instructions of each function itself.
    pub(super) instructions: BTreeMap<String, u64>,
    /// How often memory was asked for, a size changed included.
    pub(super) allocations: u64,
    /// How often `memcpy` or `memmove` was called; short copies are made without.
    pub(super) copies: u64,
}

/// Counts at least so many requests, one after the other on one connection, of a process that runs under [`COMMAND`] in that
/// directory; gives how many they were, too.
///
/// # Errors
/// When a request fails, or valgrind does not do as it is told.
pub(super) async fn count(
    process: u32,
    directory: &Path,
    target: &Target,
    requests: u64,
) -> Result<(Counts, u64)> {
    // One load, so that its connection is there when counting begins.
    let load = Load::start(target, 1, None)?;
    load.record(true);
    answers(&load, WARM_UP).await?;
    load.pause().await?;
    let before = load.answers();
    control("--instr=on", process)?;
    load.resume();
    answers(&load, before + requests).await?;
    load.pause().await?;
    control("--instr=off", process)?;
    let counted = load.answers() - before;
    let measured = load.stop().await;
    ensure!(
        measured.errors == 0,
        "{}",
        measured.first_error.unwrap_or_default()
    );
    control("--dump", process)?;
    let mut counts = Counts::default();
    // One file for each dump, and in it all threads.
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("callgrind.out") {
            let text = fs::read_to_string(&path)?;
            counts
                .add(&text)
                .with_context(|| path.display().to_string())?;
        }
    }
    ensure!(
        !counts.instructions.is_empty(),
        "callgrind has counted nothing"
    );
    Ok((counts, counted))
}

/// Waits for so many answers.
async fn answers(load: &Load, count: u64) -> Result<()> {
    let enough = async {
        while load.answers() < count {
            tokio::time::sleep(LOOK).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, enough).await;
    waited.with_context(|| format!("no {count} answers within {PATIENCE:?}"))
}

fn control(what: &str, process: u32) -> Result<()> {
    let output = Command::new("callgrind_control")
        .args([what, &process.to_string()])
        .stdin(Stdio::null())
        .output()
        .context("callgrind_control; try: apt-get install valgrind")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "callgrind_control {what}: {said}");
    Ok(())
}

impl Counts {
    /// All instructions.
    pub(super) fn total(&self) -> u64 {
        self.instructions.values().sum()
    }

    /// Adds what a file says.
    fn add(&mut self, text: &str) -> Result<()> {
        let mut function = "";
        let mut callee = "";
        let mut is_call = false;
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("fn=") {
                function = plain(name);
            } else if let Some(name) = line.strip_prefix("cfn=") {
                callee = plain(name);
            } else if let Some(calls) = line.strip_prefix("calls=") {
                let count = calls.split(' ').next().unwrap_or_default();
                self.called(callee, count.parse().context("calls")?);
                // The next line has what the callee took, which is counted there.
                is_call = true;
            } else if line.starts_with(|first: char| first.is_ascii_digit()) {
                let cost = line.split(' ').nth(1).unwrap_or("0");
                if !std::mem::take(&mut is_call) {
                    let cost: u64 = cost.parse().with_context(|| line.to_owned())?;
                    *self.instructions.entry(function.to_owned()).or_default() += cost;
                }
            }
        }
        Ok(())
    }

    fn called(&mut self, callee: &str, count: u64) {
        match callee {
            "malloc" | "calloc" | "realloc" | "posix_memalign" | "aligned_alloc" => {
                self.allocations += count;
            }
            _ if callee.starts_with("__memcpy") || callee.starts_with("__memmove") => {
                self.copies += count;
            }
            _ => {}
        }
    }
}

/// Without the mark of a function that calls itself, `'2` and so on.
fn plain(name: &str) -> &str {
    match name.rsplit_once('\'') {
        Some((plain, mark)) if mark.bytes().all(|digit| digit.is_ascii_digit()) => plain,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
events: Ir
ob=/usr/bin/x
fl=a.rs
fn=holysheep_proxy::serve
0 100
cfn=malloc
calls=3 0
0 900
0 20
cfn=__memcpy_avx_unaligned_erms
calls=5 0
0 50

ob=/lib/libc.so.6
fn=malloc
0 900
fn=holysheep_proxy::serve'2
0 7

totals: 1027
";

    #[test]
    fn what_callees_took_is_counted_once() {
        let mut counts = Counts::default();
        counts.add(TEXT).unwrap();
        let own = counts.instructions["holysheep_proxy::serve"];
        assert_eq!((own, counts.instructions["malloc"]), (127, 900));
        assert_eq!(counts.total(), 1027);
        assert_eq!((counts.allocations, counts.copies), (3, 5));
    }
}
