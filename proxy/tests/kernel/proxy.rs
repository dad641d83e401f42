//! A whole proxy with its kernel programs, an emulator behind it, and a client that speaks HTTP/1.1 by hand.
//!
//! The tests of `app.rs` ask it. Everything is on free ports of the loopback and by address, because the guests of
//! `cargo xtask test-kernels` have no resolver.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use holysheep_emulator::Emulator;
use holysheep_proxy::app::App;
use holysheep_proxy::config::file::Span;
use holysheep_proxy::config::{Config, ConfigFile, EbpfMode, LogFormat, Secret};
use serde_json::Value;

use crate::lab;

/// A proxy, and where its lines go.
pub(crate) struct Proxy {
    // Stopped before its files go.
    app: App,
    directory: Directory,
}

impl Proxy {
    /// Starts one in front of the emulator; what the YAML does not say, this does.
    pub(crate) fn start(emulator: &Emulator, yaml: &str) -> Self {
        let directory = Directory::new();
        let config = config(emulator, yaml, &directory);
        Self {
            app: start(config).unwrap_or_else(|error| panic!("{error:#}")),
            directory,
        }
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.app.data_addr())
    }

    pub(crate) fn app(&self) -> &App {
        &self.app
    }

    pub(crate) fn data_addr(&self) -> SocketAddr {
        self.app.data_addr()
    }

    pub(crate) fn tls_addr(&self) -> Option<SocketAddr> {
        self.app.tls_addr()
    }

    /// What a path of the admin port answers.
    pub(crate) fn admin(&self, path: &str) -> String {
        let reply = Client::connect(self.app.admin_addr()).request("GET", path, "", b"");
        assert_eq!(reply.status, 200, "{path}: {}", reply.body);
        reply.body
    }

    /// The value of a sample now.
    pub(crate) fn metric(&self, name: &str) -> Option<f64> {
        sample(&self.admin("/metrics"), name)
    }

    pub(crate) fn status(&self) -> Value {
        serde_json::from_str(&self.admin("/status")).unwrap()
    }

    /// Waits for exactly so many lines of the access log.
    pub(crate) fn log(&self, count: usize) -> Vec<Value> {
        let path = self.directory.0.join("access.log");
        let complete = || {
            let text = std::fs::read_to_string(&path).unwrap();
            let end = text.rfind('\n').map_or(0, |end| end + 1);
            text[..end].to_owned()
        };
        lab::eventually("the access log has its lines", || {
            complete().lines().count() >= count
        });
        let lines: Vec<Value> = complete()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), count, "{lines:#?}");
        lines
    }
}

/// The value of a sample, by name and labels as they stand in the text.
pub(crate) fn sample(text: &str, name: &str) -> Option<f64> {
    let mut lines = text.lines();
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

/// The program itself, if it is where it was built: a guest has only its tests.
pub(crate) fn program() -> Result<&'static str, String> {
    let program = env!("CARGO_BIN_EXE_holysheep-proxy");
    match Path::new(program).exists() {
        true => Ok(program),
        false => Err("the program is not beside its tests".to_owned()),
    }
}

/// Starts an app from a thread of its own, which is the one that gives its capabilities up.
pub(crate) fn start(config: Config) -> anyhow::Result<App> {
    std::thread::spawn(|| App::start(config)).join().unwrap()
}

/// Files of one proxy, removed when dropped.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("holysheep-kernel-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What is left behind harms nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Kernel programs required, one worker, and a log to read.
pub(crate) fn config(emulator: &Emulator, yaml: &str, directory: &Directory) -> Config {
    let mut file = ConfigFile::parse(yaml).unwrap();
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    file.listen.get_or_insert(free);
    file.admin_listen = Some(free);
    file.workers.get_or_insert(1);
    file.ebpf = Some(EbpfMode::Required);
    let authority = directory.path().join("ca.pem");
    let pem = emulator.authority().unwrap().ca_pem();
    std::fs::write(&authority, pem).unwrap();
    let upstream = &mut file.upstream;
    let base_url = || format!("https://{}/v1", emulator.addr());
    upstream.base_url.get_or_insert_with(base_url);
    upstream.ca_file = Some(authority);
    upstream.api_key = Some(Secret::new(emulator.api_key().into()).unwrap());
    file.timeouts.drain = Some(Span(Duration::from_millis(300)));
    let log = directory.path().join("access.log");
    file.log.format = Some(LogFormat::Json);
    let log = log.to_str().unwrap().to_owned();
    file.log.access.get_or_insert(log);
    Config::build(file).unwrap()
}

/// A connection that is kept alive.
pub(crate) struct Client(BufReader<TcpStream>);

/// A response, and how long the client waited for it.
pub(crate) struct Reply {
    pub(crate) status: u16,
    fields: Vec<(String, String)>,
    pub(crate) body: String,
    /// From before the request was written until the head was read.
    pub(crate) head_came: Duration,
}

impl Reply {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        let found = fields.find(|(field, _)| field == name);
        found.map(|(_, value)| value.as_str())
    }
}

impl Client {
    fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        Self::over(stream)
    }

    /// Over a connection that is there already.
    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    /// Sends a request with further field lines, each with its end, and reads the response.
    pub(crate) fn request(&mut self, method: &str, path: &str, fields: &str, body: &[u8]) -> Reply {
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: proxy.test\r\ncontent-length: {length}\r\n{fields}\r\n"
        );
        let started = Instant::now();
        let bytes = [head.as_bytes(), body].concat();
        self.0.get_mut().write_all(&bytes).unwrap();
        let status_line = self.line();
        let head_came = started.elapsed();
        let mut reply = Reply {
            status: status_line.split(' ').nth(1).unwrap().parse().unwrap(),
            fields: Vec::new(),
            body: String::new(),
            head_came,
        };
        while let Some((name, value)) = self.line().split_once(':') {
            let field = (name.to_ascii_lowercase(), value.trim().to_owned());
            reply.fields.push(field);
        }
        reply.body = self.body(&reply);
        reply
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        assert!(line.ends_with("\r\n"), "the connection ended: {line:?}");
        line.trim_end().to_owned()
    }

    fn body(&mut self, reply: &Reply) -> String {
        let mut body = Vec::new();
        match reply.field("content-length") {
            Some(length) => {
                body.resize(length.parse().unwrap(), 0);
                self.0.read_exact(&mut body).unwrap();
            }
            None => self.chunks(&mut body),
        }
        String::from_utf8(body).unwrap()
    }

    fn chunks(&mut self, body: &mut Vec<u8>) {
        loop {
            let length = usize::from_str_radix(&self.line(), 16).unwrap();
            let start = body.len();
            body.resize(start + length, 0);
            self.0.read_exact(&mut body[start..]).unwrap();
            assert_eq!(self.line(), "", "a chunk's end");
            if length == 0 {
                return;
            }
        }
    }
}
