//! The thread that writes access-log batches, so that a slow disk or pipe
//! never blocks a worker: a full queue drops the batch and counts its lines.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use crate::config::AccessLog;
use crate::health::Health;

/// Batches that may wait: at 64 KiB each, a few megabytes.
const QUEUE: usize = 128;

/// A worker's end of the queue.
#[derive(Debug, Clone)]
pub struct LogSender(Option<SyncSender<Vec<u8>>>);

/// The running thread; it ends when all senders are gone.
#[derive(Debug)]
pub struct LogThread {
    thread: Option<JoinHandle<()>>,
    /// Wakes it.
    sender: LogSender,
    /// Whether the file is to be opened again.
    reopen: Arc<AtomicBool>,
}

/// Where lines go.
enum Output {
    Stdout(io::Stdout),
    File(PathBuf, File),
}

/// Starts the thread for the configured destination; its end fails liveness.
///
/// # Errors
/// If the file cannot be opened, or the thread not started.
pub fn start(destination: &AccessLog, health: &Arc<Health>) -> io::Result<(LogSender, LogThread)> {
    let reopen = Arc::new(AtomicBool::new(false));
    let output = match destination {
        AccessLog::Off => {
            let sender = LogSender(None);
            let thread = LogThread {
                thread: None,
                sender: sender.clone(),
                reopen,
            };
            return Ok((sender, thread));
        }
        AccessLog::Stdout => Output::Stdout(io::stdout()),
        AccessLog::File(path) => Output::File(path.clone(), open(path)?),
    };
    let (sender, receiver) = sync_channel(QUEUE);
    let sender = LogSender(Some(sender));
    let watched = health.watch("log");
    let is_asked = Arc::clone(&reopen);
    let thread = std::thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || {
            let _watched = watched;
            run(&receiver, output, &is_asked);
        })?;
    let thread = LogThread {
        thread: Some(thread),
        sender: sender.clone(),
        reopen,
    };
    Ok((sender, thread))
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

impl LogSender {
    /// Whether anything is written at all.
    pub const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Hands over a batch; false if it was dropped.
    pub fn send(&self, batch: Vec<u8>) -> bool {
        match self.0.as_ref().map(|sender| sender.try_send(batch)) {
            None | Some(Ok(())) => true,
            Some(Err(TrySendError::Full(_) | TrySendError::Disconnected(_))) => false,
        }
    }
}

impl LogThread {
    /// Has a file opened again, for what moves it away (logrotate).
    pub fn reopen(&self) {
        self.reopen.store(true, Relaxed);
        // It may be idle. If its queue is full it is not, and looks before the next batch.
        let _ = self.sender.send(Vec::new());
    }

    /// Waits until all that was handed over is written. The senders must be gone.
    pub fn join(mut self) {
        self.sender = LogSender(None);
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported on standard error already.
            let _ = thread.join();
        }
    }
}

impl Output {
    fn write(&mut self, batch: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.write_all(batch).and_then(|()| stdout.flush()),
            Self::File(_, file) => file.write_all(batch),
        }
    }

    /// Opens a file again; what cannot be opened is written to as before.
    fn reopen(&mut self) {
        let Self::File(path, file) = self else {
            return;
        };
        match open(path) {
            Ok(new) => {
                *file = new;
                tracing::info!(file = %path.display(), "the access log was opened again");
            }
            Err(error) => {
                tracing::error!(file = %path.display(), %error, "the access log stays where it is");
            }
        }
    }
}

fn run(batches: &Receiver<Vec<u8>>, mut output: Output, reopen: &AtomicBool) {
    let mut failing = false;
    while let Ok(batch) = batches.recv() {
        if reopen.swap(false, Relaxed) {
            output.reopen();
        }
        match output.write(&batch) {
            Ok(()) => failing = false,
            // Said once, or a broken pipe would fill the other log.
            Err(error) if !failing => {
                failing = true;
                tracing::error!(%error, "the access log cannot be written");
            }
            Err(_) => {}
        }
    }
}
