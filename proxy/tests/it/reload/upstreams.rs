//! Upstreams come, go and change with the configuration file, while requests are on their way.

use holysheep_emulator::Emulator;
use serde_json::json;

use super::{BROKEN, FAILED, OK, Proxy, ask};
use crate::harness::client::request;
use crate::harness::{CHAT, Directory, EMULATOR_KEY, QUESTION, STREAMED, eventually, soon};

/// A second upstream, with its files.
struct Other {
    emulator: Emulator,
    files: Directory,
}

impl Other {
    fn start() -> Self {
        let emulator = Emulator::builder()
            .api_key(EMULATOR_KEY)
            .token_interval(std::time::Duration::from_millis(100))
            .start_blocking()
            .unwrap();
        let files = Directory::new();
        files.write("ca.pem", emulator.authority().unwrap().ca_pem());
        files.write("key", EMULATOR_KEY);
        Self { emulator, files }
    }

    /// Its entry in the file.
    fn named(&self, name: &str, more: &str) -> String {
        self.at(self.emulator.base_url(), name, more)
    }

    /// The same with another URL.
    fn at(&self, url: &str, name: &str, more: &str) -> String {
        let path = |file| self.files.path(file).display().to_string();
        let (ca, key) = (path("ca.pem"), path("key"));
        format!("{{name: {name}, base_url: '{url}', ca_file: '{ca}', api_key_file: '{key}'{more}}}")
    }

    fn asked(&self) -> usize {
        self.emulator.requests().len()
    }
}

/// A file in which these serve everything, the first one first.
fn only(upstreams: &[(&str, String)]) -> String {
    let names: Vec<_> = upstreams.iter().map(|(name, _)| *name).collect();
    let entries: Vec<_> = upstreams.iter().map(|(_, entry)| entry.as_str()).collect();
    format!(
        "upstreams: [{}]\nmodels: {{'*': [{}]}}",
        entries.join(", "),
        names.join(", ")
    )
}

fn served(name: &str) -> String {
    format!("holysheep_upstream_requests_total{{upstream=\"{name}\",outcome=\"2xx\"}}")
}

impl Proxy {
    fn write(&self, text: &str) {
        self.directory.write("config.yaml", text);
    }

    /// Asks until both workers can be expected to have been asked; each answer has to be good.
    #[track_caller]
    fn ask_both_workers(&self) {
        for _ in 0..16 {
            assert_eq!(ask(&mut self.client()), 200);
        }
    }

    fn status_of(&self, name: &str) -> Option<serde_json::Value> {
        let status = self.admin("/status").json();
        let others = status["upstreams"].as_array().unwrap().clone();
        others.into_iter().find(|other| other["name"] == name)
    }
}

#[test]
fn an_upstream_is_added_and_removed_while_connections_live_on() {
    for protocol in ["http1", "http2"] {
        let other = Other::start();
        let proxy = Proxy::start("limits: {body: 1MB}");
        let mut client = proxy.client();
        assert_eq!(ask(&mut client), 200);
        assert_eq!(proxy.status_of("second"), None);
        let entry = other.named("second", &format!(", protocol: {protocol}"));
        let with = only(&[("second", entry)]);
        for round in 1_u32.. {
            proxy.write(&with);
            proxy.wait(OK, f64::from(2 * round - 1));
            assert_eq!(proxy.status()["needs_restart"], json!([]));
            let before = (other.asked(), proxy.emulator.requests().len());
            assert!(soon(|| ask(&mut client) == 200 && other.asked() > before.0));
            proxy.ask_both_workers();
            let status = proxy.status_of("second").unwrap();
            assert_eq!(status["unusable"], json!(null), "{status}");
            let counted = proxy.metric(&served("second"));
            assert!(counted >= 16.0, "{counted} {round}");
            proxy.write("limits: {body: 1MB}");
            proxy.wait(OK, f64::from(2 * round));
            // Its series go, and its connections with it.
            proxy.wait(&served("second"), -1.0);
            assert!(soon(|| other.emulator.stats().connections_open == 0));
            let before = other.asked();
            proxy.ask_both_workers();
            assert_eq!(ask(&mut client), 200, "the connection is the same");
            assert_eq!(other.asked(), before);
            if round == 2 {
                // A name that comes back goes on counting where it was.
                assert!(counted >= 32.0, "{counted}");
                break;
            }
        }
        proxy.wait(FAILED, 0.0);
    }
}

