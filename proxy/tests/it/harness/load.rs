//! Clients that ask as often as they can, of one proxy or several.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{CHAT, Client, QUESTION, eventually};

/// Clients that ask as often as they can, until they are told to stop.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    begun: Instant,
    first: Arc<OnceLock<Instant>>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// Three for each of these proxies. Any status but 200 and 429 fails the test.
    pub(crate) fn on(proxies: impl Iterator<Item = SocketAddr>) -> Self {
        let (stop, answered) = (Arc::default(), Arc::default());
        let first = Arc::new(OnceLock::new());
        let begun = Instant::now();
        let client = |address: SocketAddr| {
            let (stop, answered): (Arc<AtomicBool>, Arc<AtomicU64>) =
                (Arc::clone(&stop), Arc::clone(&answered));
            let first = Arc::clone(&first);
            std::thread::spawn(move || {
                let mut client = Client::connect(address);
                while !stop.load(Relaxed) {
                    let reply = client.request("POST", CHAT, &[], QUESTION.as_bytes());
                    first.get_or_init(Instant::now);
                    match reply.status {
                        200 => answered.fetch_add(1, Relaxed),
                        status => {
                            assert_eq!(status, 429, "{reply:?}");
                            0
                        }
                    };
                }
            })
        };
        let addresses = proxies.flat_map(|address| [address; 3]);
        let clients = addresses.map(client).collect();
        Self {
            stop,
            answered,
            begun,
            first,
            clients,
        }
    }

    /// Lets it go on for so long.
    pub(crate) fn go_on(&self, time: Duration) {
        let end = self.begun.elapsed() + time;
        eventually(|| self.begun.elapsed() > end);
    }

    /// What became of it.
    pub(crate) fn end(self) -> Outcome {
        self.stop.store(true, Relaxed);
        for client in self.clients {
            client.join().unwrap();
        }
        let answered = u32::try_from(self.answered.load(Relaxed)).unwrap();
        let first = self.first.get().copied().unwrap_or(self.begun);
        Outcome {
            answered: f64::from(answered),
            took: self.begun.elapsed().as_secs_f64(),
            asked: first.elapsed().as_secs_f64(),
        }
    }
}

/// What became of a load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    /// Requests that were answered with 200.
    pub(crate) answered: f64,
    /// Seconds from before the first request to after the last.
    pub(crate) took: f64,
    /// Seconds since the first answer: what could have been had before it nobody asked for.
    pub(crate) asked: f64,
}
