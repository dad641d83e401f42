//! Everything an operator does to a running proxy, under a steady load of plain and streamed requests: no request fails, no
//! stream is cut.

mod restarts;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use holysheep_emulator::{Authority, Emulator};
use rustix::process::Signal;

use crate::harness::client::request;
use crate::harness::program::{Served, command, with_upstream};
use crate::harness::{
    CHAT, Client, Directory, EMULATOR_KEY, QUESTION, STREAMED, eventually, metrics,
};

const RELOADS: u32 = 200;
/// One in so many, right and wrong ones, is made as Kubernetes does, the others by writing the file and SIGHUP.
const SWAP_EVERY: u32 = 9;

/// What the load saw.
#[derive(Default)]
struct Seen {
    plain: AtomicU32,
    streams: AtomicU32,
    failures: Mutex<Vec<String>>,
    over: AtomicBool,
}

/// Ends the load whatever becomes of the test: one that fails would wait for it for ever.
pub(crate) struct Ends<'a>(pub(crate) &'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

impl Seen {
    /// Asks on one connection until it is told to close, then on the next.
    fn load(&self, body: &str, count: &AtomicU32, connect: impl Fn() -> Client) {
        while !self.over.load(SeqCst) {
            let mut client = connect();
            loop {
                client.send(request("POST", CHAT, &[], body.as_bytes()));
                let Some(mut reply) = client.try_head() else {
                    self.failed("no answer".to_owned());
                    break;
                };
                client.body(&mut reply);
                let is_whole = body == QUESTION || reply.text().ends_with("data: [DONE]\n\n");
                if reply.status == 200 && reply.complete && is_whole {
                    count.fetch_add(1, SeqCst);
                } else {
                    self.failed(format!("{} {}", reply.status, reply.text()));
                }
                if reply.header("connection") == Some("close") || self.over.load(SeqCst) {
                    break;
                }
            }
        }
    }

    fn failed(&self, what: String) {
        self.failures.lock().unwrap().push(what);
    }

    /// Waits until both kinds of requests have been answered a few times more.
    fn wait_for_more(&self) {
        let before = (self.plain.load(SeqCst), self.streams.load(SeqCst));
        eventually(|| {
            self.plain.load(SeqCst) > before.0 + 20 && self.streams.load(SeqCst) > before.1 + 4
        });
    }
}

/// As the kubelet does it.
fn mount(volume: &Path, version: u32, text: &str) {
    let data = format!("..{version}");
    std::fs::create_dir(volume.join(&data)).unwrap();
    std::fs::write(volume.join(&data).join("config.yaml"), text).unwrap();
    std::os::unix::fs::symlink(&data, volume.join("..data_tmp")).unwrap();
    std::fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
}

/// What all versions of the configuration file have, and what some have.
struct Texts {
    tls: String,
    /// A second upstream, but for the end of its settings.
    second: String,
}

impl Texts {
    fn new(directory: &Directory, emulator: &Emulator) -> Self {
        let path = |name| directory.path(name).display().to_string();
        let (ca, key) = (path("ca.pem"), path("key"));
        Self {
            tls: format!(
                "tls: {{listen: '127.0.0.1:0', certificate: '{}', key: '{}'}}",
                path("tls.crt"),
                path("tls.key")
            ),
            second: format!(
                "name: second, base_url: '{}', ca_file: '{ca}', api_key_file: '{key}'",
                emulator.base_url()
            ),
        }
    }

    /// Every other one is wrong. Of those that are not, every other one has another upstream, to which all requests go.
    fn config(&self, number: u32) -> String {
        let Self { tls, second } = self;
        let text = format!("{tls}\ntimeouts: {{drain_delay: 2s, drain: 20s}}");
        let limits = format!("limits: {{body: {}}}", 1_000_000 + number);
        match number % 4 {
            0 => format!("{text}\n{limits}"),
            2 => {
                let min_idle = number % 3 + 1;
                format!(
                    "{text}\n{limits}\nupstreams: [{{{second}, min_idle: {min_idle}}}]\n\
                     models: {{'*': [second]}}"
                )
            }
            _ => format!("{text}\nlimits: {{body: 1, in_flight: 0}} # {number}"),
        }
    }
}

fn metric(served: &Served, sample: &str) -> f64 {
    let mut admin = Client::connect(served.admin_addr());
    let text = admin.request("GET", "/metrics", &[], b"").text();
    metrics::sample(&text, sample).unwrap_or(0.0)
}

fn reloads(served: &Served, result: &str) -> f64 {
    let sample = format!("holysheep_config_reloads_total{{result=\"{result}\"}}");
    metric(served, &sample)
}