#[test]
fn a_changed_url_is_used_and_nothing_that_is_on_its_way_is_lost() {
    let (one, two) = (Other::start(), Other::start());
    let proxy = Proxy::start(&only(&[("second", one.named("second", ""))]));
    let mut stream = proxy.client();
    stream.send(request("POST", CHAT, &[], STREAMED.as_bytes()));
    let mut reply = stream.try_head().unwrap();
    assert_eq!(reply.status, 200);
    proxy.write(&only(&[("second", two.named("second", ""))]));
    proxy.wait(OK, 1.0);
    assert!(soon(|| ask(&mut proxy.client()) == 200 && two.asked() > 0));
    let before = one.asked();
    assert_eq!(one.emulator.stats().in_flight, 1, "the stream goes on");
    proxy.ask_both_workers();
    assert_eq!(one.asked(), before);
    stream.body(&mut reply);
    assert!(reply.complete && reply.text().ends_with("data: [DONE]\n\n"));
    assert_eq!(one.emulator.stats().cancelled, 0);
    // What had been on its way counts for the name, and leaves no connection behind.
    assert!(soon(|| one.emulator.stats().connections_open == 0));
    let asked = one.asked() + two.asked();
    proxy.wait(&served("second"), f64::from(u32::try_from(asked).unwrap()));
    let connections =
        |state| format!("holysheep_upstream_connections{{upstream=\"second\",state=\"{state}\"}}");
    proxy.wait(&connections("active"), 0.0);
    let open = two.emulator.stats().connections_open;
    proxy.wait(
        &connections("idle"),
        f64::from(u32::try_from(open).unwrap()),
    );
    assert_eq!(ask(&mut stream), 200, "the client's connection lives on");
}

#[test]
fn an_upstream_that_cannot_be_used_changes_nothing_until_it_can() {
    let other = Other::start();
    let proxy = Proxy::start("limits: {body: 1MB}");
    let before = proxy.status()["hash"].clone();
    // Nobody listens there, until later.
    let place = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = place.local_addr().unwrap();
    drop(place);
    let url = |host: &str| format!("https://{host}:{}/v1", address.port());
    let faults = [
        (
            other.at("https://nowhere.invalid/v1", "second", ""),
            "upstream second: its name cannot be resolved",
        ),
        (
            other.named("second", "").replace("key'", "no-key'"),
            "no-key cannot be read",
        ),
        (
            other.named("second", "").replace("ca.pem'", "no-ca'"),
            "no-ca",
        ),
        (
            other.at(&url("localhost"), "second", ""),
            "upstream second cannot be reached",
        ),
    ];
    for (count, (entry, why)) in (1_u32..).zip(faults) {
        proxy.write(&format!(
            "{}\nlimits: {{body: 10}}",
            only(&[("second", entry)])
        ));
        proxy.wait(FAILED, f64::from(count));
        let error = proxy.status()["error"].take();
        assert!(error.as_str().unwrap().contains(why), "{error}");
        assert_eq!(proxy.status()["hash"], before);
        assert_eq!(proxy.status_of("second"), None);
        proxy.ask_both_workers();
        proxy.wait(BROKEN, 1.0);
    }
    // As soon as it is there it is used, without anybody touching the file.
    let late = Emulator::builder()
        .listen(address)
        .authority(other.emulator.authority().unwrap())
        .api_key(EMULATOR_KEY)
        .start_blocking()
        .unwrap();
    eventually(|| proxy.metric(BROKEN) == 0.0);
    proxy.wait(OK, 1.0);
    proxy.wait(FAILED, 4.0);
    let mut client = proxy.client();
    assert_eq!(
        client
            .request("POST", CHAT, &[], QUESTION.as_bytes())
            .status,
        413,
        "the whole file is in force"
    );
    assert!(proxy.status_of("second").is_some());
    assert_eq!(late.requests().len(), 0);
}
