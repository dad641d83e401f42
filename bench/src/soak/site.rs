//! What surrounds the proxies of a soak: upstreams, names, keys, certificates and files, all on loopback.
//!
//! The first upstream is one name with three addresses, each an emulator; the second takes what the first cannot serve, and
//! has a model of its own, since an upstream that gets only what fails elsewhere is soon left alone; the third is the second
//! again, spoken to in h2.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holysheep_emulator::tls::Authority;
use holysheep_emulator::{Books, Emulator, Fault, FaultScope, Profile};

use super::fault::{Event, Place};
use super::settings::Settings;
use crate::faults::name_server::NameServer;
use crate::rig::Directory;

/// The first upstream's name.
const NAME: &str = "upstream.test";
/// Its endpoints; the second upstream comes after them.
const ENDPOINTS: usize = 3;
/// The endpoint to which something happens, if it happens to one.
const BAD: usize = 2;
/// The first upstream's keys, and the second's.
const KEYS: [&str; 3] = ["cr_soak_a", "cr_soak_b", "cr_soak_second"];
/// Before each answer, and between two tokens.
const THINK: Duration = Duration::from_millis(3);
const TOKEN: Duration = Duration::from_millis(4);
/// Of the last requests it is known whether they were billed: more than there are from one look at the books to the next.
const RECORDS: usize = 10_000;

/// Keys of clients.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    /// May do everything.
    pub(super) usual: String,
    /// May send a few requests a minute.
    pub(super) limited: String,
    /// May ask for the models `soak-*` alone.
    pub(super) listed: String,
}

/// All of it.
pub(super) struct Site {
    pub(super) authority: Arc<Authority>,
    pub(super) keys: Keys,
    emulators: Vec<Option<Emulator>>,
    /// Of all emulators that ever ran, with the upstream's number.
    books: Vec<(usize, Books)>,
    /// Where a request was billed; one that was billed twice counts in `billed_twice`.
    billed: HashMap<String, usize>,
    billed_twice: Vec<String>,
    names: NameServer,
    port: u16,
    directory: Directory,
}

impl Site {
    /// Starts the upstreams and writes the files that do not change.
    ///
    /// # Errors
    /// When the emulators do not start or files cannot be written. `product` is the proxy's program.
    pub(super) fn start(product: &mut Command) -> Result<Self> {
        let directory = Directory::create()?;
        let authority = Arc::new(Authority::new()?);
        authority.write_ca_pem(&directory.ca())?;
        for (name, key) in ["a", "b", "second"].iter().zip(KEYS) {
            std::fs::write(directory.path().join(format!("{name}.key")), key)?;
        }
        let endpoints = (0..ENDPOINTS).map(address);
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let names = NameServer::serve(socket, endpoints.collect())?;
        let keys = clients(product, &directory.path().join("clients.yaml"))?;
        let mut site = Self {
            authority,
            keys,
            emulators: Vec::new(),
            books: Vec::new(),
            billed: HashMap::new(),
            billed_twice: Vec::new(),
            names,
            port: TcpListener::bind((address(0), 0))?.local_addr()?.port(),
            directory,
        };
        for number in 0..=ENDPOINTS {
            let emulator = site.emulate(number)?;
            site.emulators.push(Some(emulator));
        }
        Ok(site)
    }

    fn emulate(&mut self, number: usize) -> Result<Emulator> {
        let keys = if number < ENDPOINTS {
            &KEYS[..2]
        } else {
            &KEYS[2..]
        };
        let emulator = Emulator::builder()
            .listen((address(number), self.port).into())
            .authority(&self.authority)
            .name(NAME)
            .api_keys(keys.iter().copied())
            .profile(Profile::Fixed(THINK))
            .token_interval(TOKEN)
            .record(RECORDS)
            .record_body(0)
            .start_blocking()?;
        self.books.push((number, emulator.books()));
        Ok(emulator)
    }

