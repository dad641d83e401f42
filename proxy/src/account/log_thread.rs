//! The thread that writes access-log batches, so that a slow disk or pipe
//! never blocks a worker: a full queue drops the batch and counts its lines.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::sync::Arc;
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
pub struct LogThread(Option<JoinHandle<()>>);

/// Starts the thread for the configured destination; its end fails liveness.
///
/// # Errors
/// If the file cannot be opened, or the thread not started.
pub fn start(destination: &AccessLog, health: &Arc<Health>) -> io::Result<(LogSender, LogThread)> {
    let output: Box<dyn Write + Send> = match destination {
        AccessLog::Off => return Ok((LogSender(None), LogThread(None))),
        AccessLog::Stdout => Box::new(io::stdout()),
        AccessLog::File(path) => Box::new(OpenOptions::new().create(true).append(true).open(path)?),
    };
    let (sender, receiver) = sync_channel(QUEUE);
    let watched = health.watch("log");
    let thread = std::thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || {
            let _watched = watched;
            run(&receiver, output);
        })?;
    Ok((LogSender(Some(sender)), LogThread(Some(thread))))
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
    /// Waits until all that was handed over is written. The senders must be gone.
    pub fn join(mut self) {
        if let Some(thread) = self.0.take() {
            // A panic there has been reported on standard error already.
            let _ = thread.join();
        }
    }
}

fn run(batches: &Receiver<Vec<u8>>, mut output: Box<dyn Write + Send>) {
    let mut failing = false;
    while let Ok(batch) = batches.recv() {
        let result = output.write_all(&batch).and_then(|()| output.flush());
        match result {
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
