//! Memory: what many streams needed is given back when they have gone, so that an HPA that looks at it takes pods away again.

use std::fs;
use std::time::Duration;

use holysheep_emulator::Emulator;

use crate::harness::client::request;
use crate::harness::program::{Served, command};
use crate::harness::{CHAT, Client, Directory, QUESTION, eventually, soon_within};

/// Enough that what they hold stands out.
const STREAMS: u64 = 600;

/// The program with one worker in front of an emulator.
fn serve(emulator: &Emulator) -> Served {
    let directory = Directory::new();
    let ca = directory.write("ca.pem", emulator.authority().unwrap().ca_pem());
    let mut command = command(["serve", "--listen", "127.0.0.1:0", "--ebpf", "off"]);
    let command = command
        .args(["--admin-listen", "127.0.0.1:0", "--log-format", "json"])
        .args(["--workers", "1", "--upstream", emulator.base_url()])
        .arg("--upstream-ca")
        .arg(ca)
        .env("HOLYSHEEP_API_KEY", emulator.api_key())
        .stdout(std::process::Stdio::null());
    Served::start(command)
}

/// Asks for a stream of so many tokens and reads its head.
fn stream(served: &Served, tokens: u64) -> Client {
    let mut client = Client::connect(served.data_addr());
    let body = format!(r#"{{"model":"m","stream":true,"max_tokens":{tokens},"messages":[]}}"#);
    let json = [("content-type", "application/json")];
    client.send(request("POST", CHAT, &json, body.as_bytes()));
    assert_eq!(client.head().status, 200);
    client
}

#[test]
fn memory_of_streams_is_given_back_when_they_have_gone() {
    let emulator = Emulator::builder().start_blocking().unwrap();
    let served = serve(&emulator);
    let before = resident(&served);
    // The proxy looks once a second how many there are; a round between two looks goes unseen, and the next one does not.
    eventually(|| {
        let during = with_streams(&served, &emulator);
        let half = before + (during - before) / 2;
        soon_within(Duration::from_secs(2), || resident(&served) < half)
    });
    let metrics = || {
        Client::connect(served.admin_addr())
            .request("GET", "/metrics", &[], b"")
            .text()
    };
    eventually(|| metrics().contains("\nholysheep_http_connections{} 0\n"));
}

#[test]
fn an_open_stream_needs_little() {
    // In kB. The release build needs 21; this one is larger, and what the test sees is noisier.
    const EACH: u64 = 44;
    const OPEN: usize = 500;
    let emulator = Emulator::builder().token_interval(Duration::from_millis(300));
    let emulator = emulator.start_blocking().unwrap();
    let served = serve(&emulator);
    let before = resident(&served);
    let mut clients: Vec<_> = (0..OPEN).map(|_| stream(&served, 100_000)).collect();
    for client in &mut clients {
        client.chunk(&mut Vec::new()).unwrap();
    }
    let each = || (resident(&served) - before) / OPEN as u64;
    assert!(
        soon_within(Duration::from_secs(5), || each() <= EACH),
        "{} kB",
        each()
    );
}

#[test]
fn a_long_stream_needs_no_more_than_a_short_one() {
    const CONNECTIONS: usize = 16;
    const PIECE: usize = 1 << 20;
    let emulator = Emulator::builder().start_blocking().unwrap();
    let served = serve(&emulator);
    let mut clients: Vec<_> = (0..CONNECTIONS)
        .map(|_| stream(&served, 100_000_000))
        .collect();
    let mut read = |pieces: usize| {
        std::thread::scope(|scope| {
            for client in &mut clients {
                scope.spawn(|| {
                    let mut count = 0;
                    while count < pieces * PIECE {
                        count += client.chunk(&mut Vec::new()).unwrap().len();
                    }
                });
            }
        });
        resident(&served)
    };
    let short = read(1);
    let long = read(4);
    assert!(long < short + 4 * 1024, "{short} kB, then {long} kB");
}

/// Opens many streams that wait for upstream, closes them, and gives back what the proxy had in memory between.
fn with_streams(served: &Served, emulator: &Emulator) -> u64 {
    let fields = [("x-emulator-fault", "stall-before-headers;ms=60000")];
    let clients: Vec<_> = (0..STREAMS)
        .map(|_| {
            let mut client = Client::connect(served.data_addr());
            client.send(request("POST", CHAT, &fields, QUESTION.as_bytes()));
            client
        })
        .collect();
    eventually(|| emulator.stats().in_flight == STREAMS);
    let during = resident(served);
    drop(clients);
    eventually(|| emulator.stats().in_flight == 0);
    during
}

/// Resident memory in kB.
fn resident(served: &Served) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", served.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.unwrap().parse().unwrap()
}
