//! The threads that carry packets: one per direction, each with the queue of packets under way.
//!
//! A thread sleeps until the next packet is due or comes, and looks at the clock in a loop for the last moment before
//! a deadline. What it does is noted before it does it, so whoever got a packet finds it in the journal.

use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::{Errno, read, write};

use crate::clock::now;
use crate::journal::{Direction, Fate, Record, Recorder};
use crate::link::{Shaper, Verdict};
use crate::{Error, Segment};

/// Time before a deadline from which on the thread no longer sleeps. Waking up takes the longer the longer the CPU
/// has slept, up to some 130 µs in a virtual machine; a part of the sleep keeps the cost a part, too.
fn awake_before(sleep: Duration) -> Duration {
    (sleep / 8).clamp(Duration::from_micros(20), Duration::from_micros(250))
}

/// Packets under way in one direction; more overflow. Memory is bounded with it: some 100 MB.
const UNDER_WAY: usize = 65_536;

/// The largest packet a TUN device can have.
const LARGEST: usize = 65_536;

/// One end of the path for a relay thread.
pub(crate) type Device = Arc<OwnedFd>;

/// The threads. Dropping it ends them; packets under way are then lost.
#[derive(Debug)]
pub(crate) struct Relay {
    threads: Vec<JoinHandle<()>>,
    stop: Arc<OwnedFd>,
}

/// What a thread works with.
pub(crate) struct Lane {
    pub(crate) direction: Direction,
    pub(crate) from: Device,
    pub(crate) to: Device,
    pub(crate) shaper: Shaper,
    pub(crate) recorder: Recorder,
}

impl Relay {
    pub(crate) fn start(lanes: [Lane; 2]) -> Result<Self, Error> {
        // Not read by anybody: once written, both threads see it.
        let stop = eventfd(0, EventfdFlags::CLOEXEC).map_err(Error::system("eventfd"))?;
        let mut relay = Self {
            threads: Vec::new(),
            stop: Arc::new(stop),
        };
        for lane in lanes {
            let stop = Arc::clone(&relay.stop);
            let thread = thread::Builder::new().name(lane.direction.to_string());
            let started = thread.spawn(move || carry(lane, &stop));
            let started = started.map_err(|source| Error::System {
                what: "starting a thread",
                source,
            })?;
            relay.threads.push(started);
        }
        Ok(relay)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // It fails when the counter is full, which is as good.
        let _ = write(&self.stop, &1_u64.to_ne_bytes());
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// A packet under way.
struct Packet {
    due: Duration,
    /// When to stop sleeping for it; known once it is the next to leave.
    awake: Option<Duration>,
    came: Duration,
    segment: Option<Segment>,
    bytes: Box<[u8]>,
}

impl Packet {
    /// How long the thread may sleep, as this is the next to leave.
    fn sleep(&mut self, now: Duration) -> Duration {
        let left = self.due.saturating_sub(now);
        let awake = *self
            .awake
            .get_or_insert_with(|| self.due - awake_before(left).min(left));
        awake.saturating_sub(now)
    }
}

fn carry(mut lane: Lane, stop: &OwnedFd) {
    // Both make deadlines sharper and may be forbidden; the journal shows what came of it.
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
    let _ = rustix::process::setpriority_process(None, -20);
    let mut queue = VecDeque::new();
    let mut buffer = vec![0; LARGEST];
    loop {
        // All that has come, before anything leaves: the time it came must not wait for the other host's stack.
        if !lane.take(&mut queue, &mut buffer) {
            return;
        }
        let now = now();
        if let Some(packet) = queue.pop_front_if(|next: &mut Packet| next.due <= now) {
            lane.send(&packet);
            continue;
        }
        let sleep = queue.front_mut().map(|next| next.sleep(now));
        if sleep != Some(Duration::ZERO) && !lane.sleep(sleep, stop) {
            return;
        }
    }
}

impl Lane {
    /// Reads until nothing is there; false when the device is gone.
    fn take(&mut self, queue: &mut VecDeque<Packet>, buffer: &mut [u8]) -> bool {
        loop {
            let length = match read(&self.from, &mut *buffer) {
                Ok(length) => length,
                Err(Errno::AGAIN) => return true,
                Err(Errno::INTR) => continue,
                Err(_) => return false,
            };
            let came = now();
            let Some(bytes) = buffer.get(..length) else {
                return false;
            };
            let segment = Segment::parse(bytes);
            let has_data = segment.is_some_and(|segment| segment.data > 0);
            let verdict = match self.shaper.admit(came, length, has_data) {
                Verdict::LeaveAt(_) if queue.len() >= UNDER_WAY => Verdict::Overflow,
                verdict => verdict,
            };
            let fate = match verdict {
                Verdict::LeaveAt(due) => {
                    queue.push_back(Packet {
                        due,
                        awake: None,
                        came,
                        segment,
                        bytes: bytes.into(),
                    });
                    continue;
                }
                Verdict::Lost => Fate::Lost,
                Verdict::Overflow => Fate::Overflowed,
            };
            self.record(came, fate, length, segment);
        }
    }

    fn send(&mut self, packet: &Packet) {
        let fate = Fate::Left {
            due: packet.due,
            at: now(),
        };
        self.record(packet.came, fate, packet.bytes.len(), packet.segment);
        if write(&self.to, &packet.bytes).is_err() {
            self.recorder.refused();
        }
    }

    fn record(&mut self, came: Duration, fate: Fate, length: usize, segment: Option<Segment>) {
        self.recorder.note(Record {
            direction: self.direction,
            came,
            fate,
            length,
            segment,
        });
    }

    /// Sleeps until a packet comes, or so long; false when the relay is to stop.
    fn sleep(&self, limit: Option<Duration>, stop: &OwnedFd) -> bool {
        let timeout = limit.map(|limit| Timespec {
            tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: limit.subsec_nanos().into(),
        });
        let device = self.from.as_fd();
        let mut files = [
            PollFd::from_borrowed_fd(device, PollFlags::IN),
            PollFd::new(stop, PollFlags::IN),
        ];
        match poll(&mut files, timeout.as_ref()) {
            Ok(_) => files[1].revents().is_empty(),
            Err(error) => error == Errno::INTR,
        }
    }
}
