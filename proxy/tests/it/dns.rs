//! Upstream's name: its addresses are followed, and kept while the name servers have none.

use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_resolver::proto::rr::RecordType;
use holysheep_emulator::{Authority, Emulator};
use holysheep_proxy::config::dns::Server;

use crate::harness::dns::{NameServer, Said};
use crate::harness::program::{self, Served};
use crate::harness::{CHAT, Client, EMULATOR_KEY, QUESTION, Rig, SOON, eventually, soon};

const NAME: &str = "upstream.test";
const FAILURES: &str = "holysheep_upstream_dns_failures_total{upstream=\"holysheep\"}";
const LOOKUPS: &str = "holysheep_upstream_dns_seconds_count{upstream=\"holysheep\"}";

/// Two emulators, at 127.0.0.2 and 127.0.0.3, that may be the addresses of one name. The rig's own is the first.
struct Names {
    server: NameServer,
    second: Emulator,
    rig: Rig,
}

impl Names {
    /// Starts everything after the name server was told what to say. Each request opens a connection.
    fn start(settings: &str, tell: impl FnOnce(&NameServer)) -> Self {
        let server = NameServer::start();
        tell(&server);
        let authority = Arc::new(Authority::new().unwrap());
        let at = |last, port| SocketAddr::from(([127, 0, 0, last], port));
        let second = Emulator::builder().api_key(EMULATOR_KEY);
        let second = second.authority(&authority).name(NAME).listen(at(3, 0));
        let second = second.start_blocking().unwrap();
        let port = second.addr().port();
        let config = format!(
            "upstream: {{base_url: 'https://{NAME}:{port}/v1', min_idle: 0, max_idle: 0}}\n\
             dns: {{servers: ['{}'], {settings}}}",
            server.addr()
        );
        let rig = Rig::builder()
            .config(config)
            .emulator(move |builder| builder.authority(&authority).name(NAME).listen(at(2, port)));
        let rig = rig.start();
        Self {
            server,
            second,
            rig,
        }
    }

    /// Sends requests one after the other, all of which have to be answered, until a condition holds.
    #[track_caller]
    fn serve_until(&self, mut holds: impl FnMut(&Self) -> bool) {
        let reached = soon(|| {
            let reply = self.rig.post(CHAT, QUESTION);
            assert_eq!(reply.status, 200, "{}", reply.text());
            holds(self)
        });
        assert!(reached, "what was waited for did not come");
    }

    /// Requests that have reached the two emulators.
    fn requests(&self) -> [u64; 2] {
        [&self.rig.emulator, &self.second].map(|emulator| emulator.stats().requests)
    }

    fn asked(&self, record: RecordType) -> usize {
        self.server.asked(NAME, record)
    }
}

#[test]
fn an_absolute_name_is_asked_for_in_both_families() {
    let names = Names::start("", |server| server.set(NAME, &["127.0.0.2"], 300));
    names.serve_until(|names| names.requests() == [1, 0]);
    let last = names.rig.last_request();
    assert_eq!(last.server_name.as_deref(), Some(NAME));
    eventually(|| names.rig.metric(LOOKUPS) >= 2.0);
    assert_eq!(names.asked(RecordType::A), 1);
    // That there are none for IPv6 may be known before there are some for IPv4, and is then asked again.
    assert!((1..=2).contains(&names.asked(RecordType::AAAA)));
    assert!(names.rig.metric(FAILURES) < f64::EPSILON);
}

#[test]
fn another_address_is_followed_within_the_ttl() {
    let ttl = 2;
    let names = Names::start("", |server| server.set(NAME, &["127.0.0.2"], ttl));
    names.serve_until(|names| names.requests()[0] > 0);
    names.server.set(NAME, &["127.0.0.3"], ttl);
    let changed = Instant::now();
    names.serve_until(|names| names.requests()[1] > 0);
    // The old answer was refreshed at four fifths of its time; the rest is for a busy machine.
    let took = changed.elapsed();
    assert!(took < Duration::from_secs(4), "{took:?}");
    let [first, _] = names.requests();
    names.serve_until(|names| names.requests()[1] > 20);
    assert_eq!(names.requests()[0], first, "nothing goes to the old one");
}

#[test]
fn an_answer_is_refreshed_ahead_of_its_end_and_no_more_often() {
    let names = Names::start("min_ttl: 100ms, max_ttl: 200ms", |server| {
        server.set(NAME, &["127.0.0.2"], 3600);
    });
    let begun = Instant::now();
    names.serve_until(|names| names.asked(RecordType::A) >= 4);
    let asked = names.asked(RecordType::A);
    let most = begun.elapsed().as_millis() / 200 + 2;
    assert!(asked as u128 <= most, "{asked} times, {most} expected");
}