/// Changes the file again and again, and waits each time until the proxy has seen it.
fn reload(served: &Served, volume: &Path, texts: &Texts) {
    let (mut swaps, mut expected) = (1, [0.0, 0.0]);
    for number in 1..=RELOADS {
        let text = texts.config(number);
        if number.is_multiple_of(SWAP_EVERY) {
            swaps += 1;
            mount(volume, swaps, &text);
        } else {
            std::fs::write(volume.join("..data/config.yaml"), text).unwrap();
            served.signal(Signal::HUP);
        }
        let kind = (number % 2) as usize;
        let result = ["ok", "failed"][kind];
        eventually(|| reloads(served, result) > expected[kind]);
        expected[kind] = reloads(served, result);
    }
}

/// Starts a process that takes over from the one that has these addresses, if there is one.
fn start(
    emulator: &Emulator,
    directory: &Directory,
    data: SocketAddr,
    admin: SocketAddr,
) -> Served {
    let mut command = command(["serve", "--ebpf", "off", "--log-format", "json"]);
    command
        .args(["--listen", &data.to_string()])
        .args(["--admin-listen", &admin.to_string()])
        .args(["--workers", "2", "--take-over"])
        .arg(directory.path("take-over.sock"))
        .arg("--config")
        .arg(directory.path("volume/config.yaml"))
        .stdout(Stdio::null());
    Served::start(with_upstream(&mut command, emulator, directory))
}

fn certify(directory: &Directory, authority: &Authority) {
    let (certificate, key) = authority.server_pem(&["localhost"]).unwrap();
    directory.write("tls.crt", &certificate);
    directory.write("tls.key", &key);
}

#[test]
fn nothing_fails_while_it_is_reloaded_rotated_stopped_and_replaced() {
    let emulator = Emulator::builder()
        .api_key(EMULATOR_KEY)
        .token_interval(Duration::from_millis(10))
        .start_blocking()
        .unwrap();
    let directory = Directory::new();
    let authorities = [(); 2].map(|()| Authority::new().unwrap());
    certify(&directory, &authorities[0]);
    let volume = directory.path("volume");
    std::fs::create_dir(&volume).unwrap();
    std::os::unix::fs::symlink("..data/config.yaml", volume.join("config.yaml")).unwrap();
    let texts = Texts::new(&directory, &emulator);
    mount(&volume, 1, &texts.config(0));
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut serving = start(&emulator, &directory, free, free);
    let (data, admin) = (serving.data_addr(), serving.admin_addr());
    let over_tls = serving.logged("serving").unwrap()["tls_listen"].take();
    let over_tls: SocketAddr = over_tls.as_str().unwrap().parse().unwrap();
    let trust = authorities
        .each_ref()
        .map(|a| a.client_config(&["http/1.1"]).unwrap());
    let connect_to =
        |one: usize| Client::connect_tls(over_tls, "localhost", Arc::clone(&trust[one]));
    let seen = Seen::default();
    std::thread::scope(|scope| {
        let ends = Ends(&seen.over);
        scope.spawn(|| seen.load(QUESTION, &seen.plain, || Client::connect(data)));
        scope.spawn(|| {
            // Whichever certificate there is.
            let connect = || connect_to(0).or_else(|_| connect_to(1)).unwrap();
            seen.load(QUESTION, &seen.plain, connect);
        });
        for _ in 0..2 {
            scope.spawn(|| seen.load(STREAMED, &seen.streams, || Client::connect(data)));
        }
        seen.wait_for_more();
        reload(&serving, &volume, &texts);
        let second = "holysheep_upstream_requests_total{upstream=\"second\",outcome=\"2xx\"}";
        mount(&volume, RELOADS, &texts.config(2));
        eventually(|| metric(&serving, second) > 0.0);
        seen.wait_for_more();
        certify(&directory, &authorities[1]);
        eventually(|| connect_to(1).is_ok());
        seen.wait_for_more();
        // Another binary takes over; then one is told to stop, and started again before it has.
        for is_told in [false, true] {
            if is_told {
                serving.terminate();
            }
            let next = start(&emulator, &directory, data, admin);
            let mut old = std::mem::replace(&mut serving, next);
            assert_eq!(old.wait().code(), Some(0), "{:?}", old.log());
            seen.wait_for_more();
        }
        drop(ends);
    });
    let failures = seen.failures.lock().unwrap();
    assert!(failures.is_empty(), "{failures:#?}");
    assert_eq!(emulator.stats().cancelled, 0);
}
