//! How operators replace the second proxy's process, in turn, and what they get wrong with the first one's.

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use tokio::net::UnixStream;
use tokio::time::sleep;

use super::operator::{Floor, IN_FORCE};
use super::outcome::NOTHING;
use super::proxy::Line;
use super::scrape::Scrape;
use super::traffic::REPEATED;
use crate::report;

/// How long a replacement may take at most: both delays of a drain, and a start.
const REPLACEMENT: Duration = Duration::from_secs(15);
/// How a process is replaced.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// Another is started beside it.
    TakeOver,
    /// It is told to stop, and another is started before it has.
    StopAndFollow,
    /// It is told to stop, and another is started when it has.
    Restart,
}

const WAYS: [Way; 3] = [Way::TakeOver, Way::StopAndFollow, Way::Restart];

impl Floor<'_> {
    /// Replaces the process of a line again and again, in each of the [`Way`]s; the other line meanwhile is asked for its
    /// sockets by somebody who then goes away. None is begun so late that it could not be over at `last`.
    pub(super) async fn replace(&self, line: usize, every: Duration, last: Instant) {
        for (number, way) in WAYS.into_iter().cycle().enumerate() {
            sleep(every).await;
            if Instant::now() + REPLACEMENT > last {
                std::future::pending::<()>().await;
            }
            let other = &self.lines[1 - line];
            if let Err(error) = self.break_take_over(other).await {
                self.problem(&format!("{}, broken take-over", other.name), &error);
            }
            let since = self.now_s();
            report::progress(&format!("{since:.0} s: {}: {way:?}", self.lines[line].name));
            self.is_replaced[line].set(true);
            let replaced = self.replace_once(line, way).await;
            self.is_replaced[line].set(false);
            if let Err(error) = replaced {
                self.problem(&format!("{way:?}"), &error);
            }
            self.mark(since, Some(line), format!("{way:?}"));
            self.count(|done| done.replaced[number % WAYS.len()] += 1);
        }
    }

    /// Whether a process is being replaced.
    pub(super) fn is_replacing(&self) -> bool {
        self.is_replaced.iter().any(Cell::get)
    }

    async fn replace_once(&self, number: usize, way: Way) -> Result<()> {
        let line = &self.lines[number];
        let allows: &[&str] = match way {
            Way::TakeOver | Way::StopAndFollow => &[REPEATED],
            Way::Restart => &[REPEATED, NOTHING],
        };
        // Whoever starts needs a file that can be used.
        let version = self.versions[number].get().next_multiple_of(2);
        self.versions[number].set(version);
        line.settings.write(version)?;
        let window = self.book.borrow_mut().open(Some(number), allows);
        if !matches!(way, Way::TakeOver) {
            let serving = self.serving.borrow();
            let old = serving[number].as_ref().context("no process")?;
            old.signal(Signal::TERM)?;
        }
        if matches!(way, Way::Restart) {
            let old = self.serving.borrow_mut()[number].take();
            self.wait(number, old.context("no process")?).await?;
        }
        if let Some(old) = self.serves(number, line.start().await?) {
            self.wait(number, old).await?;
        }
        let ready = line.ready().await;
        let after = Instant::now() + Duration::from_secs(1);
        self.book.borrow_mut().close(window, after);
        ready
    }

    async fn break_take_over(&self, line: &Line<'_>) -> Result<()> {
        let before = Scrape::read(line.admin).await?.take_overs_failed;
        drop(UnixStream::connect(line.take_over_path()).await?);
        let deadline = Instant::now() + IN_FORCE;
        while Scrape::read(line.admin).await?.take_overs_failed <= before {
            ensure!(Instant::now() < deadline, "it was not counted");
            sleep(Duration::from_millis(100)).await;
        }
        self.count(|done| done.take_overs_broken += 1);
        Ok(())
    }
}