/// Takes a name's addresses away in one way or another while requests go on.
fn lose_addresses(said: &Said) {
    let settings = "min_ttl: 100ms, timeout: 100ms, attempts: 1";
    let names = Names::start(settings, |server| server.set(NAME, &["127.0.0.2"], 0));
    names.serve_until(|names| names.requests()[0] > 0);
    names.server.say_of_both(NAME, said);
    names.serve_until(|names| names.rig.metric(FAILURES) >= 6.0);
    assert_eq!(names.rig.admin("/readyz").status, 200);
    assert_eq!(names.requests()[1], 0);
    // And then as they are again.
    names.server.set(NAME, &["127.0.0.3"], 300);
    names.serve_until(|names| names.requests()[1] > 0);
}

#[test]
fn addresses_are_kept_when_the_name_does_not_exist_any_more() {
    lose_addresses(&Said::NoSuchName);
}

#[test]
fn addresses_are_kept_when_there_are_no_others() {
    lose_addresses(&Said::Addresses(Vec::new(), 1));
}

#[test]
fn addresses_are_kept_when_the_name_servers_cannot_say() {
    lose_addresses(&Said::ServFail);
}

#[test]
fn addresses_are_kept_when_the_name_servers_are_silent() {
    lose_addresses(&Said::Silence);
}

#[test]
fn a_name_with_only_ipv6_addresses_is_served() {
    let server = NameServer::start();
    server.set(NAME, &["::1"], 300);
    let servers = server.addr();
    let rig = Rig::builder()
        .config("upstream: {min_idle: 0}")
        .emulator(|builder| builder.name(NAME).listen((Ipv6Addr::LOCALHOST, 0).into()))
        .edit(move |file, _, emulator| {
            let port = emulator.addr().port();
            file.upstream.base_url = Some(format!("https://{NAME}:{port}/v1"));
            file.dns.servers = vec![Server(servers)];
        });
    let rig = rig.start();
    assert_eq!(rig.post(CHAT, QUESTION).status, 200);
    assert!(rig.metric(FAILURES) < f64::EPSILON);
}

#[test]
fn a_name_that_does_not_exist_yet_is_found_without_a_restart() {
    for said in [Said::NoSuchName, Said::ServFail, Said::Silence] {
        let settings = "min_ttl: 100ms, timeout: 100ms, attempts: 1";
        let names = Names::start(settings, |server| server.say_of_both(NAME, &said));
        let reply = names.rig.post(CHAT, QUESTION);
        assert_eq!(reply.status, 502, "{said:?}");
        assert_eq!(
            reply.header("x-holysheep-error"),
            Some("upstream_dns_failed")
        );
        names.rig.wait_rejected("upstream_dns_failed", 1);
        names.server.set(NAME, &["127.0.0.2"], 300);
        eventually(|| names.rig.post(CHAT, QUESTION).status == 200);
        assert_eq!(names.requests()[1], 0);
    }
}

#[test]
fn a_family_that_fails_costs_the_other_nothing() {
    for said in [Said::NoSuchName, Said::ServFail, Said::Silence] {
        let names = Names::start("timeout: 10s", |server| {
            server.set(NAME, &["127.0.0.2"], 1);
            server.say(NAME, RecordType::AAAA, said.clone());
        });
        let begun = Instant::now();
        names.serve_until(|names| names.requests()[0] > 0);
        names.server.say(
            NAME,
            RecordType::A,
            Said::Addresses(vec!["127.0.0.3".parse().unwrap()], 1),
        );
        names.serve_until(|names| names.requests()[1] > 0);
        assert!(begun.elapsed() < SOON, "a query for IPv6 takes longer");
    }
}

#[test]
fn a_failure_is_logged_once() {
    let server = NameServer::start();
    server.set(NAME, &["127.0.0.2"], 0);
    let directory = crate::harness::Directory::new();
    let config = directory.write(
        "config.yaml",
        &format!(
            "upstream: {{base_url: 'https://{NAME}:1/v1', min_idle: 0}}\nlog: {{format: json, access: 'off'}}\nebpf: 'off'\n\
             dns: {{servers: ['{}'], min_ttl: 100ms, timeout: 5s, attempts: 1}}",
            server.addr()
        ),
    );
    let config = config.to_str().unwrap();
    let listen = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let args = [&["serve", "--config", config], &listen[..]].concat();
    let served = Served::start(&mut program::command(args));
    let asked = || server.asked(NAME, RecordType::A);
    eventually(|| asked() > 0);
    server.say_of_both(NAME, &Said::ServFail);
    let before = asked();
    eventually(|| asked() > before + 3);
    assert_eq!(
        served.times_logged("name resolution failed"),
        1,
        "{:?}",
        served.log()
    );
    server.set(NAME, &["127.0.0.3"], 0);
    eventually(|| served.logged("name resolution works again").is_some());
    assert_eq!(
        Client::connect(served.admin_addr())
            .request("GET", "/livez", &[], b"")
            .status,
        200
    );
}
