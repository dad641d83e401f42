//! Several processes beside each other, that end together.
//!
//! `run` and the SDK test start the emulator and the proxy with it. A thread for each child hands over
//! its lines and its end, another the signals we get; [`Group`] takes them in one place. Each child
//! leads a process group of its own: what the terminal sends reaches us alone, and we decide what
//! becomes of them.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::apt;

/// Time for running requests after Ctrl-C: longer than the proxy's own drain.
const FINISH: Duration = Duration::from_secs(30);

/// Time to end after SIGTERM, before SIGKILL.
const TERMINATE: Duration = Duration::from_secs(5);

/// How often a condition outside this process is looked at.
const POLL: Duration = Duration::from_millis(25);

/// What can happen while processes run.
pub(crate) enum Event {
    /// A child wrote a line to its standard output, if that is piped.
    Line { name: &'static str, line: String },
    /// A child ended.
    Exited {
        name: &'static str,
        status: ExitStatus,
    },
    /// We were asked to stop, by Ctrl-C ([`Signal::INT`]) or otherwise ([`Signal::TERM`]).
    Stop { signal: Signal },
}

/// A command whose process ends with us even if we are killed, for [`Group::start`].
///
/// It is `setpriv` of util-linux that asks the kernel for this before it becomes `program`: to do so
/// between fork and exec ourselves would take `unsafe`. Where there is no setpriv, a killed xtask leaves
/// its children.
pub(crate) fn bound_to_us(program: impl AsRef<OsStr>) -> Command {
    if !apt::has_program("setpriv") {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "--"]).arg(program);
    command
}

/// Running children. Dropping it ends them.
pub(crate) struct Group {
    sender: Sender<Event>,
    events: Receiver<Event>,
    running: Vec<(&'static str, Pid)>,
}

impl Group {
    /// An empty group that from now on gets our signals.
    pub(crate) fn new() -> Result<Self> {
        let (sender, events) = channel();
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])
            .context("cannot handle signals on this system")?;
        let to_group = sender.clone();
        thread::spawn(move || {
            for signal in signals.forever() {
                let signal = match signal {
                    SIGINT => Signal::INT,
                    _ => Signal::TERM,
                };
                if to_group.send(Event::Stop { signal }).is_err() {
                    break;
                }
            }
        });
        Ok(Self {
            sender,
            events,
            running: Vec::new(),
        })
    }

    /// Starts a child; `name` is for messages and events. It is the calling thread whose end is ours to
    /// a child that is [`bound_to_us`].
    pub(crate) fn start(&mut self, name: &'static str, command: &mut Command) -> Result<()> {
        let child = command
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name} ({:?})", command.get_program()))?;
        self.running.push((name, Pid::from_child(&child)));
        let sender = self.sender.clone();
        thread::spawn(move || follow(name, child, &sender));
        Ok(())
    }

    /// Sends a signal to one child and what it has started.
    pub(crate) fn signal(&self, name: &str, signal: Signal) {
        for (_, pid) in self.running.iter().filter(|(running, _)| *running == name) {
            // It fails when the child has just ended.
            let _ = kill_process_group(*pid, signal);
        }
    }

    /// The next event, or nothing when `limit` is over.
    pub(crate) fn next(&mut self, limit: Duration) -> Option<Event> {
        match self.events.recv_timeout(limit) {
            Ok(event) => {
                if let Event::Exited { name, .. } = event {
                    self.running.retain(|(running, _)| *running != name);
                }
                Some(event)
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => None,
        }
    }

    /// Waits for `ready`, which is asked again and again, and with each line a child writes.
    ///
    /// # Errors
    /// When a child ends, we are asked to stop, or `limit` is over; `what` is then in the message.
    pub(crate) fn wait_for<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut ready: impl FnMut(Option<&str>) -> Option<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            let found = match self.next(POLL) {
                Some(Event::Line { line, .. }) => ready(Some(&line)),
                Some(Event::Exited { name, status }) => {
                    bail!("the {name} ended ({status}) while waiting for {what}");
                }
                Some(Event::Stop { .. }) => bail!("interrupted while waiting for {what}"),
                None => ready(None),
            };
            if let Some(found) = found {
                return Ok(found);
            }
        }
        bail!("gave up waiting for {what} after {} s", limit.as_secs())
    }

    /// Passes on that we were asked to stop, once, gives the children time to finish what they do, and
    /// ends what is left then. To be asked again ends the waiting.
    pub(crate) fn finish(&mut self, signal: Signal) {
        self.send(signal);
        self.wait_for_ends(FINISH);
        self.end();
    }

    /// Ends all children and waits for them.
    pub(crate) fn end(&mut self) {
        self.send(Signal::TERM);
        self.wait_for_ends(TERMINATE);
        self.send(Signal::KILL);
        self.wait_for_ends(TERMINATE);
    }

    fn send(&self, signal: Signal) {
        for (_, pid) in &self.running {
            // It fails when the child has just ended, which is what we want.
            let _ = kill_process_group(*pid, signal);
        }
    }

    fn wait_for_ends(&mut self, limit: Duration) {
        let deadline = Instant::now() + limit;
        while !self.running.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || matches!(self.next(left), Some(Event::Stop { .. })) {
                break;
            }
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
    }
}

/// Hands over a child's lines and then its end.
fn follow(name: &'static str, mut child: Child, events: &Sender<Event>) {
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if events.send(Event::Line { name, line }).is_err() {
                break;
            }
        }
    }
    if let Ok(status) = child.wait() {
        // Nobody listens any more when the group is gone.
        let _ = events.send(Event::Exited { name, status });
    }
}

#[cfg(test)]
mod tests;