    /// Where all files are.
    pub(super) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A directory for a proxy's configuration, with a certificate; and what goes into its file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn settings(&self, name: &str) -> Result<Settings> {
        let directory = self.directory().join(name).join("configuration");
        std::fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
        let file = |name: &str| self.directory().join(name).display().to_string();
        let settings = Settings {
            directory,
            tls_port: free_port()?,
            upstreams: format!(
                "upstream:\n  name: first\n  base_url: https://{NAME}:{port}/v1\n  ca_file: {ca}\n  \
                 api_keys: [{{name: a, file: {a}}}, {{name: b, file: {b}}}]\n  max_idle: 16\n  idle_timeout: 10s\n\
                 upstreams:\n  - {{name: second, base_url: 'https://{second}:{port}/v1', ca_file: {ca}, api_key_file: {key}}}\n  \
                 - {{name: third, base_url: 'https://{second}:{port}/v1', ca_file: {ca}, api_key_file: {key}, protocol: http2}}\n\
                 dns: {{servers: ['{names}']}}\n\
                 auth: clients\nclients: {{file: {clients}}}\n",
                port = self.port,
                ca = self.directory.ca().display(),
                a = file("a.key"),
                b = file("b.key"),
                key = file("second.key"),
                second = address(ENDPOINTS),
                names = self.names.address,
                clients = file("clients.yaml"),
            ),
        };
        settings.certify(&self.authority)?;
        settings.write(0)?;
        Ok(settings)
    }

    /// Has something go on.
    ///
    /// # Errors
    /// When it cannot.
    pub(super) fn begin(&mut self, event: &Event) -> Result<()> {
        match event.place {
            Place::Restart => {
                drop(self.emulators[BAD].take());
                return Ok(());
            }
            Place::Endpoint => self
                .emulator(BAD)?
                .set_fault(fault(event)?, FaultScope::Always)?,
            Place::Upstream => {
                for number in 0..ENDPOINTS {
                    let emulator = self.emulator(number)?;
                    emulator.set_fault(fault(event)?, FaultScope::Always)?;
                }
            }
            Place::Key => {
                for number in 0..ENDPOINTS {
                    let emulator = self.emulator(number)?;
                    emulator.set_fault_of_key(0, fault(event)?, FaultScope::Always)?;
                }
            }
        }
        Ok(())
    }

    /// Has it end.
    ///
    /// # Errors
    /// When a port cannot be opened again.
    pub(super) fn end(&mut self) -> Result<()> {
        if self.emulators[BAD].is_none() {
            let emulator = self.emulate(BAD)?;
            self.emulators[BAD] = Some(emulator);
        }
        for emulator in self.emulators.iter().flatten() {
            emulator.clear_faults()?;
        }
        Ok(())
    }

    fn emulator(&self, number: usize) -> Result<&Emulator> {
        self.emulators[number].as_ref().context("it is gone")
    }

    /// Requests that upstreams are answering now.
    pub(super) fn in_flight(&self) -> u64 {
        let emulators = self.emulators.iter().flatten();
        emulators.map(|emulator| emulator.stats().in_flight).sum()
    }

    /// Reads the books of who was billed; has to be called before they are full.
    pub(super) fn audit(&mut self) {
        for (run, (_, books)) in self.books.iter().enumerate() {
            let mut seen = std::collections::HashSet::new();
            for id in books.billed_ids() {
                let is_twice = !seen.insert(id.clone());
                match self.billed.entry(id) {
                    Entry::Vacant(entry) => {
                        entry.insert(run);
                    }
                    Entry::Occupied(entry) if is_twice || *entry.get() != run => {
                        if !self.billed_twice.contains(entry.key()) {
                            self.billed_twice.push(entry.key().clone());
                        }
                    }
                    Entry::Occupied(_) => {}
                }
            }
        }
    }

    /// How many requests were billed, and which of them twice.
    pub(super) fn billed(&self) -> (usize, &[String]) {
        (self.billed.len(), &self.billed_twice)
    }
}

fn fault(event: &Event) -> Result<Fault> {
    event.text.parse().with_context(|| event.text.to_owned())
}

/// An upstream's address: 127.0.0.2 and the next ones.
fn address(number: usize) -> Ipv4Addr {
    let last = u8::try_from(number + 2).unwrap_or(u8::MAX);
    Ipv4Addr::new(127, 0, 0, last)
}

/// A port of 127.0.0.1 that is free now.
pub(super) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

/// Makes the file of clients, with the program's own command.
fn clients(product: &mut Command, file: &PathBuf) -> Result<Keys> {
    let program = product.get_program().to_owned();
    let add = |name: &str, more: &[&str]| -> Result<String> {
        let mut command = Command::new(&program);
        command.args(["client", "add", name, "--file"]).arg(file);
        let output = command.args(more).env_clear().output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "client add: {said}");
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let keys = Keys {
        usual: add("usual", &[])?,
        limited: add("limited", &[])?,
        listed: add("listed", &["--model", "soak-*"])?,
    };
    let text = std::fs::read_to_string(file)?;
    let mut limited = String::new();
    for line in text.lines() {
        limited.push_str(line);
        limited.push('\n');
        let limits = match line.trim() {
            r#"- name: "usual""# | r#"- name: "listed""# => "{requests_per_minute: 0}",
            r#"- name: "limited""# => "{requests_per_minute: 120, burst: 10, concurrent: 8}",
            _ => continue,
        };
        limited.push_str(&format!("    limits: {limits}\n"));
    }
    ensure!(
        limited.matches("limits:").count() == 3,
        "an unknown form of file: {text}"
    );
    std::fs::write(file, limited)?;
    Ok(keys)
}
