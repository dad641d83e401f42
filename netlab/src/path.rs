//! The path as a whole: its settings, its start and its end.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::journal::Book;
use crate::link::{Cut, Reseed, Shaper};
use crate::relay::{Lane, Relay};
use crate::{Direction, Error, Host, Journal, Link, Loss, Rate, congestion, device};

/// Addresses for documentation, RFC 5737 and RFC 3849: routed nowhere.
const CLIENT: (Ipv4Addr, Ipv6Addr) = (
    Ipv4Addr::new(192, 0, 2, 1),
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1),
);
const SERVER: (Ipv4Addr, Ipv6Addr) = (
    Ipv4Addr::new(192, 0, 2, 2),
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2),
);

/// Ethernet's.
const MTU: u16 = 1500;

/// The least that IPv6 needs.
const SMALLEST_MTU: u16 = 1280;

/// Records of each direction that are kept unless told otherwise: some 100 MB when full.
const RECORDS: u64 = 500_000;

/// Settings of a path. Without any, packets pass at once.
#[derive(Clone, Debug)]
pub struct Builder {
    to_server: Link,
    to_client: Link,
    congestion_control: Option<String>,
    mtu: u16,
    records: u64,
}

impl Builder {
    /// Half of it in each direction.
    #[must_use]
    pub fn round_trip(self, time: Duration) -> Self {
        self.both(|link| link.delay = time / 2)
    }

    /// Loses every `nth` data segment of each direction.
    #[must_use]
    pub fn drop_every(self, nth: u64) -> Self {
        self.both(|link| link.loss = Loss::Every(nth))
    }

    /// Loses this share of the data segments of each direction; 0.01 is one in a hundred.
    #[must_use]
    pub fn drop_randomly(self, share: f64, seed: u64) -> Self {
        self.both(|link| link.loss = Loss::Random { share, seed })
    }

    /// Makes each direction a narrow link with this queue.
    #[must_use]
    pub fn rate(self, bits_per_second: u64, queue_bytes: u64) -> Self {
        let rate = Some(Rate {
            bits_per_second,
            queue_bytes,
        });
        self.both(|link| link.rate = rate)
    }

    /// Everything about one direction, instead of what was set for both so far.
    #[must_use]
    pub fn link(mut self, direction: Direction, link: Link) -> Self {
        match direction {
            Direction::ToServer => self.to_server = link,
            Direction::ToClient => self.to_client = link,
        }
        self
    }

    /// The hosts' congestion control, `cubic` unless told otherwise; `None` leaves them with that of this machine.
    #[must_use]
    pub fn congestion_control(mut self, name: Option<&str>) -> Self {
        self.congestion_control = name.map(str::to_owned);
        self
    }

    /// The largest IP packet, 1500 bytes unless told otherwise.
    #[must_use]
    pub fn mtu(mut self, bytes: u16) -> Self {
        self.mtu = bytes;
        self
    }

    /// How many packets of each direction the journal keeps; of others it has only the numbers.
    #[must_use]
    pub fn records(mut self, limit: u64) -> Self {
        self.records = limit;
        self
    }

    /// Sets everything up.
    ///
    /// # Errors
    /// When a setting makes no sense, or this machine lacks something ([`Error::is_lack`]).
    pub fn start(self) -> Result<Path, Error> {
        self.to_server.check()?;
        self.to_client.check()?;
        if self.mtu < SMALLEST_MTU {
            return Err(Error::Setting("IPv6 needs an MTU of 1280 bytes or more"));
        }
        let client = Host::new(CLIENT.0, CLIENT.1)?;
        let server = Host::new(SERVER.0, SERVER.1)?;
        if let Some(name) = &self.congestion_control {
            congestion::set([&client, &server], name)?;
        }
        let client_device = Arc::new(device::create(&client, self.mtu)?);
        let server_device = Arc::new(device::create(&server, self.mtu)?);
        let (book, [to_server, to_client]) = Book::new(self.records);
        let shapers = [self.to_server, self.to_client].map(Shaper::new);
        let reseeds = [&shapers[0], &shapers[1]].map(Shaper::reseed);
        let cuts = [&shapers[0], &shapers[1]].map(Shaper::cut);
        let [near, far] = shapers;
        let relay = Relay::start([
            Lane {
                direction: Direction::ToServer,
                from: Arc::clone(&client_device),
                to: Arc::clone(&server_device),
                shaper: near,
                recorder: to_server,
            },
            Lane {
                direction: Direction::ToClient,
                from: server_device,
                to: client_device,
                shaper: far,
                recorder: to_client,
            },
        ])?;
        Ok(Path {
            _relay: relay,
            client,
            server,
            reseeds,
            cuts,
            book: Mutex::new(book),
        })
    }

    fn both(mut self, change: impl Fn(&mut Link)) -> Self {
        change(&mut self.to_server);
        change(&mut self.to_client);
        self
    }
}

/// Two hosts and what is between them. Dropping it ends the relay and takes the devices and namespaces away, unless a
/// socket, thread or child of yours still holds one.
#[derive(Debug)]
pub struct Path {
    _relay: Relay,
    client: Host,
    server: Host,
    reseeds: [Reseed; 2],
    cuts: [Cut; 2],
    book: Mutex<Book>,
}

impl Path {
    /// A path's settings.
    #[must_use]
    pub fn builder() -> Builder {
        Builder {
            to_server: Link::default(),
            to_client: Link::default(),
            congestion_control: Some("cubic".to_owned()),
            mtu: MTU,
            records: RECORDS,
        }
    }

    /// The host at the near end.
    #[must_use]
    pub fn client(&self) -> &Host {
        &self.client
    }

    /// The host at the far end.
    #[must_use]
    pub fn server(&self) -> &Host {
        &self.server
    }

    /// What has passed so far. Whatever a host has received is in it.
    #[must_use]
    pub fn journal(&self) -> Journal {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        book.read()
    }

    /// Makes random losses of both directions start anew from this seed, with the next data segment: what several paths
    /// are then sent meets the same losses, segment by segment.
    pub fn reseed(&self, seed: u64) {
        for reseed in &self.reseeds {
            reseed.set(seed);
        }
    }

    /// Loses every packet of this direction that comes from now on, those without data, too.
    pub fn cut(&self, direction: Direction) {
        self.cuts[direction as usize].set(true);
    }

    /// Lets packets of both directions pass again.
    pub fn heal(&self) {
        for cut in &self.cuts {
            cut.set(false);
        }
    }

    /// Packets the kernel dropped before the relay had read them, since it was too slow: 0, or the journal is incomplete.
    ///
    /// # Errors
    /// When the devices cannot be asked.
    pub fn overruns(&self) -> Result<u64, Error> {
        let dropped = [&self.client, &self.server].map(device::overruns);
        dropped.into_iter().sum()
    }
}
