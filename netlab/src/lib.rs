//! Networks of two hosts: an emulated path with a delay, losses and a narrow link, or a pod and its node.
//!
//! For tests and benches; the proxy does not use it. Each host is a network namespace.
//!
//! # A path
//!
//! Each host of a [`Path`] has a TUN device. A thread per direction carries packets from one device to the other: [`Link`] says how late, how fast
//! and with which losses, and the [`Journal`] knows of every packet when it came and when it left. So a test
//! compares what the proxy measured with what the path did, not with what the path was told to do.
//!
//! ```no_run
//! use std::net::{TcpListener, TcpStream};
//! use std::time::Duration;
//!
//! # fn main() -> Result<(), netlab::Error> {
//! let path = netlab::Path::builder().round_trip(Duration::from_millis(30)).start()?;
//! let address = (path.server().ipv4(), 80);
//! let listener = path.server().run(|| TcpListener::bind(address))?;
//! let stream = path.client().run(|| TcpStream::connect(address))?;
//! let port = stream.unwrap().local_addr().unwrap().port();
//! println!("{:?}", path.journal().flow(port).syn_round_trip());
//! # Ok(())
//! # }
//! ```
//!
//! A host can have up to three paths, each to a server of its own ([`Builder::start_beside`]), and each can be cut and
//! heal for itself.
//!
//! # A pair
//!
//! The hosts of a [`Pair`] are joined by a veth pair, as a pod and its node are. Nothing is between them but the
//! kernel, so what is at the devices and in the stack is that of a cluster: Ethernet, offloads, routes.
//!
//! ```no_run
//! use std::net::{TcpListener, TcpStream};
//!
//! # fn main() -> Result<(), netlab::Error> {
//! let pair = netlab::Pair::new()?;
//! pair.pod().set_sysctl("net.core.somaxconn", "16")?;
//! let address = (pair.pod().ipv6(), 8080);
//! let listener = pair.pod().run(|| TcpListener::bind(address))?;
//! let stream = pair.node().run(|| TcpStream::connect(address))?;
//! # Ok(())
//! # }
//! ```
//!
//! # What they need and leave
//!
//! They need root (`CAP_SYS_ADMIN` and `CAP_NET_ADMIN`) and an `ip` program, that of busybox included; a path needs
//! `/dev/net/tun`, a pair the kernel's module `veth`. Where one is missing, [`Builder::start`] and [`Pair::new`] say
//! which; [`or_skip`] turns that into a loud skip.
//!
//! The namespaces have no names: descriptors hold them, so nothing is left behind however the process ends.
//! [`Host::namespace`] is a path for `nsenter --net=`, and a child started in [`Host::run`] is inside.

mod clock;
mod congestion;
mod device;
mod error;
mod flow;
mod interface;
mod journal;
mod link;
mod namespace;
mod packet;
mod pair;
mod path;
mod relay;
mod skip;

pub use clock::now;
pub use error::Error;
pub use flow::Flow;
pub use journal::{Counts, Direction, Fate, Journal, Record};
pub use link::{Link, Loss, Rate};
pub use namespace::Host;
pub use packet::{Flags, Segment};
pub use pair::Pair;
pub use path::{Builder, Path};
pub use skip::or_skip;
