//! The proxies of a soak: two lines of processes, of which one never ends and the other one is replaced again and again.
//!
//! A line has ports of its own that stay the same, and a file of settings. `take_over`, `stop_and_follow` and
//! `restart` are the three ways in which an operator replaces a process.

use std::cell::Cell;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use tokio::time::sleep;

use super::scrape;
use super::settings::Settings;
use super::site::free_port;
use crate::cgroup::Cgroup;
use crate::peer::{product, tail};
use crate::process::Process;

/// From its start until a process serves.
const START: Duration = Duration::from_secs(20);
/// From SIGTERM, or from the take-over, to a process' end: its two delays, and what else it has to do.
const END: Duration = Duration::from_secs(40);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// What processes are started with.
pub(super) struct Program<'a> {
    pub(super) binary: Option<&'a Path>,
    pub(super) cgroup: Option<&'a Cgroup>,
    /// `required` or `off`.
    pub(super) ebpf: &'static str,
}

/// One process of a line.
#[derive(Debug)]
pub(super) struct Generation {
    pub(super) number: usize,
    process: Process,
    log: PathBuf,
}

/// What there is to say of a process that has ended.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Ended {
    pub(super) line: usize,
    pub(super) generation: usize,
    pub(super) how: String,
    pub(super) is_well: bool,
    /// Lines of its log by level, but for `INFO`, and the first of each kind.
    pub(super) complaints: Vec<(String, u64)>,
    pub(super) panics: u64,
}

/// A proxy, whatever process it is.
pub(super) struct Line<'a> {
    pub(super) number: usize,
    pub(super) name: &'static str,
    pub(super) port: u16,
    pub(super) admin: u16,
    pub(super) settings: Settings,
    program: &'a Program<'a>,
    directory: PathBuf,
    started: Cell<usize>,
}

impl<'a> Line<'a> {
    /// A line without a process so far.
    ///
    /// # Errors
    /// When there are no ports.
    pub(super) fn new(
        number: usize,
        name: &'static str,
        settings: Settings,
        program: &'a Program<'a>,
    ) -> Result<Self> {
        let directory = settings.directory.parent().context("no directory")?;
        Ok(Self {
            number,
            name,
            port: free_port()?,
            admin: free_port()?,
            directory: directory.to_path_buf(),
            settings,
            program,
            started: Cell::new(0),
        })
    }

    /// The socket over which the next process gets the ports.
    pub(super) fn take_over_path(&self) -> PathBuf {
        self.directory.join("take-over.sock")
    }

    /// Starts a process, which takes over from one that runs, and waits until it serves.
    ///
    /// # Errors
    /// When it does not.
    pub(super) async fn start(&self) -> Result<Generation> {
        let number = self.started.get() + 1;
        self.started.set(number);
        let mut generation = self.spawn(number)?;
        let deadline = Instant::now() + START;
        while !generation.has_said("\"message\":\"serving\"") {
            if let Some(status) = generation.process.exited()? {
                bail!(
                    "{} ended with {status}: {}",
                    self.name,
                    generation.last_words()
                );
            }
            ensure!(
                Instant::now() < deadline,
                "{} does not serve: {}",
                self.name,
                generation.last_words()
            );
            sleep(LOOK).await;
        }
        Ok(generation)
    }

    fn spawn(&self, number: usize) -> Result<Generation> {
        let place = format!("{}-{number}", self.name);
        let (mut command, _) = product(self.program.binary, self.program.cgroup, &place)?;
        let directory = self.directory.join(&place);
        std::fs::create_dir_all(&directory)?;
        let log = directory.join("stderr.log");
        command
            .arg("serve")
            .args(["--listen", &format!("127.0.0.1:{}", self.port)])
            .args(["--admin-listen", &format!("127.0.0.1:{}", self.admin)])
            .args(["--workers", "2", "--ebpf", self.program.ebpf])
            .arg("--config")
            .arg(self.settings.file())
            .arg("--take-over")
            .arg(self.take_over_path())
            .current_dir(&directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?);
        let process = Process::spawn(&mut command, None)?;
        Ok(Generation {
            number,
            process,
            log,
        })
    }

    /// Waits for a process' end.
    ///
    /// # Errors
    /// When the kernel does not know it.
    pub(super) async fn end(&self, mut generation: Generation) -> Result<Ended> {
        let deadline = Instant::now() + END;
        let (how, is_well) = loop {
            match generation.process.exited()? {
                Some(status) => break (status.to_string(), status.success()),
                None if Instant::now() > deadline => {
                    break (format!("did not end within {} s", END.as_secs()), false);
                }
                None => sleep(LOOK).await,
            }
        };
        let (complaints, panics) = generation.complaints();
        Ok(Ended {
            line: self.number,
            generation: generation.number,
            how,
            is_well,
            complaints,
            panics,
        })
    }

    /// Waits until the process is ready, by its own account.
    ///
    /// # Errors
    /// When it does not get ready.
    pub(super) async fn ready(&self) -> Result<()> {
        let deadline = Instant::now() + START;
        while !scrape::get(self.admin, "/readyz", "*/*")
            .await
            .is_ok_and(|(status, _)| status == 200)
        {
            ensure!(
                Instant::now() < deadline,
                "{} does not get ready",
                self.name
            );
            sleep(LOOK).await;
        }
        Ok(())
    }
}

impl Generation {
    /// The process.
    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it has ended.
    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.context("no process")?, signal)?;
        Ok(())
    }

    /// How it ended, if it has, which is not for it to do.
    ///
    /// # Errors
    /// When the kernel does not know it.
    pub(super) fn exited(&mut self) -> Result<Option<String>> {
        let status = self.process.exited()?;
        Ok(status.map(|status| format!("{status}: {}", self.last_words())))
    }

    fn text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn has_said(&self, what: &str) -> bool {
        self.text().contains(what)
    }

    fn last_words(&self) -> String {
        self.log.parent().map(tail).unwrap_or_default()
    }

    /// What it complained about, how often, by level and message; and how often it panicked.
    pub(super) fn complaints(&self) -> (Vec<(String, u64)>, u64) {
        let (mut complaints, mut panics) = (Vec::<(String, u64)>::new(), 0);
        for line in self.text().lines() {
            panics += u64::from(line.contains("panicked at"));
            let Ok(line) = serde_json::from_str::<serde_json::Value>(line) else {
                continue;
            };
            let text = |field: &str| line[field].as_str().unwrap_or_default().to_owned();
            let level = text("level");
            if level != "WARN" && level != "ERROR" {
                continue;
            }
            let said = format!("{level} {}", text("message"));
            match complaints.iter_mut().find(|(known, _)| *known == said) {
                Some((_, count)) => *count += 1,
                None => complaints.push((said, 1)),
            }
        }
        (complaints, panics)
    }
}
