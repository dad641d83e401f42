//! The path as a whole: its settings, its start and its end.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::journal::Book;
use crate::link::{Cut, Reseed, Shaper};
use crate::relay::{Lane, Relay};
use crate::{Direction, Error, Host, Journal, Link, Loss, Rate, congestion, device};

/// Networks for documentation, RFC 5737 and RFC 3849, which are routed nowhere: one for each path of a host.
const NETWORKS: [([u8; 3], u16); 3] = [([192, 0, 2], 0), ([198, 51, 100], 1), ([203, 0, 113], 2)];

/// The addresses of a path's client (1) or server (2).
fn addresses(path: usize, host: u8) -> Result<(Ipv4Addr, Ipv6Addr), Error> {
    let network = NETWORKS.get(path);
    let network = network.ok_or(Error::Setting("a host has no more than three paths"))?;
    let ([a, b, c], subnet) = *network;
    let ipv6 = Ipv6Addr::new(0x2001, 0xdb8, subnet, 0, 0, 0, 0, host.into());
    Ok((Ipv4Addr::new(a, b, c, host), ipv6))
}

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
        self.start_from(None)
    }

    /// The same, but the near end is the client of `other` and of those it is beside itself: one host with up to three
    /// servers, each at the end of a path of its own.
    ///
    /// # Errors
    /// As [`Builder::start`].
    pub fn start_beside(self, other: &Path) -> Result<Path, Error> {
        self.start_from(Some(other))
    }

    fn start_from(self, other: Option<&Path>) -> Result<Path, Error> {
        self.to_server.check()?;
        self.to_client.check()?;
        if self.mtu < SMALLEST_MTU {
            return Err(Error::Setting("IPv6 needs an MTU of 1280 bytes or more"));
        }
        let number = other.map_or(0, |other| other.number + 1);
        let ((near4, near6), (far4, far6)) = (addresses(number, 1)?, addresses(number, 2)?);
        let client = match other {
            Some(other) => other.client.at(near4, near6),
            None => Host::new(near4, near6)?,
        };
        let server = Host::new(far4, far6)?;
        if let Some(name) = &self.congestion_control {
            congestion::set([&client, &server], name)?;
        }
        let device = device::name(number);
        let client_device = Arc::new(device::create(&client, &device, self.mtu)?);
        let server_device = Arc::new(device::create(&server, &device, self.mtu)?);
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
            number,
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
    /// Which of the client's paths it is, from 0.
    number: usize,
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
        let name = device::name(self.number);
        let dropped = [&self.client, &self.server].map(|host| device::overruns(host, &name));
        dropped.into_iter().sum()
    }
}
