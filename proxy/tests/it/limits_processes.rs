//! One limit over three processes that count together in a real Redis: what arrives at random is neither granted too much in any
//! window of time nor too little, and Redis may go away meanwhile.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::load::{Load, Outcome};
use crate::harness::metrics;
use crate::harness::program::{Served, command};
use crate::harness::redis::Redis;
use crate::harness::{CHAT, Client, QUESTION, Rig, eventually};

const UP: &str = "holysheep_limits_redis_up";
/// Requests a second.
const RATE: f64 = 60.0;
const BURST: f64 = 20.0;
/// How old, in seconds, may be what a replica knows of the others, on a machine that has other things to do.
const MOMENT: f64 = 0.25;
const LIMITS: &str = "{requests_per_minute: 3600, burst: 20}";

/// Three processes of the real program, which know of each other.
struct Replicas {
    // Ended before what they ask.
    processes: [Served; 3],
    upstream: Rig,
}

impl Replicas {
    fn start(redis: &Redis) -> Self {
        let upstream = Rig::start();
        let directory = &upstream.directory;
        let config = directory.write(
            "replica.yaml",
            &format!(
                "upstream: {{base_url: '{}', ca_file: '{}', api_key_file: '{}'}}\n\
                 limits: {{per_client: {LIMITS}, redis: {{url: '{}', timeout: 500ms}}}}\n\
                 workers: 2\nebpf: off\nlog: {{format: json, access: 'off'}}\n",
                upstream.emulator.base_url(),
                directory.path("ca.pem").display(),
                directory.path("key").display(),
                redis.url(),
            ),
        );
        let processes = [(); 3].map(|()| {
            let mut command = command(["serve", "--listen", "127.0.0.1:0"]);
            command.args(["--admin-listen", "127.0.0.1:0", "--config"]);
            Served::start(command.arg(&config))
        });
        let replicas = Self {
            processes,
            upstream,
        };
        replicas.wait("holysheep_limits_replicas", 3.0);
        replicas.wait(UP, 1.0);
        replicas
    }

    /// Until all say so.
    fn wait(&self, sample: &str, value: f64) {
        for process in &self.processes {
            eventually(|| {
                let mut client = Client::connect(process.admin_addr());
                let text = client.request("GET", "/metrics", &[], b"").text();
                metrics::sample(&text, sample) == Some(value)
            });
        }
    }

    fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.processes.iter().map(Served::data_addr)
    }
}

/// A request: when it was sent and answered, in seconds, and whether it was granted.
#[derive(Clone, Copy, Debug)]
struct Asked {
    sent: f64,
    answered: f64,
    is_granted: bool,
}

/// Asks in bursts with pauses between, both of random length.
fn ask_at_random(address: SocketAddr, seed: u64, begun: Instant) -> Vec<Asked> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut client = Client::connect(address);
    let mut asked = Vec::new();
    let now = || begun.elapsed().as_secs_f64();
    while now() < 6.0 {
        for _ in 0..random.usize(1..12) {
            let sent = now();
            let status = client
                .request("POST", CHAT, &[], QUESTION.as_bytes())
                .status;
            assert!([200, 429].contains(&status), "{status}");
            asked.push(Asked {
                sent,
                answered: now(),
                is_granted: status == 200,
            });
        }
        // The pauses are the pattern.
        thread::park_timeout(Duration::from_millis(random.u64(0..250)));
    }
    asked
}

/// How many of these a limit grants that sees each when it is answered.
fn granted_by_the_book(asked: &[Asked]) -> usize {
    let (mut left, mut before) = (BURST, 0.0);
    let grants = asked.iter().filter(|asked| {
        left = (left + (asked.answered - before) * RATE).min(BURST);
        before = asked.answered;
        let is_granted = left >= 1.0;
        if is_granted {
            left -= 1.0;
        }
        is_granted
    });
    grants.count()
}

#[test]
fn what_arrives_at_random_gets_the_limit_and_no_more() {
    let redis = Redis::start();
    let replicas = Replicas::start(&redis);
    let begun = Instant::now();
    let clients = replicas
        .addresses()
        .flat_map(|address| [address; 2])
        .zip(1..);
    let clients: Vec<_> = clients
        .map(|(address, seed)| thread::spawn(move || ask_at_random(address, seed, begun)))
        .collect();
    let asked = clients
        .into_iter()
        .flat_map(|client| client.join().unwrap());
    let mut asked: Vec<_> = asked.collect();
    asked.sort_by(|one, other| one.answered.total_cmp(&other.answered));
    let granted: Vec<_> = asked.iter().filter(|asked| asked.is_granted).collect();
    // Each was decided between being sent and being answered, so all that lie within a window were decided within it.
    for first in &granted {
        let within = granted.iter().filter(|asked| asked.sent >= first.sent);
        for (count, last) in within.enumerate() {
            let window = last.answered - first.sent;
            let count = count as f64 + 1.0;
            assert!(
                count <= BURST + RATE * window + 1e-6,
                "{count} in {window} s"
            );
        }
    }
    let expected = granted_by_the_book(&asked);
    let refused = asked.len() - granted.len();
    assert!(refused > 50, "{refused} of {}: no demand", asked.len());
    assert!(
        granted.len() as f64 >= 0.99 * expected as f64 - 1.0,
        "{} of {expected}",
        granted.len()
    );
    assert_eq!(
        replicas.upstream.emulator.stats().billed,
        granted.len() as u64
    );
}

#[test]
fn no_client_of_any_process_notices_that_redis_dies() {
    let mut redis = Redis::start();
    let replicas = Replicas::start(&redis);
    let load = Load::on(replicas.addresses());
    load.go_on(Duration::from_secs(1));
    redis.kill();
    replicas.wait(UP, 0.0);
    load.go_on(Duration::from_secs(1));
    redis.restart();
    replicas.wait(UP, 1.0);
    load.go_on(Duration::from_secs(1));
    let Outcome {
        answered,
        took,
        asked,
    } = load.end();
    // One for each share that is rounded up, and what was granted elsewhere in the last moment before Redis was gone; a
    // second burst would be more.
    assert!(
        answered <= BURST + RATE * (took + MOMENT) + 3.0,
        "{answered} in {took} s"
    );
    assert!(
        answered >= 0.8 * (BURST + RATE * asked),
        "{answered} in {asked} s"
    );
}
