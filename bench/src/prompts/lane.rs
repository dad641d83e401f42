//! One contender on a path of its own with prompts of one size: how it is set up, and one request.
//!
//! A lane has its own two hosts, its own connection to upstream's thread and, where the contender is a proxy, its own
//! process. So what a kernel or a proxy has learnt on one path, or from prompts of one size, is of no use to another.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::BytesMut;
use netlab::{Direction, Path};
use serde::Serialize;
use tokio::io::AsyncWriteExt;

use super::paths::Emulated;
use super::plan::{Situation, Size};
use crate::load::{Stream, prompt, receive, socket};
use crate::peer::{Kind, Peer, Site};
use crate::upstream::answer::COMPLETION_LENGTH;
use crate::upstream::hosted::{Notes, Upstream};

/// A request that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// Room for the answer, in bytes.
const BUFFER: usize = 16 * 1024;
/// For how long not every proxy keeps a connection.
const LONG_PAUSE: Duration = Duration::from_secs(5);
/// By how much this proxy announces a body longer, which might ask for usage (docs/usage.md).
const ADDED: u64 = 40;
/// More than the kernel's counters need, in bytes.
const COUNTERS: usize = 8 * 1024;

/// One request, as it was seen from outside.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Sample {
    pub(super) path: &'static str,
    pub(super) contender: String,
    pub(super) size: Size,
    pub(super) situation: Situation,
    /// From before the connection was opened, or the first byte written, to the whole answer; in milliseconds.
    pub(super) took_ms: f64,
    /// From the end of the lane's request before to its beginning, in milliseconds.
    pub(super) idle_ms: f64,
    /// Since the lane's request before: segments that the client's kernel sent again (`RetransSegs`), packets it sent
    /// to the path, and how many of those were lost there, the queue's included.
    pub(super) sent_again: u64,
    pub(super) packets: u64,
    pub(super) lost: u64,
    /// Which request of its connection to upstream it was, from 1; and how old that was, in milliseconds.
    pub(super) number: u64,
    pub(super) age_ms: f64,
}

/// A contender with everything around it.
pub(super) struct Lane {
    // Fields are dropped in this order: the process before the hosts.
    peer: Peer,
    /// The client's connection between two requests.
    kept: Option<Box<dyn Stream>>,
    counters: Counters,
    path: Path,
    notes: Notes,
    pub(super) emulated: Emulated,
    pub(super) kind: Kind,
    pub(super) size: Size,
    request: Vec<u8>,
    closing_request: Vec<u8>,
    /// When the last request ended.
    pub(super) ended: Instant,
    /// How long the longest of the last few requests took, which is what is expected of the next.
    pub(super) takes: Duration,
}

impl Lane {
    /// Sets a path up and starts the contender at its near end; `site` is what all contenders share.
    ///
    /// # Errors
    /// When the contender does not start.
    pub(super) fn start(
        kind: &Kind,
        (emulated, path): (&Emulated, Path),
        size: Size,
        upstream: &Upstream,
        site: &Site<'_>,
    ) -> Result<Self> {
        let (address, notes) = upstream.listen(path.server())?;
        let site = Site {
            upstream: address,
            ..*site
        };
        let peer = Peer::start_in(path.client(), kind, &site)?;
        let counters = Counters::open(&path)?;
        let port = peer.target.port();
        Ok(Self {
            peer,
            kept: None,
            counters,
            path,
            notes,
            emulated: emulated.clone(),
            kind: kind.clone(),
            size,
            request: prompt(port, size.0, false),
            closing_request: prompt(port, size.0, true),
            ended: Instant::now(),
            takes: Duration::ZERO,
        })
    }

    /// Name and version of the contender.
    pub(super) fn version(&self) -> String {
        format!("{:<14} {}", self.peer.name, self.peer.version)
    }

    /// In words.
    pub(super) fn described(&self) -> String {
        format!(
            "{}, {}, {}",
            self.emulated.name,
            self.size,
            self.kind.name()
        )
    }

    /// Packets that came faster than the path could take them.
    ///
    /// # Errors
    /// When its devices cannot be asked.
    pub(super) fn overruns(&self) -> Result<u64> {
        Ok(self.path.overruns()?)
    }

    /// Whether there is a proxy on the way.
    pub(super) fn is_proxied(&self) -> bool {
        self.kind != Kind::Direct
    }

    /// Forgets the client's connection and what was sent so far, so that something else can be measured.
    ///
    /// # Errors
    /// When the counters cannot be read.
    pub(super) fn begin(&mut self) -> Result<()> {
        self.kept = None;
        self.notes.clear();
        self.counters.since(&self.path)?;
        Ok(())
    }

    /// Makes the losses of the next request those of this sample, as of all contenders.
    pub(super) fn reseed(&self, sample: u64) {
        self.path.reseed(self.emulated.seed(sample));
    }

