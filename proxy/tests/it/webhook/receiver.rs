//! What deliveries are forwarded to: a small HTTP server that keeps what it gets and answers as it is told.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::harness::SOON;
use crate::harness::client::find;

/// A request as it arrived.
#[derive(Clone)]
pub(crate) struct Received {
    /// Its head, names in lower case as hyper sends them.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Received {
    /// The values of a field.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        let same = fields.filter(|(field, _)| field.eq_ignore_ascii_case(name));
        same.map(|(_, value)| value).collect()
    }
}

struct State {
    status: AtomicU16,
    body: Mutex<&'static str>,
    ended: AtomicBool,
    received: Mutex<Vec<Received>>,
    /// Whether answers are held back.
    held: Mutex<bool>,
    released: Condvar,
    tls: Option<Arc<ServerConfig>>,
}

/// The server. It is down when dropped.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    pub(crate) fn start() -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)), None)
    }

    /// With TLS.
    pub(crate) fn with_tls(tls: Arc<ServerConfig>) -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)), Some(tls))
    }

    /// At an address that another had.
    pub(crate) fn at(address: SocketAddr, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            status: AtomicU16::new(200),
            body: Mutex::new("ok"),
            ended: AtomicBool::new(false),
            received: Mutex::default(),
            held: Mutex::default(),
            released: Condvar::new(),
            tls,
        });
        let thread = std::thread::spawn({
            let state = Arc::clone(&state);
            move || accept(&listener, &state)
        });
        Self {
            address,
            state,
            thread: Some(thread),
        }
    }

    /// Which status is answered from now on.
    pub(crate) fn answers(&self, status: u16) {
        self.state.status.store(status, Ordering::Relaxed);
    }

    /// With which body.
    pub(crate) fn says(&self, body: &'static str) {
        *self.state.body.lock().unwrap() = body;
    }

    /// Answers wait until [`Receiver::release`].
    pub(crate) fn hold(&self) {
        *self.state.held.lock().unwrap() = true;
    }

    pub(crate) fn release(&self) {
        *self.state.held.lock().unwrap() = false;
        self.state.released.notify_all();
    }

    /// What has come so far.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.state.received.lock().unwrap().clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.release();
        self.state.ended.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        let _woken = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _joined = thread.join();
        }
    }
}

fn accept(listener: &TcpListener, state: &Arc<State>) {
    for stream in listener.incoming() {
        if state.ended.load(Ordering::Relaxed) {
            return;
        }
        let (stream, state) = (stream.unwrap(), Arc::clone(state));
        stream.set_read_timeout(Some(SOON)).unwrap();
        std::thread::spawn(move || match &state.tls {
            Some(tls) => {
                let session = ServerConnection::new(Arc::clone(tls)).unwrap();
                serve(StreamOwned::new(session, stream), &state);
            }
            None => serve(stream, &state),
        });
    }
}

/// Serves one request; a peer that leaves before it was sent was looking only.
fn serve(mut stream: impl Read + Write, state: &State) {
    let Some(received) = read(&mut stream) else {
        return;
    };
    state.received.lock().unwrap().push(received);
    let held = state.held.lock().unwrap();
    drop(state.released.wait_while(held, |held| *held).unwrap());
    let status = state.status.load(Ordering::Relaxed);
    let body = *state.body.lock().unwrap();
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status} x\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    // Whether it is read is the proxy's affair.
    let _sent = stream
        .write_all(answer.as_bytes())
        .and_then(|()| stream.flush());
}

fn read(stream: &mut impl Read) -> Option<Received> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        if let Some(end) = find(&bytes, b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let body = bytes[end + 4..].to_vec();
            let received = Received { head, body };
            let length: usize = received.values("content-length").first()?.parse().ok()?;
            if received.body.len() >= length {
                return Some(received);
            }
        }
        match stream.read(&mut piece) {
            Ok(count) if count > 0 => bytes.extend_from_slice(&piece[..count]),
            _ => return None,
        }
    }
}
