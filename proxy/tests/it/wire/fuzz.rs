//! Requests changed at random, always the same ones: nothing panics, nothing is left behind, and
//! whatever reaches upstream is exactly what `oracle.rs` reads in the bytes that were sent.

use std::collections::BTreeMap;
use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::harness::client::Client;

use super::lab::Lab;
use super::oracle::{self, Message};

const SEED: u64 = 0x9112_2022_0606;
const CASES: u32 = 2000;

/// Panics of the proxy's threads in this process.
static PANICS: AtomicU32 = AtomicU32::new(0);

fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let thread = std::thread::current();
            if thread
                .name()
                .is_some_and(|name| name.starts_with("worker-"))
            {
                PANICS.fetch_add(1, Ordering::Relaxed);
            }
            others(info);
        }));
    });
}

/// `xorshift64*`: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap() % end.max(1)
    }

    fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }
}

const LINES: &[&str] = &[
    "content-length: 5\r\n",
    "Content-Length: 0\r\n",
    "content-length:5\r\n",
    "transfer-encoding: chunked\r\n",
    "Transfer-Encoding: identity\r\n",
    "transfer-encoding:\tchunked\r\n",
    "connection: close\r\n",
    "connection: content-length, x\r\n",
    "expect: 100-continue\r\n",
    "host: again\r\n",
    "x: y\r\n",
    "x: a\r\n b\r\n",
    "upgrade: h2c\r\n",
    "te: trailers\r\n",
];

const TOKENS: &[&str] = &[
    "\r\n",
    "\n",
    "\r",
    "\r\n\r\n",
    "\n\n",
    "\0",
    " ",
    "\t",
    ":",
    ";",
    ",",
    "0",
    "5",
    "\u{b}",
    "\u{c}",
    "\u{e9}",
    "\u{7f}",
    "chunked",
    "0\r\n\r\n",
    "5\r\nhello\r\n",
    "HTTP/1.0",
    "HTTP/1.1",
    "+",
    "-",
    "0x",
    "ffffffff",
    "POST /v1/files?x HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n",
];

fn body(random: &mut Random) -> Vec<u8> {
    let length = random.below(40);
    let alphabet = b"abc\r\n0:; 5x";
    (0..length)
        .map(|_| alphabet[random.below(alphabet.len())])
        .collect()
}

/// A good request, told from all others by the number in its target.
fn good(random: &mut Random, number: u32) -> Vec<u8> {
    let body = body(random);
    let line = format!("POST /v1/files?case={number:06} HTTP/1.1\r\nhost: x\r\n");
    let mut wire = line.into_bytes();
    if random.below(2) == 0 {
        wire.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
        wire.extend_from_slice(&body);
        return wire;
    }
    wire.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
    let mut rest = &body[..];
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(1 + random.below(rest.len()));
        let extension = random.pick(&["", "", ";x", " ;x=\"y\""]);
        wire.extend_from_slice(format!("{:x}{extension}\r\n", piece.len()).as_bytes());
        wire.extend_from_slice(piece);
        wire.extend_from_slice(b"\r\n");
        rest = after;
    }
    wire.extend_from_slice(
        random
            .pick(&["0\r\n\r\n", "0\r\nx: y\r\n\r\n", "00\r\n\r\n"])
            .as_bytes(),
    );
    wire
}

/// Changes something behind the first `from` bytes.
fn mutate(random: &mut Random, wire: &mut Vec<u8>, from: usize) {
    let at = from + random.below(wire.len().saturating_sub(from));
    match random.below(7) {
        0 => drop(wire.remove(at.min(wire.len() - 1))),
        1 => wire[at] = u8::try_from(random.below(256)).unwrap(),
        2 => wire[at] ^= 1 << random.below(8),
        3 => drop(wire.splice(at..at, random.pick(TOKENS).bytes())),
        4 => {
            // A line of its own.
            let ends: Vec<_> = (from..wire.len())
                .filter(|end| wire[..*end].ends_with(b"\r\n"))
                .collect();
            let at = ends.get(random.below(ends.len())).copied().unwrap_or(at);
            wire.splice(at..at, random.pick(LINES).bytes());
        }
        5 => wire.truncate(at + 1),
        _ => {
            let end = (at + 1 + random.below(12)).min(wire.len());
            let piece = wire[at..end].to_vec();
            wire.splice(at..at, piece);
        }
    }
}

