//! Whether a request was acknowledged before its connection ended: each way to end, with kernel programs and without.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use holysheep_proxy::kernel::{ConnectionEnd, Kernel, Sockets, TcpInfo};
use netlab::{Direction, Path, Record};
use rustix::net::sockopt;
use socket2::SockRef;

use crate::Outcome;
use crate::endpoints::{abort, exchange, far, pair};
use crate::lab::{self, FAMILIES, Lab};
use crate::path::start;

const REQUEST: &[u8] = b"a request";

/// A connection that has carried an exchange, so that something was written before the request in question.
struct Connection {
    stream: TcpStream,
    cookie: u64,
    peer: TcpStream,
}

/// Bytes of that exchange.
const BEFORE: u64 = 1;

impl Connection {
    fn open(sockets: &Sockets, listener: &TcpListener, address: SocketAddr) -> Self {
        let (mut stream, cookie, mut peer) = pair(sockets, listener, address);
        sockets.begin(cookie);
        exchange(&mut stream, &mut peer);
        // The next one's.
        sockets.begin(cookie);
        Self {
            stream,
            cookie,
            peer,
        }
    }

    fn along(path: &Path, sockets: &Sockets, listener: &TcpListener, address: SocketAddr) -> Self {
        let open = || Self::open(sockets, listener, address);
        path.client().run(open).unwrap()
    }
}

/// With the programs, and without.
fn told(
    sockets: &Sockets,
    stream: &TcpStream,
    cookie: u64,
    before: u64,
    end: ConnectionEnd,
) -> (bool, bool) {
    let ask = |sockets: &Sockets| sockets.unacknowledged(stream, cookie, before, end);
    (ask(sockets), ask(&Sockets::of(&Kernel::off(None))))
}

fn acked(stream: &TcpStream) -> u64 {
    TcpInfo::of(stream).unwrap().bytes_acked.unwrap()
}

/// The peer closes, before the request or after having read it.
pub(crate) fn closed(lab: &Lab) -> Outcome {
    for (family, bind, to) in FAMILIES {
        let kernel = lab.kernel();
        let sockets = Sockets::of(&kernel);
        let (listener, address) = lab::listen(bind, to);
        let Connection {
            mut stream,
            cookie,
            peer,
        } = Connection::open(&sockets, &listener, address);
        drop(peer);
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        stream.write_all(REQUEST).unwrap();
        let end = ConnectionEnd::Closed;
        assert_eq!(
            told(&sockets, &stream, cookie, BEFORE, end),
            (true, true),
            "{family}"
        );
        let Connection {
            mut stream,
            cookie,
            mut peer,
        } = Connection::open(&sockets, &listener, address);
        stream.write_all(REQUEST).unwrap();
        peer.read_exact(&mut [0; REQUEST.len()]).unwrap();
        drop(peer);
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        assert_eq!(
            told(&sockets, &stream, cookie, BEFORE, end),
            (false, false),
            "{family}"
        );
        // Of something sent behind it, nothing was.
        let all = BEFORE + REQUEST.len() as u64;
        assert_eq!(
            told(&sockets, &stream, cookie, all, end),
            (true, true),
            "{family}"
        );
    }
    Ok(())
}

/// The peer reads the request and resets the connection, having acknowledged the request by nothing but the reset.
pub(crate) fn aborted(lab: &Lab) -> Outcome {
    for (family, bind, to) in FAMILIES {
        let kernel = lab.kernel();
        let sockets = Sockets::of(&kernel);
        let (listener, address) = lab::listen(bind, to);
        let Connection {
            mut stream,
            cookie,
            mut peer,
        } = Connection::open(&sockets, &listener, address);
        // Acknowledgements are put off, by 40 ms or more.
        sockopt::set_tcp_quickack(&peer, false).unwrap();
        stream.write_all(REQUEST).unwrap();
        peer.read_exact(&mut [0; REQUEST.len()]).unwrap();
        abort(peer);
        let error = stream.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        let acked = acked(&stream);
        println!("  {family:<9} acknowledged besides the SYN: {}", acked - 1);
        // The flags decide, since the numbers would not.
        assert!(lab::is_emulated() || acked == BEFORE + 1, "{acked}");
        let end = ConnectionEnd::Reset;
        assert_eq!(
            told(&sockets, &stream, cookie, BEFORE, end),
            (false, false),
            "{family}"
        );
    }
    Ok(())
}

