//! The file `budgets.json` in `state_dir`: what each client has cost, by day and by month.
//!
//! Whoever adds to it holds the lock, reads it again, and puts a new file in its place. So it is whole at any time, and
//! several processes can share it: one that takes over from another, for a moment, or many on one host.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::super::{amount, pico};
use super::{Entry, Told, Unusable};
use crate::cost::Amount;
use crate::replace::replace;

/// How long others may have the lock.
const PATIENCE: Duration = Duration::from_secs(1);
/// Days, and months, that stay in the file.
const KEPT: usize = 2;

/// Amounts in US dollars by client, by period.
type Book = BTreeMap<Box<str>, BTreeMap<Box<str>, Amount>>;

/// The file, and what is known of it.
#[derive(Debug)]
pub struct FileStore {
    path: PathBuf,
    lock: File,
    told: Told,
}

impl FileStore {
    /// The one in this directory, which is made if there is none.
    pub(super) fn open(directory: &Path) -> Result<Self, Unusable> {
        fs::create_dir_all(directory).map_err(in_file(directory))?;
        let path = directory.join("budgets.lock");
        // Who spends what is nobody else's business.
        let lock = OpenOptions::new()
            .write(true)
            .mode(0o600)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(in_file(&path))?;
        Ok(Self {
            path: directory.join("budgets.json"),
            lock,
            told: Told::new(),
        })
    }

    pub(super) fn exchange(&mut self, entries: &[Entry]) -> Result<Vec<u64>, Unusable> {
        self.wait_for_lock()?;
        let exchanged = self.exchange_locked(entries);
        // A lock that is left ends with the process, and keeps this one out no more than others.
        let unlocked = self.lock.unlock().map_err(in_file(&self.path));
        exchanged.and_then(|wholes| unlocked.map(|()| wholes))
    }

    /// Others have it for as long as it takes to write a small file; one that has stopped must not stop this one.
    #[expect(
        clippy::disallowed_methods,
        reason = "at the start, or on a thread that may block"
    )]
    fn wait_for_lock(&self) -> Result<(), Unusable> {
        let begun = Instant::now();
        loop {
            match self.lock.try_lock() {
                Ok(()) => return Ok(()),
                Err(TryLockError::Error(error)) => return Err(in_file(&self.path)(error)),
                Err(TryLockError::WouldBlock) if begun.elapsed() > PATIENCE => {
                    let busy = io::Error::from(io::ErrorKind::WouldBlock);
                    return Err(in_file(&self.path.with_extension("lock"))(busy));
                }
                Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    fn exchange_locked(&mut self, entries: &[Entry]) -> Result<Vec<u64>, Unusable> {
        let mut book = self.read()?;
        let mut has_changed = false;
        let mut wholes = Vec::with_capacity(entries.len());
        for entry in entries {
            let key = (entry.client.clone(), entry.period.clone());
            let told = self.told.get(&key).copied().unwrap_or(0);
            let period = book.entry(entry.period.text().into()).or_default();
            let whole = match entry.own.checked_sub(told) {
                None | Some(0) => period.get(&entry.client).copied().unwrap_or_default(),
                Some(more) => {
                    has_changed = true;
                    let whole = period.entry(entry.client.clone()).or_default();
                    *whole = whole.plus(amount(more));
                    *whole
                }
            };
            wholes.push(pico(whole));
        }
        if has_changed {
            prune(&mut book);
            self.write(&book).map_err(in_file(&self.path))?;
            for entry in entries {
                let key = (entry.client.clone(), entry.period.clone());
                self.told.insert(key, entry.own);
            }
            self.told
                .retain(|(_, period), _| book.contains_key(period.text()));
        }
        Ok(wholes)
    }

    /// Each time anew: others write it, and neither its number nor its time tells one from the next for certain.
    fn read(&self) -> Result<Book, Unusable> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Book::new()),
            Err(error) => return Err(in_file(&self.path)(error)),
        };
        serde_json::from_str(&text).map_err(|reason| Unusable::Content {
            path: self.path.clone(),
            reason,
        })
    }

    /// Puts a new file in the place of the old one.
    fn write(&self, book: &Book) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(book)?;
        text.push(b'\n');
        replace(&self.path, &text)
    }
}

