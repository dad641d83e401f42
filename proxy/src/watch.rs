//! Notices changed files: keys, certificates.
//!
//! The directory is watched, not the file: Kubernetes replaces a mounted
//! Secret by swapping a symbolic link beside it, and editors write a new file
//! and rename it.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
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
        let files: Vec<&Path> = files.into_iter().collect();
        let names = files.iter().filter_map(|file| file.file_name());
        let names: BTreeSet<OsString> = names.map(OsStr::to_owned).collect();
        let on_event = move |event: notify::Result<Event>| {
            // Something may have been missed if it is an error.
            if event.map_or(true, |event| concerns(&event, &names)) {
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

/// Whether an event may change one of the files: others in the same directory may be logs, which change all the time.
fn concerns(event: &Event, names: &BTreeSet<OsString>) -> bool {
    let concerns = |path: &PathBuf| {
        path.file_name().is_none_or(|name| {
            // Of a mounted Secret it is `..data` that changes.
            names.contains(name) || name.as_encoded_bytes().starts_with(b"..")
        })
    };
    match event.kind {
        // Reading the file is an event too, and must not cause another read.
        EventKind::Access(_) => false,
        _ => event.need_rescan() || event.paths.is_empty() || event.paths.iter().any(concerns),
    }
}

fn directory(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use notify::event::{AccessKind, CreateKind, Flag, ModifyKind, RenameMode};

    use super::*;

    #[test]
    fn other_files_of_the_directory_do_not_matter() {
        let names = BTreeSet::from([OsString::from("key"), OsString::from("tls.crt")]);
        let matters = |kind, path: &str| {
            let event = Event::new(kind).add_path(Path::new("/run/secrets").join(path));
            concerns(&event, &names)
        };
        let modified = EventKind::Modify(ModifyKind::Any);
        assert!(matters(modified, "key"));
        assert!(matters(EventKind::Create(CreateKind::File), "tls.crt"));
        assert!(!matters(modified, "access.log"));
        assert!(!matters(EventKind::Access(AccessKind::Any), "key"));
        // As the kubelet and editors do it.
        let renamed = EventKind::Modify(ModifyKind::Name(RenameMode::Both));
        assert!(matters(renamed, "..data"));
        let event = Event::new(renamed).add_path("/run/secrets/key~".into());
        let event = event.add_path("/run/secrets/key".into());
        assert!(concerns(&event, &names));
        // Some were too many to be told.
        let missed = Event::new(EventKind::Other).set_flag(Flag::Rescan);
        assert!(concerns(&missed, &names));
    }
}
