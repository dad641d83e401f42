//! Several processes beside each other, that end together.
//!
//! `run` and the SDK test start the emulator and the proxy with it. A thread for each child hands over
//! its lines and its end, another the signals we get; [`Group`] takes them in one place.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Time for running requests after Ctrl-C, which the terminal sends to the children, too:
/// longer than the proxy's own drain, whose end a second signal would be.
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
    /// We were asked to stop; `true` for Ctrl-C.
    Stop { interrupt: bool },
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
                let interrupt = signal == SIGINT;
                if to_group.send(Event::Stop { interrupt }).is_err() {
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

    /// Starts a child; `name` is for messages and events.
    pub(crate) fn start(&mut self, name: &'static str, command: &mut Command) -> Result<()> {
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {name} ({:?})", command.get_program()))?;
        self.running.push((name, Pid::from_child(&child)));
        let sender = self.sender.clone();
        thread::spawn(move || follow(name, child, &sender));
        Ok(())
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

    /// Ends all children and waits for them. After Ctrl-C they know already and get time to finish.
    pub(crate) fn stop(&mut self, interrupt: bool) {
        if interrupt {
            self.wait_for_ends(FINISH);
        }
        self.send(Signal::TERM);
        self.wait_for_ends(TERMINATE);
        self.send(Signal::KILL);
        self.wait_for_ends(TERMINATE);
    }

    fn send(&self, signal: Signal) {
        for (_, pid) in &self.running {
            // It fails when the child has just ended, which is what we want.
            let _ = kill_process(*pid, signal);
        }
    }

    fn wait_for_ends(&mut self, limit: Duration) {
        let deadline = Instant::now() + limit;
        while !self.running.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.next(left);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.stop(false);
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
mod tests {
    use std::process::Stdio;

    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdout(Stdio::piped());
        command
    }

    #[test]
    fn lines_come_before_the_end() {
        let mut group = Group::new().unwrap();
        group
            .start("child", &mut shell("echo one; exit 3"))
            .unwrap();
        let first = group.next(TERMINATE);
        assert!(matches!(first, Some(Event::Line { line, .. }) if line == "one"));
        let second = group.next(TERMINATE);
        assert!(matches!(second, Some(Event::Exited { status, .. }) if status.code() == Some(3)));
    }

    #[test]
    fn waiting_ends_when_a_child_does() {
        let mut group = Group::new().unwrap();
        group.start("child", &mut shell("exit 1")).unwrap();
        let result = group.wait_for("an answer", TERMINATE, |_| None::<()>);
        let message = result.unwrap_err().to_string();
        assert!(message.starts_with("the child ended"), "{message}");
    }

    #[test]
    fn children_are_terminated() {
        let mut group = Group::new().unwrap();
        group
            .start("child", &mut shell("exec tail -f /dev/null"))
            .unwrap();
        group.stop(false);
        assert!(group.running.is_empty());
    }
}
