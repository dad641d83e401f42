//! The file of clients, read again when it changes or on SIGHUP.
//!
//! Like [`crate::reload`], on the control thread: a new file is checked as at the start, each worker gets the new table
//! as a job, and one that cannot be used changes nothing. Connections and requests on them go on; a request that is under
//! way keeps the client it came with.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use super::Clients;
use super::file::{self, ClientsError};
use crate::reload;
use crate::watch::FileWatch;
use crate::worker::Inbox;

/// The table in force and what became of the file, for `/metrics` and `/status`, and the way to ask for another look.
#[derive(Debug)]
pub struct Book {
    /// The file.
    pub path: PathBuf,
    /// The clients in force.
    pub clients: ArcSwap<Clients>,
    /// What is told of the file.
    pub state: ArcSwap<State>,
    /// Files that were taken over.
    pub ok: AtomicU64,
    /// Files that could not be used.
    pub failed: AtomicU64,
    asked: Notify,
}

/// What is told of the file.
#[derive(Clone, Debug)]
pub struct State {
    /// When what is in force was read.
    pub read: SystemTime,
    /// Why the file as it is now cannot be used.
    pub error: Option<String>,
    /// What it was read as: the hash of its text, which itself must not be shown, or why there was none.
    seen: Result<String, String>,
}

impl Book {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// If it cannot be used.
    pub fn open(path: &Path, workers: usize) -> Result<Self, ClientsError> {
        let text = file::read(path)?;
        let entries = file::entries(path, &text)?;
        let clients = Clients::none(workers)?.replaced_by(entries);
        Ok(Self {
            path: path.to_owned(),
            clients: ArcSwap::from_pointee(clients),
            state: ArcSwap::from_pointee(State {
                read: SystemTime::now(),
                error: None,
                seen: Ok(reload::hash(&text)),
            }),
            ok: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            asked: Notify::new(),
        })
    }

    /// Asks for the file to be read even if nothing seems to have changed.
    pub fn ask(&self) {
        self.asked.notify_one();
    }

    /// Reads the file again, if it has changed or `asked` says so. Gives the new table.
    fn look(&self, asked: bool) -> Option<Arc<Clients>> {
        let text = file::read(&self.path);
        let seen = match &text {
            Ok(text) => Ok(reload::hash(text)),
            Err(error) => Err(error.to_string()),
        };
        let old = self.state.load_full();
        if !asked && old.seen == seen {
            return None;
        }
        let state = |read, error| {
            let state = State { read, error, seen };
            self.state.store(Arc::new(state));
        };
        match text.and_then(|text| file::entries(&self.path, &text)) {
            Ok(entries) => {
                let clients = Arc::new(self.clients.load().replaced_by(entries));
                self.clients.store(Arc::clone(&clients));
                state(SystemTime::now(), None);
                self.ok.fetch_add(1, Relaxed);
                tracing::info!(
                    clients = clients.all().len(),
                    "the file of clients was read again"
                );
                Some(clients)
            }
            Err(error) => {
                tracing::error!(%error, "the clients stay as they were");
                state(old.read, Some(error.to_string()));
                self.failed.fetch_add(1, Relaxed);
                None
            }
        }
    }
}

/// Follows the file.
#[derive(Debug)]
pub struct Follower {
    /// What is told of it.
    pub book: Arc<Book>,
    /// The workers.
    pub inboxes: Vec<Inbox>,
}

impl Follower {
    /// Follows the file until the task is dropped.
    pub async fn run(self) {
        let mut watch = FileWatch::new([self.book.path.as_path()]);
        let mut asked = false;
        loop {
            // The first time for what changed while the watch was set up.
            if let Some(clients) = self.book.look(asked) {
                for inbox in &self.inboxes {
                    let clients = Arc::clone(&clients);
                    inbox.send(move |worker| worker.know(clients));
                }
            }
            asked = tokio::select! {
                () = watch.changed() => false,
                () = self.book.asked.notified() => true,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_when_it_has_changed_or_somebody_asks() {
        let name = format!("clients-follow-{}.yaml", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, "clients: [{name: a, keys: []}]").unwrap();
        let book = Book::open(&path, 1).unwrap();
        assert!(
            !format!("{book:?}").contains("keys: []}"),
            "its text is not kept"
        );
        assert!(book.look(false).is_none());
        assert!(book.look(true).is_some());
        std::fs::write(&path, "clients: [{name: b, keys: []}]").unwrap();
        assert_eq!(&*book.look(false).unwrap().all()[0].name, "b");
        std::fs::write(&path, "clients: [{name: c, kees: []}]").unwrap();
        assert!(book.look(false).is_none());
        assert!(book.look(false).is_none(), "told once");
        let error = book.state.load().error.clone().unwrap();
        assert!(error.contains("clients[0].kees"), "{error}");
        assert_eq!(&*book.clients.load().all()[0].name, "b");
        std::fs::remove_file(&path).unwrap();
        assert!(book.look(false).is_none());
        let counted = (book.ok.load(Relaxed), book.failed.load(Relaxed));
        assert_eq!(counted, (2, 2));
        assert!(Book::open(&path, 1).is_err());
    }
}
