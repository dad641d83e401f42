//! Notices changed files: keys, certificates.
//!
//! The directory is watched, not the file: Kubernetes replaces a mounted
//! Secret by swapping a symbolic link beside it, and editors write a new file
//! and rename it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// A change comes as a burst of events; wait until it is over.
const SETTLE: Duration = Duration::from_millis(50);
/// Look anyway after this long: some file systems report nothing.
const LOOK_ANYWAY: Duration = Duration::from_secs(30);

/// Watches the directories of some files.
#[derive(Debug)]
pub struct FileWatch {
    events: watch::Receiver<()>,
    /// Stops watching when dropped.
    _watcher: Option<RecommendedWatcher>,
}

impl FileWatch {
    /// Starts to watch. Where the system cannot, changes are found by looking
    /// now and then.
    pub fn new<'a>(files: impl IntoIterator<Item = &'a Path>) -> Self {
        let (sender, events) = watch::channel(());
        let on_event = move |event: notify::Result<Event>| {
            // Reading the file is an event too, and must not cause another read.
            if event.is_ok_and(|event| !matches!(event.kind, EventKind::Access(_))) {
                sender.send_replace(());
            }
        };
        let directories: BTreeSet<PathBuf> = files.into_iter().map(directory).collect();
        let watcher = notify::recommended_watcher(on_event).and_then(|mut watcher| {
            for directory in &directories {
                watcher.watch(directory, RecursiveMode::NonRecursive)?;
            }
            Ok(watcher)
        });
        if let Err(error) = &watcher {
            tracing::warn!(%error, "files are not watched, only looked at now and then");
        }
        Self {
            events,
            _watcher: watcher.ok(),
        }
    }

    /// Waits until something may have changed.
    pub async fn changed(&mut self) {
        match timeout(LOOK_ANYWAY, self.events.changed()).await {
            Ok(Ok(())) => {
                sleep(SETTLE).await;
                self.events.mark_unchanged();
            }
            // The watcher is gone; keep looking now and then.
            Ok(Err(_)) => sleep(LOOK_ANYWAY).await,
            Err(_) => {}
        }
    }
}

fn directory(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}
