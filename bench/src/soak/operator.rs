//! What operators and upstreams do to the proxies while clients ask: reloads, certificates, drains, and faults.
//!
//! Each job runs beside the others until it is dropped. What does not come to pass as it should is a problem, and noted.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde::Serialize;
use tokio::time::{interval, sleep};

use super::client::tcp;
use super::fault::EVENTS;
use super::outcome::Book;
use super::proxy::{Ended, Generation, Line};
use super::sample::{Held, Object, Sample};
use super::scrape::Scrape;
use super::settings::is_right;
use super::site::Site;
use crate::report;

/// How long a reload, or a certificate, may take to be in force.
pub(super) const IN_FORCE: Duration = Duration::from_secs(10);
/// From one reload of a proxy to its next, and likewise its certificate.
const RELOAD_EVERY: Duration = Duration::from_secs(4);
const CERTIFY_EVERY: Duration = Duration::from_secs(25);
/// How long something goes on upstream, and how long all is well afterwards.
const EVENT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_secs(8);
/// How much longer its consequences may be seen: answers that were under way, ejected endpoints.
const AFTERMATH: Duration = Duration::from_secs(4);
/// From one reading of the upstreams' books to the next.
const AUDIT_EVERY: Duration = Duration::from_secs(15);

/// Something that happened, for the plot.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Mark {
    pub(super) at_s: f64,
    pub(super) until_s: f64,
    /// The line it happened to; upstream if `None`.
    pub(super) line: Option<usize>,
    pub(super) what: String,
}

/// A process that serves, or has been replaced and goes on with what it has.
#[derive(Debug, Clone, Copy)]
struct Alive {
    line: usize,
    generation: usize,
    pid: u32,
}

/// All that jobs share.
pub(super) struct Floor<'a> {
    pub(super) begun: Instant,
    pub(super) lines: [Line<'a>; 2],
    pub(super) site: RefCell<Site>,
    pub(super) book: Rc<RefCell<Book>>,
    /// Of the requests that have been sent.
    pub(super) numbers: Rc<Cell<u64>>,
    /// The process of each line that serves.
    pub(super) serving: RefCell<[Option<Generation>; 2]>,
    alive: RefCell<Vec<Alive>>,
    pub(super) samples: RefCell<Vec<Sample>>,
    pub(super) marks: RefCell<Vec<Mark>>,
    pub(super) ended: RefCell<Vec<Ended>>,
    /// All objects of the kernel that any process held.
    pub(super) objects: RefCell<BTreeSet<Object>>,
    pub(super) problems: RefCell<Vec<String>>,
    pub(super) is_replaced: [Cell<bool>; 2],
    pub(super) versions: [Cell<u32>; 2],
    pub(super) done: Cell<Done>,
}

/// How often what was done.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Done {
    pub(super) reloads: [u32; 2],
    pub(super) certificates: u32,
    pub(super) events: u32,
    /// By the three ways there are of that (`replace.rs`).
    pub(super) replaced: [u32; 3],
    pub(super) take_overs_broken: u32,
    pub(super) scrapes: u32,
}