/// Leaves the last few days and months.
fn prune(book: &mut Book) {
    let is_month = |period: &str| period.len() == "0000-00".len();
    for months in [false, true] {
        let periods = book.keys().filter(|period| is_month(period) == months);
        let old: Vec<_> = periods.rev().skip(KEPT).cloned().collect();
        for period in old {
            book.remove(&period);
        }
    }
}

fn in_file(path: &Path) -> impl Fn(io::Error) -> Unusable {
    let path = path.to_owned();
    move |reason| Unusable::File {
        path: path.clone(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::budget::{Period, Span};

    fn directory(name: &str) -> PathBuf {
        let name = format!("holysheep-budgets-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        // One of a run that was broken off.
        let _ = fs::remove_dir_all(&path);
        path
    }

    fn entry(client: &str, day: &str, own: u64) -> Entry {
        let time = humantime::parse_rfc3339(&format!("{day}T10:00:00Z")).unwrap();
        Entry {
            client: client.into(),
            span: Span::Day,
            period: Period::of(Span::Day, time),
            own,
        }
    }

    #[test]
    fn several_processes_add_to_one_file() {
        let path = directory("several");
        let open = || FileStore::open(&path).unwrap();
        let (mut one, mut other) = (open(), open());
        let day = "2026-11-27";
        let tell = |store: &mut FileStore, own| store.exchange(&[entry("a", day, own)]).unwrap()[0];
        assert_eq!(tell(&mut one, 5), 5);
        assert_eq!(tell(&mut other, 2), 7);
        // What is told in all is not added twice.
        assert_eq!(tell(&mut one, 5), 7);
        assert_eq!(tell(&mut one, 6), 8);
        assert_eq!(tell(&mut other, 2), 8);
        assert_eq!(tell(&mut open(), 0), 8);
        let text = fs::read_to_string(path.join("budgets.json")).unwrap();
        let book: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(book[day]["a"], 8e-12);
        fs::remove_dir_all(&path).unwrap();
    }

    #[test]
    fn what_another_process_writes_again_and_again_is_seen() {
        let path = directory("again");
        let open = || FileStore::open(&path).unwrap();
        let (mut one, mut other) = (open(), open());
        let tell = |store: &mut FileStore, own| {
            store.exchange(&[entry("a", "2026-11-27", own)]).unwrap()[0]
        };
        // File systems give a number that has become free to the next file.
        for own in 1..50 {
            tell(&mut other, 2 * own - 1);
            tell(&mut other, 2 * own);
            assert_eq!(tell(&mut one, 0), 2 * own);
        }
        fs::remove_dir_all(&path).unwrap();
    }

    #[test]
    fn a_process_that_keeps_the_lock_holds_up_nobody_for_long() {
        let path = directory("busy");
        let open = || FileStore::open(&path).unwrap();
        let (mut one, other) = (open(), open());
        other.lock.lock().unwrap();
        let error = one.exchange(&[entry("a", "2026-11-27", 1)]).unwrap_err();
        assert!(error.to_string().contains("budgets.lock"), "{error}");
        drop(other);
        one.exchange(&[entry("a", "2026-11-27", 1)]).unwrap();
        fs::remove_dir_all(&path).unwrap();
    }

    #[test]
    fn old_days_leave_the_file() {
        let path = directory("old");
        let mut store = FileStore::open(&path).unwrap();
        for day in ["2026-11-24", "2026-11-25", "2026-11-26", "2026-11-27"] {
            store.exchange(&[entry("a", day, 1)]).unwrap();
        }
        let book = store.read().unwrap();
        let days: Vec<_> = book.keys().map(AsRef::as_ref).collect();
        assert_eq!(days, ["2026-11-26", "2026-11-27"]);
        assert_eq!(store.told.len(), 2);
        fs::remove_dir_all(&path).unwrap();
    }

    #[test]
    fn a_file_of_something_else_is_left_alone() {
        let path = directory("else");
        let mut store = FileStore::open(&path).unwrap();
        fs::write(path.join("budgets.json"), "{\"2026-11-27\": {\"a\": -1}}").unwrap();
        let error = store.exchange(&[entry("a", "2026-11-27", 1)]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("budgets.json: -1 is no amount"), "{text}");
        assert!(text.contains("line 1"), "{text}");
        let text = fs::read_to_string(path.join("budgets.json")).unwrap();
        assert!(text.contains("-1"));
        fs::remove_dir_all(&path).unwrap();
    }
}
