//! Messages of the kernel programs (`--ebpf-log`), on their way into the proxy's own log.
//!
//! The program that sends them is loaded in the place of the one that does not, so that they cost nothing when off.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::{io, thread};

use aya::Ebpf;
use aya_log::EbpfLogger;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How long a stop may take, in nanoseconds.
const PATIENCE: i64 = 200_000_000;

/// The thread that reads messages; stops when dropped.
#[derive(Debug)]
pub(super) struct Messages {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Messages {
    pub(super) fn start(ebpf: &mut Ebpf) -> io::Result<Self> {
        let mut logger =
            EbpfLogger::init_with_logger(ebpf, IntoTracing).map_err(io::Error::other)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let read = move || {
            let patience = Timespec {
                tv_sec: 0,
                tv_nsec: PATIENCE,
            };
            while !stopped.load(Relaxed) {
                let mut fds = [PollFd::new(&logger, PollFlags::IN)];
                // An interrupted wait is as good as one that ended.
                let _ = poll(&mut fds, Some(&patience));
                logger.flush();
            }
        };
        let thread = thread::Builder::new()
            .name("ebpf-log".to_owned())
            .spawn(read)?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // It has nothing to tell if it panicked.
            let _ = thread.join();
        }
    }
}

/// Hands records of the `log` crate, which aya-log speaks, to tracing.
#[derive(Debug)]
struct IntoTracing;

impl log::Log for IntoTracing {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let program = record.target();
        match record.level() {
            log::Level::Error => tracing::error!(target: "ebpf", program, "{}", record.args()),
            log::Level::Warn => tracing::warn!(target: "ebpf", program, "{}", record.args()),
            // Who asked for these messages wants to see them, whatever the log's level.
            _ => tracing::info!(target: "ebpf", program, "{}", record.args()),
        }
    }

    fn flush(&self) {}
}