    /// Sends one request and waits for its answer.
    ///
    /// # Errors
    /// When the answer is wrong, does not come, or was to a request that upstream saw differently.
    pub(super) async fn send(&mut self, situation: Situation) -> Result<Sample> {
        let sent = tokio::time::timeout(PATIENCE, self.exchange(situation)).await;
        let sent = sent.with_context(|| format!("no answer within {PATIENCE:?}"));
        let (idle, took) = sent
            .and_then(|result| result)
            .with_context(|| self.described())?;
        self.takes = took.max(self.takes.mul_f64(0.7));
        let seen = self.notes.take().with_context(|| self.described())?;
        let size = self.size.0 as u64;
        ensure!(
            seen.body == size || (self.is_proxied() && seen.body == size + ADDED),
            "{}: upstream read {} bytes",
            self.described(),
            seen.body
        );
        let [sent_again, packets, lost] = self.counters.since(&self.path)?;
        Ok(Sample {
            path: self.emulated.name,
            contender: self.kind.name().to_owned(),
            size: self.size,
            situation,
            took_ms: milliseconds(took),
            idle_ms: milliseconds(idle),
            sent_again,
            packets,
            lost,
            number: seen.number,
            age_ms: milliseconds(seen.age),
        })
    }

    /// Whether upstream saw the kind of connection that was to be measured, and the pause was as it should be.
    pub(super) fn is_as_meant(&self, sample: &Sample) -> bool {
        let first = sample.number == 1;
        let meant = match sample.situation {
            // Whether a connection that losses have slowed down is used again is the proxy's choice.
            Situation::Fresh | Situation::Idle(_) if self.chooses() => true,
            // Whether one is kept for so long, too; the table says who did not.
            Situation::Idle(pause) if self.is_proxied() && pause >= LONG_PAUSE => true,
            Situation::Fresh => first != self.is_proxied(),
            Situation::Cold => first,
            Situation::Idle(_) => !first,
        };
        let longest = match sample.situation {
            // Nothing is used again.
            Situation::Fresh if !self.is_proxied() => None,
            situation => situation.longest_pause(),
        };
        meant && longest.is_none_or(|longest| sample.idle_ms <= milliseconds(longest))
    }

    /// Whether a proxy may have reasons not to use a connection again.
    fn chooses(&self) -> bool {
        self.is_proxied() && self.emulated.is_lossy()
    }

    /// One exchange: how long there was none before, and how long it took.
    async fn exchange(&mut self, situation: Situation) -> Result<(Duration, Duration)> {
        let keeps = matches!(situation, Situation::Idle(_));
        let request = match situation {
            Situation::Cold => &self.closing_request,
            Situation::Fresh | Situation::Idle(_) => &self.request,
        };
        let mut buffer = BytesMut::with_capacity(BUFFER);
        let target = &self.peer.target;
        let mut kept = self.kept.take();
        if keeps && kept.is_none() {
            kept = Some(target.connect(self.path.client().run(socket)??).await?);
        }
        // Made before the clock runs: entering the namespace takes a thread.
        let unconnected = match kept {
            Some(_) => None,
            None => Some(self.path.client().run(socket)??),
        };
        let (idle, begin) = (self.ended.elapsed(), Instant::now());
        let mut stream = match (kept, unconnected) {
            (Some(stream), _) => stream,
            (None, Some(socket)) => target.connect(socket).await?,
            (None, None) => anyhow::bail!("no connection"),
        };
        stream.write_all(request).await?;
        stream.flush().await?;
        let answer = receive(&mut stream, &mut buffer).await?;
        let took = begin.elapsed();
        self.ended = Instant::now();
        ensure!(answer.status == 200, "status {}", answer.status);
        ensure!(
            answer.body == COMPLETION_LENGTH,
            "an answer of {} bytes",
            answer.body
        );
        ensure!(!keeps || !answer.close, "the connection is not kept");
        self.kept = keeps.then_some(stream);
        Ok((idle, took))
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// What the client's kernel and the path count.
struct Counters {
    /// Of the namespace in which it was opened.
    snmp: File,
    /// Segments sent again, packets sent, packets lost.
    last: [u64; 3],
}

impl Counters {
    fn open(path: &Path) -> Result<Self> {
        let open = || File::open("/proc/thread-self/net/snmp");
        let snmp = path.client().run(open)??;
        let mut counters = Self { snmp, last: [0; 3] };
        counters.since(path)?;
        Ok(counters)
    }

    /// What has been added since the last call.
    fn since(&mut self, path: &Path) -> Result<[u64; 3]> {
        let mut text = [0; COUNTERS];
        let length = self.snmp.read_at(&mut text, 0)?;
        let text = std::str::from_utf8(text.get(..length).unwrap_or_default())?;
        let again = sent_again(text).context("no RetransSegs in /proc/net/snmp")?;
        let counts = path.journal().counts(Direction::ToServer);
        let lost = counts.lost + counts.overflowed;
        let now = [again, counts.left + lost, lost];
        let added = [0, 1, 2].map(|one: usize| now[one].saturating_sub(self.last[one]));
        self.last = now;
        Ok(added)
    }
}

/// `RetransSegs` of `/proc/net/snmp`: TCP segments sent again by all sockets of the namespace.
fn sent_again(snmp: &str) -> Option<u64> {
    let mut tcp = snmp.lines().filter(|line| line.starts_with("Tcp:"));
    let (names, values) = (tcp.next()?, tcp.next()?);
    let mut both = names.split(' ').zip(values.split(' '));
    let (_, value) = both.find(|(name, _)| *name == "RetransSegs")?;
    value.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_counter_is_read() {
        let text = "Ip: Forwarding\nIp: 1\nTcp: InSegs OutSegs RetransSegs InErrs\nTcp: 5 6 7 8\n";
        assert_eq!(sent_again(text), Some(7));
        assert_eq!(sent_again("Tcp: InSegs\nTcp: 5\n"), None);
        assert_eq!(sent_again(""), None);
    }
}
