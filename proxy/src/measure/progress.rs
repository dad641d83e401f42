//! How far a run is, on standard error: a bar for a person at a terminal, else a line now and then.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// Characters of the bar.
const BAR: usize = 30;

/// What is done of what.
#[derive(Debug)]
pub(super) struct Progress {
    is_terminal: bool,
    what: &'static str,
    done: usize,
    all: usize,
    failed: usize,
    /// When it is expected to end.
    end: Instant,
    told: Instant,
}

impl Progress {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            is_terminal: stderr().is_terminal(),
            what: "warming up",
            done: 0,
            all: 0,
            failed: 0,
            end: now,
            told: now,
        }
    }

    /// Requests to warm up follow.
    pub(super) fn warm_up(&mut self, all: usize) {
        self.all = all;
        self.look();
    }

    /// The run itself follows.
    pub(super) fn begin(&mut self, all: usize, takes: Duration) {
        (self.what, self.done, self.all, self.failed) = ("measuring", 0, all, 0);
        self.told = Instant::now();
        self.end = self.told + takes;
        if !self.is_terminal {
            note(&self.in_words());
        }
    }

    /// One more request or connection is done.
    pub(super) fn note(&mut self, failed: bool) {
        self.done += 1;
        self.failed += usize::from(failed);
    }

    /// Tells, if it is time to.
    pub(super) fn look(&mut self) {
        if self.is_terminal {
            print(&format!("\r{} {}\x1b[K", self.bar(), self.in_words()));
        } else if self.told.elapsed() >= LINE_EVERY {
            self.told = Instant::now();
            note(&self.in_words());
        }
    }

    /// Takes the bar away.
    pub(super) fn end(&self) {
        if self.is_terminal {
            print("\r\x1b[K");
        }
    }

    fn bar(&self) -> String {
        let filled = (BAR * self.done)
            .checked_div(self.all)
            .unwrap_or(0)
            .min(BAR);
        format!("[{}{}]", "█".repeat(filled), " ".repeat(BAR - filled))
    }

    fn in_words(&self) -> String {
        let left = self
            .end
            .saturating_duration_since(Instant::now())
            .as_secs_f64();
        let left = match left > 0.0 {
            true => format!(", {} s left", left.ceil()),
            false => String::new(),
        };
        let failed = match self.failed {
            0 => String::new(),
            failed => format!(", {failed} failed"),
        };
        format!("{}: {} of {}{failed}{left}", self.what, self.done, self.all)
    }
}

/// Tells the person beside what is printed, if there is anybody.
pub(super) fn note(text: &str) {
    print(&format!("{text}\n"));
}

/// Whether anybody reads it makes no difference to what is measured.
fn print(text: &str) {
    let mut out = stderr().lock();
    let _unread = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_filled_by_what_is_done() {
        let mut progress = Progress::new();
        assert_eq!(progress.bar(), format!("[{}]", " ".repeat(BAR)));
        progress.begin(4, Duration::ZERO);
        progress.note(false);
        progress.note(true);
        assert_eq!(
            progress.bar(),
            format!("[{0}{1}]", "█".repeat(15), " ".repeat(15))
        );
        assert_eq!(progress.in_words(), "measuring: 2 of 4, 1 failed");
    }
}