/// One or two requests, good or not. The first line stays as it is in most, so that what arrives can
/// be told.
fn case(random: &mut Random, number: u32) -> Vec<u8> {
    let mut wire = good(random, number);
    if random.below(4) == 0 {
        wire.extend(good(random, number));
    }
    let from = if random.below(8) == 0 { 0 } else { 39 };
    for _ in 0..random.below(4) {
        mutate(random, &mut wire, from);
    }
    wire
}

/// Sends a case and reads until the proxy closes.
fn run(lab: &Lab, random: &mut Random, wire: &[u8]) -> Vec<u8> {
    let mut client: Client = lab.client();
    let cut = random.below(wire.len());
    client.send(&wire[..cut]);
    client.send(&wire[cut..]);
    client.half_close();
    client.rest()
}

/// The targets and bodies of one case as upstream saw them.
type Arrived = BTreeMap<String, Vec<Vec<u8>>>;

/// Every complete request upstream has to be the next one the oracle reads.
fn compare(wire: &[u8], target: &str, arrived: &[Vec<u8>]) -> Option<String> {
    let messages = oracle::read_all(wire);
    let own: Vec<&Message> = messages
        .iter()
        .filter(|message| message.target == target)
        .collect();
    let agree =
        arrived.len() <= own.len() && own.iter().zip(arrived).all(|(own, body)| own.body == *body);
    (!agree).then(|| {
        let wire = String::from_utf8_lossy(wire);
        let arrived: Vec<_> = arrived
            .iter()
            .map(|body| String::from_utf8_lossy(body))
            .collect();
        format!("{wire:?}\n   upstream got {arrived:?}\n   the oracle reads {own:?}")
    })
}

#[test]
fn changed_requests_arrive_as_they_read_or_not_at_all() {
    count_panics();
    let lab = Lab::start();
    let mut random = Random(SEED);
    let mut cases = BTreeMap::new();
    let mut answers = BTreeMap::new();
    for number in 0..CASES {
        let wire = case(&mut random, number);
        let answer = run(&lab, &mut random, &wire);
        let text = String::from_utf8_lossy(&answer);
        // The interim responses are what half-closed clients get.
        let last = text.rsplit("HTTP/1.1 ").next().unwrap_or_default();
        *answers
            .entry(last.get(..3).unwrap_or_default().to_owned())
            .or_insert(0) += 1;
        cases.insert(format!("/v1/files?case={number:06}"), wire);
    }
    lab.assert_quiet();
    assert_eq!(PANICS.load(Ordering::Relaxed), 0, "the proxy panicked");
    let mut arrived = Arrived::new();
    for (line, body) in lab.seen() {
        let target = line.strip_prefix("POST ").unwrap_or_default();
        arrived.entry(target.to_owned()).or_default().push(body);
    }
    // Only where something came, and only targets that were sent.
    let told: Vec<_> = arrived
        .iter()
        .filter_map(|(target, bodies)| compare(cases.get(target)?, target, bodies))
        .collect();
    assert!(
        told.is_empty(),
        "{} of {CASES}:\n{}",
        told.len(),
        told.join("\n")
    );
    // That many were neither all refused nor all served shows that the test tests something.
    let served = answers.get("200").copied().unwrap_or(0);
    assert!(served > CASES / 5 && served < CASES, "{answers:?}");
    assert!(
        answers
            .get("400")
            .is_some_and(|refused| *refused > CASES / 10),
        "{answers:?}"
    );
}
