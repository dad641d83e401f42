//! A kernel in QEMU, and what its serial console says.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::packages::Kernel;
use super::suite::Suite;
use crate::process::{Event, Group};
use crate::test::{Outcome, Tests};

/// For booting and powering off, several times what it takes.
const BOOT_LIMIT: Duration = Duration::from_secs(60);

/// The console is quiet but for errors; a panic ends QEMU (`-no-reboot`).
const COMMAND_LINE: &str = "console=ttyS0 quiet panic=-1";

/// What a guest said.
#[derive(Default)]
pub(super) struct Report {
    /// As its `uname -r` says.
    pub(super) release: Option<String>,
    /// From QEMU's start to the first process.
    pub(super) booted: Option<Duration>,
    pub(super) outcome: Outcome,
}

/// Boots, follows the tests, and waits for the end, for which there is a limit.
pub(super) fn run(kernel: &Kernel, image: &Path, suites: &[Suite]) -> Result<Report> {
    let mut group = Group::new()?;
    let started = Instant::now();
    group.start("guest", &mut qemu(kernel, image))?;
    let limits: u32 = suites.iter().map(|suite| suite.limit).sum();
    let deadline = started + BOOT_LIMIT + Duration::from_secs(limits.into());
    let mut reading = Reading::default();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match group.next(left) {
            Some(Event::Line { line, .. }) => {
                let line = line.trim_end();
                println!("{line}");
                reading.line(line, started.elapsed());
            }
            Some(Event::Exited { .. }) => break,
            Some(Event::Stop { .. }) => bail!("interrupted"),
            None => {
                reading
                    .tests
                    .fail("the guest did not end in time".to_owned());
                break;
            }
        }
    }
    Ok(reading.end(suites))
}

fn qemu(kernel: &Kernel, image: &Path) -> Command {
    let mut command = Command::new("qemu-system-x86_64");
    // Emulated: it works everywhere, while KVM inside virtual machines often is there and fails. Both processors
    // by one thread: with one each, a processor may still run what the other has just patched, and the kernel
    // patches itself when programs are attached.
    command.args(["-accel", "tcg,thread=single", "-cpu", "max", "-smp", "2"]);
    command.args(["-m", "1024", "-no-reboot", "-nic", "none"]);
    command.args(["-display", "none", "-monitor", "none", "-serial", "stdio"]);
    command.arg("-kernel").arg(&kernel.image);
    command.arg("-initrd").arg(image);
    command.args(["-append", COMMAND_LINE]);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// What has been read of the console so far.
#[derive(Default)]
struct Reading {
    release: Option<String>,
    booted: Option<Duration>,
    tests: Tests,
    /// Names of the suites that came to an end of their own.
    ended: Vec<String>,
    complete: bool,
}

impl Reading {
    fn line(&mut self, line: &str, elapsed: Duration) {
        let Some(message) = line.strip_prefix("@@ ") else {
            self.tests.line(line);
            return;
        };
        match message.split(' ').collect::<Vec<_>>().as_slice() {
            ["kernel", release] => {
                self.release = Some((*release).to_owned());
                self.booted = Some(elapsed);
            }
            ["suite", name, code] => {
                self.ended.push((*name).to_owned());
                // 101 is that of failed tests, which are counted by name.
                if !["0", "101"].contains(code) {
                    self.tests.fail(format!("{name} was ended with {code}"));
                } else if *code == "101" && self.tests.outcome.failed == 0 {
                    self.tests
                        .fail(format!("{name} failed, but none of its tests"));
                }
            }
            ["end"] => self.complete = true,
            _ => self.tests.fail(format!("the guest said: {message}")),
        }
    }

    fn end(mut self, suites: &[Suite]) -> Report {
        for suite in suites {
            if !self.ended.iter().any(|ended| ended == suite.name) {
                self.tests.fail(format!("{suite} was not run"));
            }
        }
        if !self.complete {
            self.tests
                .fail("the guest did not come to its end, see above".to_owned());
        }
        Report {
            release: self.release,
            booted: self.booted,
            outcome: self.tests.outcome,
        }
    }
}

#[cfg(test)]
mod tests;
