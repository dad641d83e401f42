//! A whole proxy in the test's process, with an emulator behind it and a client in front.
//!
//! [`Rig`] is what almost every test begins with. Addresses are free ports of the loopback, files are
//! in a directory of the rig's own, and whatever needs time is waited for with [`eventually`], so
//! tests run side by side.

pub(crate) mod client;
pub(crate) mod clients;
pub(crate) mod dns;
pub(crate) mod endpoints;
pub(crate) mod frames;
pub(crate) mod h2;
pub(crate) mod load;
pub(crate) mod metrics;
pub(crate) mod program;
pub(crate) mod redis;
pub(crate) mod upstream;
mod upstreams;

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use holysheep_emulator::{Builder, Emulator, Fault, FaultScope};
use holysheep_proxy::app::App;
use holysheep_proxy::config::file::Span;
use holysheep_proxy::config::{Config, ConfigFile, EbpfMode, LogFormat};
use serde_json::Value;

pub(crate) use client::{Client, Reply};

/// Longer than anything takes on a busy machine; a test that gets here has failed.
pub(crate) const SOON: Duration = Duration::from_secs(10);
/// The only key the emulator accepts; nothing but the proxy may know it.
pub(crate) const EMULATOR_KEY: &str = "cr_rig_5f2d8c1b9e7a4036_never_shown";

pub(crate) const CHAT: &str = "/v1/chat/completions";
pub(crate) const MESSAGES: &str = "/v1/messages";
pub(crate) const QUESTION: &str = r#"{"model":"m","messages":[{"role":"user","content":"hello"}]}"#;
pub(crate) const STREAMED: &str =
    r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"hello"}]}"#;

/// Looks at a condition until it holds.
#[track_caller]
pub(crate) fn eventually(mut holds: impl FnMut() -> bool) {
    assert!(soon(&mut holds), "what was waited for did not come");
}

/// Whether the condition holds before [`SOON`] is over.
pub(crate) fn soon(holds: impl FnMut() -> bool) -> bool {
    soon_within(SOON, holds)
}

/// Whether the condition holds before some time is over.
pub(crate) fn soon_within(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    while !holds() {
        if Instant::now() > end {
            return false;
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "the pause between two looks at a condition"
        )]
        std::thread::sleep(Duration::from_millis(2));
    }
    true
}

/// A directory of one test's own, removed when dropped.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("it-{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What is left behind harms nobody.
        let _removed = std::fs::remove_dir_all(&self.0);
    }
}

type EmulatorSettings = Box<dyn FnOnce(Builder) -> Builder>;
type Edit = Box<dyn FnOnce(&mut ConfigFile, &Directory, &Emulator)>;

/// Settings of a [`Rig`].
pub(crate) struct RigBuilder {
    yaml: String,
    workers: usize,
    key: bool,
    emulator: EmulatorSettings,
    others: Vec<EmulatorSettings>,
    edit: Edit,
}

impl RigBuilder {
    /// The configuration file; what it does not say, the rig does.
    pub(crate) fn config(mut self, yaml: impl Into<String>) -> Self {
        self.yaml = yaml.into();
        self
    }

    pub(crate) fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// The proxy has no upstream key.
    pub(crate) fn without_key(mut self) -> Self {
        self.key = false;
        self
    }

    pub(crate) fn emulator(mut self, set: impl FnOnce(Builder) -> Builder + 'static) -> Self {
        self.emulator = Box::new(set);
        self
    }

    /// One more upstream, the first of `upstreams:` if it is the first that is added, and so on. Unless the configuration
    /// says otherwise it is called `second`, or `third`, and has the rig's key.
    pub(crate) fn another(mut self, set: impl FnOnce(Builder) -> Builder + 'static) -> Self {
        self.others.push(Box::new(set));
        self
    }

    /// Settings that depend on the rig's directory or on the emulator.
    pub(crate) fn edit(
        mut self,
        edit: impl FnOnce(&mut ConfigFile, &Directory, &Emulator) + 'static,
    ) -> Self {
        self.edit = Box::new(edit);
        self
    }

    pub(crate) fn start(self) -> Rig {
        let emulator = Emulator::builder().api_key(EMULATOR_KEY);
        let emulator = (self.emulator)(emulator).start_blocking().unwrap();
        let directory = Directory::new();
        let mut file = ConfigFile::parse(&self.yaml).unwrap();
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        file.listen.get_or_insert(free);
        file.admin_listen.get_or_insert(free);
        file.workers.get_or_insert(self.workers);
        // Dozens of proxies run at once, and all sockets of one cgroup pass through the programs of each.
        file.ebpf.get_or_insert(EbpfMode::Off);
        let upstream = &mut file.upstream;
        upstream
            .base_url
            .get_or_insert_with(|| emulator.base_url().to_owned());
        if let Some(authority) = emulator.authority() {
            let ca = directory.write("ca.pem", authority.ca_pem());
            upstream.ca_file.get_or_insert(ca);
        }
        let key = directory.write("key", EMULATOR_KEY);
        if self.key && upstream.api_keys.is_empty() {
            upstream.api_key_file.get_or_insert(key);
        }
        let others = upstreams::start(self.others, &emulator, &mut file, &directory);
        // A test that leaves a request behind does not have to wait for it.
        let drain = Span(Duration::from_millis(300));
        file.timeouts.drain.get_or_insert(drain);
        let log = directory.path("access.log");
        file.log.format.get_or_insert(LogFormat::Json);
        file.log
            .access
            .get_or_insert(log.to_str().unwrap().to_owned());
        (self.edit)(&mut file, &directory, &emulator);
        let config = Config::build(file).unwrap();
        Rig {
            app: Some(App::start(config).unwrap()),
            emulator,
            others,
            directory,
        }
    }
}