/// The segments with RST that came for a client's port: whether each had ACK, and whether it got through.
fn resets(path: &Path, port: u16) -> Vec<(bool, bool)> {
    let reset = |record: &Record| {
        let segment = record.segment?;
        let ours = segment.flags.rst() && segment.destination.port() == port;
        ours.then(|| (segment.flags.ack(), record.left().is_some()))
    };
    path.journal().records().iter().filter_map(reset).collect()
}

/// The peer is gone without our having heard of it, so its host answers the request with a reset.
pub(crate) fn gone(lab: &Lab) -> Outcome {
    let path = start(Path::builder().round_trip(Duration::from_millis(5)))?;
    for to in path.server().addresses() {
        let kernel = lab.kernel();
        let sockets = Sockets::of(&kernel);
        let (listener, address) = far(&path, to);
        for request in [true, false] {
            let (mut stream, cookie, peer, before) = if request {
                let open = Connection::along(&path, &sockets, &listener, address);
                (open.stream, open.cookie, open.peer, BEFORE)
            } else {
                // As over h2, where requests are not numbered.
                let open = || pair(&sockets, &listener, address);
                let (stream, cookie, peer) = path.client().run(open).unwrap();
                (stream, cookie, peer, 0)
            };
            path.cut(Direction::ToClient);
            abort(peer);
            // Whether they acknowledged and arrived.
            let port = stream.local_addr().unwrap().port();
            let resets = || resets(&path, port);
            lab::eventually("the peer's own is lost", || {
                resets().contains(&(true, false))
            });
            path.heal();
            stream.write_all(REQUEST).unwrap();
            let error = stream.read(&mut [0]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
            let all = resets();
            assert!(all.contains(&(false, true)) && !all.contains(&(true, true)));
            let end = ConnectionEnd::Reset;
            assert_eq!(
                told(&sockets, &stream, cookie, before, end),
                (true, false),
                "{to}"
            );
        }
        let view = sockets.view(address).unwrap();
        assert_eq!((view.connects, view.resets), (2, 2), "{to}");
    }
    Ok(())
}

/// The path is cut, and somebody gives up: we, or the kernel.
pub(crate) fn given_up(lab: &Lab) -> Outcome {
    let path = start(Path::builder().round_trip(Duration::from_millis(5)))?;
    for to in path.server().addresses() {
        let kernel = lab.kernel();
        let sockets = Sockets::of(&kernel);
        let (listener, address) = far(&path, to);
        let open = || Connection::along(&path, &sockets, &listener, address);
        let end = ConnectionEnd::TimedOut;
        let Connection {
            mut stream,
            cookie,
            mut peer,
        } = open();
        path.cut(Direction::ToServer);
        stream.write_all(REQUEST).unwrap();
        let unanswered = || sockets.view(address).unwrap().unanswered;
        lab::eventually("nobody answers", || unanswered() > 1);
        assert_eq!(
            told(&sockets, &stream, cookie, BEFORE, end),
            (true, true),
            "{to}"
        );
        path.heal();
        peer.read_exact(&mut [0; REQUEST.len()]).unwrap();
        lab::eventually("it is acknowledged", || acked(&stream) > BEFORE + 1);
        assert_eq!(
            told(&sockets, &stream, cookie, BEFORE, end),
            (false, false),
            "{to}"
        );
        let Connection {
            mut stream,
            cookie,
            peer,
        } = open();
        let limit = Some(Duration::from_millis(700));
        SockRef::from(&stream).set_tcp_user_timeout(limit).unwrap();
        path.cut(Direction::ToServer);
        stream.write_all(REQUEST).unwrap();
        let error = stream.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(
            told(&sockets, &stream, cookie, BEFORE, end),
            (true, true),
            "{to}"
        );
        path.heal();
        drop(peer);
        // The kernel gave up; nobody has reset anything.
        assert_eq!(sockets.view(address).unwrap().resets, 0, "{to}");
    }
    Ok(())
}
