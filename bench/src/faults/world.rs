//! Three endpoints behind one name, each at the end of an emulated path of its own, and what happens to the last of them.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use holysheep_emulator::tls::Authority;
use holysheep_emulator::{Books, Emulator, FaultScope, Profile};
use netlab::{Direction, Host, Path};

use super::fault::Fault;
use super::name_server::NameServer;

/// The endpoints' name.
pub(super) const NAME: &str = "upstream.test";
/// Their port.
pub(super) const PORT: u16 = 8443;
/// The one to which something happens.
pub(super) const BAD: usize = 2;
/// How many there are.
pub(super) const ENDPOINTS: usize = 3;

/// Of each path.
const ROUND_TRIP: Duration = Duration::from_millis(5);
/// Before each answer, and between two tokens of a stream.
const THINK: Duration = Duration::from_millis(20);
const TOKEN: Duration = Duration::from_millis(5);
/// More requests than any run has.
const RECORDS: usize = 100_000;
/// A request has more bytes than that in its segment; what ends a connection, or asks for a new one, mostly less.
const REQUEST: u32 = 300;

/// All of it.
pub(super) struct World {
    names: NameServer,
    emulators: Vec<Option<Emulator>>,
    /// Of all that ever ran, by endpoint.
    books: Vec<(usize, Books)>,
    authority: Arc<Authority>,
    paths: Vec<Path>,
}

impl World {
    /// Sets everything up.
    ///
    /// # Errors
    /// When there can be no paths, or the emulators do not start.
    pub(super) fn start(authority: &Arc<Authority>) -> Result<Self> {
        let mut paths: Vec<Path> = Vec::new();
        for _ in 0..ENDPOINTS {
            let builder = Path::builder().round_trip(ROUND_TRIP);
            paths.push(match paths.last() {
                None => builder.start()?,
                Some(other) => builder.start_beside(other)?,
            });
        }
        let client = paths.first().context("no path")?.client();
        let addresses = paths.iter().map(|path| path.server().ipv4()).collect();
        let names = NameServer::start(client, addresses)?;
        let mut world = Self {
            names,
            emulators: Vec::new(),
            books: Vec::new(),
            authority: Arc::clone(authority),
            paths,
        };
        for index in 0..ENDPOINTS {
            let emulator = world.emulate(index)?;
            world.emulators.push(Some(emulator));
        }
        Ok(world)
    }

    fn emulate(&mut self, index: usize) -> Result<Emulator> {
        let path = self.paths.get(index).context("no such path")?;
        let builder = Emulator::builder()
            .listen((path.server().ipv4(), PORT).into())
            .authority(&self.authority)
            .name(NAME)
            .profile(Profile::Fixed(THINK))
            .token_interval(TOKEN)
            .record(RECORDS)
            .record_body(0);
        // Its threads and sockets belong to where they were made.
        let emulator = path.server().run(|| builder.start_blocking())??;
        self.books.push((index, emulator.books()));
        Ok(emulator)
    }

    /// The host of clients and proxies.
    pub(super) fn client(&self) -> &Host {
        self.paths[0].client()
    }

    /// Where the name is resolved.
    pub(super) fn name_server(&self) -> SocketAddr {
        self.names.address
    }

    /// The endpoints' addresses.
    pub(super) fn addresses(&self) -> Vec<Ipv4Addr> {
        let paths = self.paths.iter();
        paths.map(|path| path.server().ipv4()).collect()
    }

    /// Makes it happen.
    ///
    /// # Errors
    /// When it cannot be.
    pub(super) fn inject(&mut self, fault: Fault) -> Result<()> {
        match (fault, fault.answered()) {
            (_, Some(answered)) => {
                let emulator = self.emulators[BAD].as_ref().context("it is gone")?;
                emulator.set_fault(answered, FaultScope::Always)?;
            }
            (Fault::Blackhole, None) => {
                self.paths[BAD].cut(Direction::ToServer);
                self.paths[BAD].cut(Direction::ToClient);
            }
            (_, None) => drop(self.emulators[BAD].take()),
        }
        Ok(())
    }

    /// Makes it end.
    ///
    /// # Errors
    /// When the endpoint cannot be started again.
    pub(super) fn heal(&mut self, fault: Fault) -> Result<()> {
        match (fault, fault.answered()) {
            (Fault::Killed, _) => {}
            (Fault::Blackhole, _) => self.paths[BAD].heal(),
            (_, None) => {
                let emulator = self.emulate(BAD)?;
                self.emulators[BAD] = Some(emulator);
            }
            (_, Some(_)) => {
                let emulator = self.emulators[BAD].as_ref().context("it is gone")?;
                self.paths[BAD].server().run(|| emulator.clear_faults())??;
            }
        }
        Ok(())
    }

    /// What all emulators noted, with the endpoint of each.
    pub(super) fn books(&self) -> &[(usize, Books)] {
        &self.books
    }

    /// When requests came to the bad endpoint's path and were lost there, on the clock of [`netlab::now`]; each is told
    /// once, however often it was sent again.
    pub(super) fn lost(&self) -> Vec<Duration> {
        let journal = self.paths[BAD].journal();
        let mut seen = HashSet::new();
        let mut lost = Vec::new();
        for record in journal.records() {
            let Some(segment) = record.segment.filter(|segment| segment.data > REQUEST) else {
                continue;
            };
            if record.direction != Direction::ToServer {
                continue;
            }
            let name = (segment.source.port(), segment.sequence);
            if seen.insert(name) && record.left().is_none() {
                lost.push(record.came);
            }
        }
        lost
    }

    /// Packets that came faster than the paths could take them.
    ///
    /// # Errors
    /// When the devices cannot be asked.
    pub(super) fn overruns(&self) -> Result<u64> {
        let mut all = 0;
        for path in &self.paths {
            all += path.overruns()?;
        }
        Ok(all)
    }
}
