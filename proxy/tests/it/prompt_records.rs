//! A long prompt leaves in TLS records as large as they may be: each costs bytes and a seal, and upstream can use none
//! before its end has come.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, OnceLock};

use crate::harness::upstream::Scripted;
use crate::harness::{CHAT, QUESTION, Rig};

/// Plaintext of a full record (RFC 8446 section 5.1).
const FULL: usize = 16 * 1024;
/// Content type of what carries data (RFC 8446 section 5.1).
const APPLICATION_DATA: u8 = 23;
/// What such a record has besides: the inner content type and the tag.
const OVERHEAD: usize = 1 + 16;

/// The plaintext lengths of the records of application data that the proxy has sent, all connections together.
type Records = Arc<Mutex<Vec<usize>>>;

/// Copies records from the proxy to `upstream`, and notes them.
fn relay(mut proxy: TcpStream, upstream: SocketAddr, records: &Records) -> io::Result<()> {
    let mut to = TcpStream::connect(upstream)?;
    let (mut from, mut back) = (to.try_clone()?, proxy.try_clone()?);
    std::thread::spawn(move || {
        // Either side may be gone already.
        let _ended = io::copy(&mut from, &mut back);
        let _closed = back.shutdown(Shutdown::Both);
    });
    let mut head = [0; 5];
    loop {
        proxy.read_exact(&mut head)?;
        let [kind, .., high, low] = head;
        let length = u16::from_be_bytes([high, low]).into();
        let mut record = vec![0; length];
        proxy.read_exact(&mut record)?;
        if kind == APPLICATION_DATA {
            records.lock().unwrap().push(length - OVERHEAD);
        }
        to.write_all(&head)?;
        to.write_all(&record)?;
    }
}

/// A rig whose upstream is reached through a relay that notes records.
fn noting() -> (Rig, Records, Scripted) {
    let (records, upstream) = (Records::default(), Arc::new(OnceLock::new()));
    let relay = Scripted::start({
        let (records, upstream) = (Arc::clone(&records), Arc::clone(&upstream));
        move |stream| {
            // Ends with an error when the proxy closes.
            let _ended = upstream.get().map(|at| relay(stream, *at, &records));
        }
    });
    let rig = Rig::builder()
        .config(relay.config().replace("http://", "https://"))
        .edit(move |_, _, emulator| upstream.set(emulator.addr()).unwrap())
        .start();
    (rig, records, relay)
}

#[test]
fn a_long_prompt_leaves_in_full_records() {
    let (rig, records, _relay) = noting();
    // The connection, and what its handshake sends.
    assert_eq!(rig.post(CHAT, QUESTION).status, 200);
    records.lock().unwrap().clear();
    let content = "x".repeat(400_000);
    let prompt = QUESTION.replace("hello", &content);
    assert_eq!(rig.post(CHAT, &prompt).status, 200);
    let records = records.lock().unwrap();
    let all: usize = records.iter().sum();
    assert!(all > prompt.len(), "the head is in there, too");
    // Those that end where what had come from the client ended are shorter.
    let least = all.div_ceil(FULL);
    assert!(records.len() <= 2 * least, "{least} would do: {records:?}");
    let full = records.iter().filter(|length| **length == FULL).count();
    assert!(full > least / 2, "{records:?}");
}