impl<'a> Floor<'a> {
    pub(super) fn new(site: Site, lines: [Line<'a>; 2]) -> Self {
        let begun = Instant::now();
        Self {
            begun,
            lines,
            site: RefCell::new(site),
            book: Rc::new(RefCell::new(Book::new(begun))),
            numbers: Rc::default(),
            serving: RefCell::default(),
            alive: RefCell::default(),
            samples: RefCell::default(),
            marks: RefCell::default(),
            ended: RefCell::default(),
            objects: RefCell::default(),
            problems: RefCell::default(),
            is_replaced: [Cell::new(false), Cell::new(false)],
            versions: [Cell::new(0), Cell::new(0)],
            done: Cell::default(),
        }
    }

    pub(super) fn now_s(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    pub(super) fn count(&self, add: impl FnOnce(&mut Done)) {
        let mut done = self.done.get();
        add(&mut done);
        self.done.set(done);
    }

    pub(super) fn problem(&self, what: &str, error: &anyhow::Error) {
        let said = format!("{:.1} s: {what}: {error:#}", self.now_s());
        report::progress(&said);
        self.problems.borrow_mut().push(said);
    }

    pub(super) fn mark(&self, since: f64, line: Option<usize>, what: impl Into<String>) {
        self.marks.borrow_mut().push(Mark {
            at_s: since,
            until_s: self.now_s(),
            line,
            what: what.into(),
        });
    }

    /// Starts the first process of each line.
    ///
    /// # Errors
    /// When one does not serve.
    pub(super) async fn start(&self) -> Result<()> {
        for line in &self.lines {
            let generation = line.start().await?;
            self.serves(line.number, generation);
            line.ready().await?;
        }
        Ok(())
    }

    /// Has a process be the one that serves; the one before.
    pub(super) fn serves(&self, line: usize, generation: Generation) -> Option<Generation> {
        self.alive.borrow_mut().push(Alive {
            line,
            generation: generation.number,
            pid: generation.id(),
        });
        self.serving.borrow_mut()[line].replace(generation)
    }

    /// Stops the process of a line that serves, and waits for its end.
    ///
    /// # Errors
    /// When there is none.
    pub(super) async fn stop(&self, line: usize) -> Result<()> {
        let old = self.serving.borrow_mut()[line].take();
        let old = old.context("no process")?;
        old.signal(Signal::TERM)?;
        self.wait(line, old).await
    }

    pub(super) async fn wait(&self, line: usize, old: Generation) -> Result<()> {
        let number = old.number;
        let ended = self.lines[line].end(old).await?;
        let is_it = |alive: &Alive| alive.line == line && alive.generation == number;
        self.alive.borrow_mut().retain(|alive| !is_it(alive));
        self.ended.borrow_mut().push(ended);
        Ok(())
    }

    /// Reads what all processes hold, and what they say.
    pub(super) async fn sample(&self) {
        let mut said = [None, None];
        for (line, said) in self.lines.iter().zip(&mut said) {
            let is_quiet = || !self.is_replaced[line.number].get();
            let was_quiet = is_quiet();
            match Scrape::read(line.admin).await {
                Ok(scrape) if was_quiet && is_quiet() => *said = Some(scrape),
                Err(error) if was_quiet && is_quiet() => self.problem("scrape", &error),
                // Nobody can say whose figures these are.
                _ => {}
            }
            self.count(|done| done.scrapes += 1);
        }
        for alive in self.alive.borrow().iter() {
            // One that has just ended holds nothing.
            let Ok(held) = Held::read(alive.pid) else {
                continue;
            };
            self.objects.borrow_mut().extend(&held.objects);
            self.samples.borrow_mut().push(Sample {
                at_s: self.now_s(),
                line: alive.line,
                generation: alive.generation,
                held,
                said: said[alive.line].clone(),
            });
        }
        self.check_alive();
    }

    /// A process that nobody has stopped must be there.
    fn check_alive(&self) {
        let mut serving = self.serving.borrow_mut();
        for (line, slot) in self.lines.iter().zip(serving.iter_mut()) {
            let ended = slot.as_mut().and_then(|own| own.exited().ok()?);
            if let Some(how) = ended {
                self.problem(line.name, &anyhow::anyhow!("ended by itself: {how}"));
                *slot = None;
            }
        }
    }

    /// Samples, and reads the upstreams' books now and then.
    pub(super) async fn watch(&self, every: Duration) {
        let mut ticks = interval(every);
        let mut audited = Instant::now();
        loop {
            ticks.tick().await;
            self.sample().await;
            if audited.elapsed() > AUDIT_EVERY {
                audited = Instant::now();
                self.site.borrow_mut().audit();
            }
        }
    }

    /// Changes a line's file of settings again and again.
    pub(super) async fn reload(&self, line: usize) {
        loop {
            sleep(RELOAD_EVERY).await;
            if self.is_replaced[line].get() {
                continue;
            }
            let number = self.versions[line].get() + 1;
            self.versions[line].set(number);
            let result = self.reload_once(line, number).await;
            // Whoever is replaced meanwhile begins to count anew.
            if let Err(error) = result
                && !self.is_replaced[line].get()
            {
                let what = format!("{}, configuration {number}", self.lines[line].name);
                self.problem(&what, &error);
            }
        }
    }

    async fn reload_once(&self, number: usize, version: u32) -> Result<()> {
        let line = &self.lines[number];
        let kind = usize::from(!is_right(version));
        let before = Scrape::read(line.admin).await?.reloads[kind];
        if self.is_replaced[number].get() {
            return Ok(());
        }
        line.settings.write(version)?;
        if version.is_multiple_of(3) {
            let serving = self.serving.borrow();
            serving[number]
                .as_ref()
                .map(|own| own.signal(Signal::HUP))
                .transpose()?;
        }
        let deadline = Instant::now() + IN_FORCE;
        while Scrape::read(line.admin).await?.reloads[kind] <= before {
            ensure!(Instant::now() < deadline, "it was not read");
            sleep(Duration::from_millis(100)).await;
        }
        self.count(|done| done.reloads[kind] += 1);
        Ok(())
    }

    /// Changes a line's certificate again and again.
    pub(super) async fn certify(&self, line: usize) {
        loop {
            sleep(CERTIFY_EVERY).await;
            if self.is_replaced[line].get() {
                continue;
            }
            if let Err(error) = self.certify_once(line).await
                && !self.is_replaced[line].get()
            {
                self.problem(&format!("{}, certificate", self.lines[line].name), &error);
            }
        }
    }

    async fn certify_once(&self, line: usize) -> Result<()> {
        let settings = &self.lines[line].settings;
        let authority = Arc::clone(&self.site.borrow().authority);
        settings.certify(&authority)?;
        let written = CertificateDer::from_pem_file(settings.directory.join("tls.crt"))?;
        let connector = tokio_rustls::TlsConnector::from(authority.client_config(&["http/1.1"])?);
        let deadline = Instant::now() + IN_FORCE;
        loop {
            let stream = tcp(settings.tls_port).await?;
            let tls = connector
                .connect(ServerName::try_from("localhost")?, stream)
                .await?;
            let shown = tls.get_ref().1.peer_certificates();
            if shown.and_then(|chain| chain.first()) == Some(&written) {
                self.count(|done| done.certificates += 1);
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "the new one is not shown");
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// Has something go on upstream again and again.
    pub(super) async fn events(&self) {
        for event in EVENTS.iter().cycle() {
            sleep(PAUSE).await;
            let since = self.now_s();
            let window = self.book.borrow_mut().open(None, event.allows);
            let begun = self.site.borrow_mut().begin(event);
            sleep(EVENT).await;
            let ended = self.site.borrow_mut().end();
            self.book
                .borrow_mut()
                .close(window, Instant::now() + AFTERMATH);
            for result in [begun, ended] {
                if let Err(error) = result {
                    self.problem(event.text, &error);
                }
            }
            self.mark(since, None, format!("{:?} {}", event.place, event.text));
            self.count(|done| done.events += 1);
        }
    }

    /// Ends what goes on upstream, if a job was dropped in the middle of it.
    ///
    /// # Errors
    /// When a port cannot be opened again.
    pub(super) fn all_is_well(&self) -> Result<()> {
        self.book.borrow_mut().close_all(Instant::now() + AFTERMATH);
        self.site.borrow_mut().end()
    }
}
