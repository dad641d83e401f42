//! An upstream that does what a test writes, byte by byte, where the emulator is too well-behaved.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::SOON;
use super::client::find;

/// Plain HTTP on a port of its own; each connection is handed to the script on a thread of its own.
pub(crate) struct Scripted {
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Scripted {
    pub(crate) fn start(script: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stopped = Arc::new(AtomicBool::new(false));
        let script = Arc::new(script);
        let thread = std::thread::spawn({
            let stopped = Arc::clone(&stopped);
            move || {
                for stream in listener.incoming() {
                    if stopped.load(Ordering::Relaxed) {
                        break;
                    }
                    let stream = stream.unwrap();
                    stream.set_read_timeout(Some(SOON)).unwrap();
                    stream.set_write_timeout(Some(SOON)).unwrap();
                    let script = Arc::clone(&script);
                    std::thread::spawn(move || script(stream));
                }
            }
        });
        Self {
            address,
            stopped,
            thread: Some(thread),
        }
    }

    /// Reads the head of a request and then nothing more, and never answers.
    pub(crate) fn deaf() -> Self {
        let held = Mutex::new(Vec::new());
        Self::start(move |mut stream| {
            if read_head(&mut stream).is_some() {
                held.lock().unwrap().push(stream);
            }
        })
    }

    /// Answers every request without a body with the same bytes.
    pub(crate) fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |mut stream| {
            while read_head(&mut stream).is_some() {
                if stream.write_all(&answer).is_err() {
                    break;
                }
            }
        })
    }

    /// The same, and each head is sent to the test.
    pub(crate) fn answering_and_noting(answer: impl Into<Vec<u8>>, heads: Sender<String>) -> Self {
        let answer = answer.into();
        let heads = Mutex::new(heads);
        Self::start(move |mut stream| {
            while let Some(head) = read_head(&mut stream) {
                // The test may have seen enough.
                let _unread = heads.lock().unwrap().send(head);
                if stream.write_all(&answer).is_err() {
                    break;
                }
            }
        })
    }

    /// A configuration that uses it and opens no connection ahead of need.
    pub(crate) fn config(&self) -> String {
        format!(
            "upstream: {{base_url: 'http://{}/v1', min_idle: 0}}\n",
            self.address
        )
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        // Wakes the accept.
        let _connected = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _joined = thread.join();
        }
    }
}

/// Reads one request head byte by byte, so that nothing after it is taken; `None` at the end.
pub(crate) fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while find(&head[head.len().saturating_sub(4)..], b"\r\n\r\n").is_none() {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return None,
        }
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}