/// A running proxy and its upstream.
pub(crate) struct Rig {
    // Stopped first, while its upstream is still there.
    app: Option<App>,
    pub(crate) emulator: Emulator,
    /// Those that [`RigBuilder::another`] has added.
    pub(crate) others: Vec<Emulator>,
    pub(crate) directory: Directory,
}

impl Rig {
    pub(crate) fn start() -> Self {
        Self::builder().start()
    }

    /// A rig with the given configuration file.
    pub(crate) fn with(yaml: &str) -> Self {
        Self::builder().config(yaml).start()
    }

    pub(crate) fn builder() -> RigBuilder {
        RigBuilder {
            yaml: String::new(),
            workers: 1,
            key: true,
            emulator: Box::new(|builder| builder),
            others: Vec::new(),
            edit: Box::new(|_, _, _| {}),
        }
    }

    pub(crate) fn app(&self) -> &App {
        self.app.as_ref().unwrap()
    }

    pub(crate) fn data_addr(&self) -> SocketAddr {
        self.app().data_addr()
    }

    pub(crate) fn admin_addr(&self) -> SocketAddr {
        self.app().admin_addr()
    }

    /// A new connection to the data port.
    pub(crate) fn client(&self) -> Client {
        Client::connect(self.data_addr())
    }

    /// The same without anything around it.
    pub(crate) fn connect(&self) -> TcpStream {
        client::tcp(self.data_addr())
    }

    /// A client that speaks to the emulator directly and knows its key.
    pub(crate) fn direct(&self) -> Client {
        let authority = self.emulator.authority().unwrap();
        let config = authority.client_config(&["http/1.1"]).unwrap();
        Client::connect_tls(self.emulator.addr(), "localhost", config).unwrap()
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.client().request("GET", path, &[], b"")
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Reply {
        self.client().request("POST", path, &[], body.as_bytes())
    }

    /// A chat request that asks the emulator for a fault.
    pub(crate) fn faulty(&self, fault: &str) -> Reply {
        let fields = [("x-emulator-fault", fault)];
        let body = QUESTION.as_bytes();
        self.client().request("POST", CHAT, &fields, body)
    }

    /// A path of the admin port.
    pub(crate) fn admin(&self, path: &str) -> Reply {
        Client::connect(self.admin_addr()).request("GET", path, &[], b"")
    }

    /// Waits until the control thread runs, which watches files before it answers anybody.
    pub(crate) fn wait_watching(&self) {
        assert_eq!(self.admin("/livez").status, 200);
    }

    /// Puts a fault in force, as `POST /emulator/fault` would.
    pub(crate) fn fault(&self, fault: &str, scope: FaultScope) {
        let fault: Fault = fault.parse().unwrap();
        self.emulator.set_fault(fault, scope).unwrap();
    }

    /// One sample of `/metrics`, by name and labels as they stand there; 0 if it is not there.
    pub(crate) fn metric(&self, sample: &str) -> f64 {
        let text = self.admin("/metrics").text();
        metrics::sample(&text, sample).unwrap_or(0.0)
    }

    /// Waits until a sample has a value; metrics move when a request has ended, which its client
    /// may learn earlier.
    #[track_caller]
    pub(crate) fn wait_metric(&self, sample: &str, value: f64) {
        let is_there = || (self.metric(sample) - value).abs() < f64::EPSILON;
        if !soon(is_there) {
            panic!("{sample} is {}, not {value}", self.metric(sample));
        }
    }

    /// Waits for `holysheep_rejected_total` of a reason.
    #[track_caller]
    pub(crate) fn wait_rejected(&self, reason: &str, count: u32) {
        let sample = format!("holysheep_rejected_total{{reason=\"{reason}\"}}");
        self.wait_metric(&sample, f64::from(count));
    }

    /// The access log so far, in the form it was written.
    pub(crate) fn log_text(&self) -> String {
        std::fs::read_to_string(self.directory.path("access.log")).unwrap()
    }

    /// The complete lines of the access log so far; every line has to be JSON.
    pub(crate) fn log_lines(&self) -> Vec<Value> {
        let text = self.log_text();
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        let lines = complete.lines();
        lines
            .map(|line| {
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
            })
            .collect()
    }

    /// Waits for exactly so many lines of the access log.
    #[track_caller]
    pub(crate) fn wait_log(&self, count: usize) -> Vec<Value> {
        soon(|| self.log_lines().len() >= count);
        let lines = self.log_lines();
        assert_eq!(lines.len(), count, "{lines:#?}");
        lines
    }

    /// Waits until the emulator's counters say so.
    #[track_caller]
    pub(crate) fn wait_stats(&self, reached: impl Fn(&holysheep_emulator::Stats) -> bool) {
        if !soon(|| reached(&self.emulator.stats())) {
            panic!(
                "the emulator did not get there: {:?}",
                self.emulator.stats()
            );
        }
    }

    /// The last request the emulator received.
    pub(crate) fn last_request(&self) -> holysheep_emulator::RecordedRequest {
        self.emulator.requests().pop().unwrap()
    }

    /// Stops the proxy and waits for its end.
    pub(crate) fn stop(&mut self) {
        if let Some(app) = self.app.take() {
            app.stop();
            app.join();
        }
    }
}
