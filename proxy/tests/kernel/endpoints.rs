//! What connections to an endpoint met, against `TCP_INFO` and against faults that are known because the test made them.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use holysheep_proxy::kernel::{EndpointView, Sockets, TcpInfo};
use netlab::{Direction, Path};
use socket2::{SockRef, Socket};

use crate::Outcome;
use crate::lab::{self, FAMILIES, Lab};
use crate::path::start;

/// A socket followed for an endpoint, and connected to it.
pub(crate) fn connect(sockets: &Sockets, address: SocketAddr) -> (TcpStream, u64) {
    let (socket, _) = lab::socket(address);
    let followed = sockets.follow(&socket, 0, address);
    socket.connect(&address.into()).unwrap();
    socket.set_tcp_nodelay(true).unwrap();
    (socket.into(), followed.settle())
}

/// The same, and its other end.
pub(crate) fn pair(
    sockets: &Sockets,
    listener: &TcpListener,
    address: SocketAddr,
) -> (TcpStream, u64, TcpStream) {
    let (stream, cookie) = connect(sockets, address);
    let peer = listener.accept().unwrap().0;
    peer.set_nodelay(true).unwrap();
    (stream, cookie, peer)
}

/// Ends a connection with a reset.
pub(crate) fn abort(stream: TcpStream) {
    let abrupt = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    abrupt.unwrap();
    drop(stream);
}

fn sums(view: EndpointView) -> [u32; 4] {
    [
        view.connects,
        view.connect_failures,
        view.resets,
        view.retransmits,
    ]
}

/// Each endpoint has its own sums, and what is no fault of its is not in them.
pub(crate) fn told_apart(lab: &Lab) -> Outcome {
    for (family, bind, to) in FAMILIES {
        let kernel = lab.kernel();
        let sockets = Sockets::of(&kernel);
        let (good, good_address) = lab::listen(bind, to);
        let (bad, bad_address) = lab::listen(bind, to);
        let (gone, gone_address) = lab::listen(bind, to);
        drop(gone);
        assert_eq!(sockets.view(good_address), None, "never connected to");
        for _ in 0..3 {
            well(&sockets, &good, good_address);
        }
        cancelled(&sockets, &good, good_address);
        resets(&sockets, &bad, bad_address);
        let (socket, _) = lab::socket(gone_address);
        let followed = sockets.follow(&socket, 0, gone_address);
        let error = socket.connect(&gone_address.into()).unwrap_err();
        assert!(lab::is_broken(&error), "{error}");
        followed.settle();
        drop(socket);
        let flows = kernel.flows().unwrap();
        lab::eventually("all ends are seen", || flows.occupied() == 0);
        let view = |address| sockets.view(address).unwrap();
        let [good, bad, gone] = [good_address, bad_address, gone_address].map(view);
        println!("  {family:<9} {good:?}");
        assert_eq!(sums(good), [4, 0, 0, 0], "{family}");
        // The first had not received a byte.
        assert_eq!(sums(bad), [3, 1, 3, 0], "{family}");
        assert_eq!(sums(gone), [0, 1, 0, 0], "{family}");
        assert!(good.rtt.is_some() && good.since_acked.is_some());
        assert_eq!((gone.rtt, gone.since_acked), (None, None));
        for view in [good, bad, gone] {
            assert_eq!((view.unanswered, view.since_lost), (0, None));
        }
    }
    Ok(())
}

/// A few exchanges, and an orderly end.
fn well(sockets: &Sockets, listener: &TcpListener, address: SocketAddr) {
    let (mut stream, cookie, mut peer) = pair(sockets, listener, address);
    for _ in 0..5 {
        sockets.begin(cookie);
        exchange(&mut stream, &mut peer);
    }
    let told = TcpInfo::of(&stream).unwrap();
    let ours = sockets.view(address).unwrap().rtt.unwrap();
    // Before Linux 6.10 a program is told the estimate before the one just made.
    let theirs = Duration::from_micros(told.rtt_us.into());
    assert!(
        ours <= 4 * theirs && theirs <= 4 * ours,
        "{ours:?}, {theirs:?}"
    );
    drop(peer);
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

/// The proxy throws a response away that it has not read: its socket is closed at once, and by nobody's fault.
fn cancelled(sockets: &Sockets, listener: &TcpListener, address: SocketAddr) {
    let (stream, _, mut peer) = pair(sockets, listener, address);
    peer.write_all(b"answer").unwrap();
    stream.peek(&mut [0]).unwrap();
    drop(stream);
    assert!(lab::is_broken(&peer.read(&mut [0]).unwrap_err()));
}

/// The peer resets connections: before a byte, after one, and late in a response.
fn resets(sockets: &Sockets, listener: &TcpListener, address: SocketAddr) {
    for packets in [0, 1, 9] {
        let (mut stream, cookie, mut peer) = pair(sockets, listener, address);
        sockets.begin(cookie);
        for _ in 0..packets {
            peer.write_all(b"a").unwrap();
            stream.read_exact(&mut [0]).unwrap();
        }
        abort(peer);
        assert!(lab::is_broken(&stream.read(&mut [0]).unwrap_err()));
    }
}

pub(crate) fn exchange(stream: &mut TcpStream, peer: &mut TcpStream) {
    stream.write_all(b"r").unwrap();
    peer.read_exact(&mut [0]).unwrap();
    peer.write_all(b"a").unwrap();
    stream.read_exact(&mut [0]).unwrap();
}

/// A listener at the far end of a path.
pub(crate) fn far(path: &Path, to: IpAddr) -> (TcpListener, SocketAddr) {
    let listener = path.server().run(|| TcpListener::bind((to, 0)));
    let listener = listener.unwrap().unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// While a path is cut, what is sent again is not answered; once it heals, it is.
pub(crate) fn unanswered(lab: &Lab) -> Outcome {
    let path = start(Path::builder().round_trip(Duration::from_millis(5)))?;
    for stamps in ["1", "0"] {
        for host in [path.client(), path.server()] {
            let set = host.set_sysctl("net.ipv4.tcp_timestamps", stamps);
            set.map_err(|error| error.to_string())?;
        }
        for to in path.server().addresses() {
            let kernel = lab.kernel();
            let sockets = Sockets::of(&kernel);
            let (listener, address) = far(&path, to);
            let pair = || pair(&sockets, &listener, address);
            let (mut stream, cookie, mut peer) = path.client().run(pair).unwrap();
            let (near, near_address) = lab::listen("127.0.0.1:0", "127.0.0.1");
            well(&sockets, &near, near_address);
            let view = || sockets.view(address).unwrap();
            sockets.begin(cookie);
            exchange(&mut stream, &mut peer);
            sockets.begin(cookie);
            path.cut(Direction::ToServer);
            stream.write_all(b"r").unwrap();
            lab::eventually("nobody answers", || view().unanswered >= 3);
            let cut = view();
            // At this moment: more may be sent again at the next.
            assert!(cut.since_lost < cut.since_acked, "{cut:?}");
            let near = sockets.view(near_address).unwrap();
            assert_eq!((near.unanswered, near.retransmits), (0, 0));
            path.heal();
            peer.read_exact(&mut [0]).unwrap();
            peer.write_all(b"a").unwrap();
            stream.read_exact(&mut [0]).unwrap();
            lab::eventually("it has answered", || view().unanswered == 0);
            // The time of an acknowledgement is told by a clock that may be behind.
            lab::eventually("it is heard from again", || {
                exchange(&mut stream, &mut peer);
                let view = view();
                view.since_acked < view.since_lost
            });
            let healed = view();
            let told = TcpInfo::of(&stream).unwrap().total_retransmits;
            assert_eq!(healed.retransmits, told);
            println!("  timestamps {stamps}: {cut:?}, {healed:?}");
            syns(&path, &sockets, address);
        }
    }
    Ok(())
}

/// SYNs that are sent again count, too.
fn syns(path: &Path, sockets: &Sockets, address: SocketAddr) {
    let view = || sockets.view(address).unwrap();
    let before = view();
    path.cut(Direction::ToClient);
    let connect = || {
        let (socket, _) = lab::socket(address);
        socket.set_nonblocking(true).unwrap();
        let followed = sockets.follow(&socket, 0, address);
        socket.connect(&address.into()).unwrap_err();
        followed.settle();
        socket
    };
    let socket: Socket = path.client().run(connect).unwrap();
    lab::eventually("a SYN is sent again", || view().unanswered > 0);
    assert_eq!(view().connects, before.connects);
    path.heal();
    lab::eventually("it is established", || view().connects > before.connects);
    let after = view();
    assert_eq!(after.unanswered, 0);
    let told = TcpInfo::of(&socket).unwrap().total_retransmits;
    assert!(told > 0);
    assert_eq!(after.retransmits, before.retransmits + told);
}

/// Every so many data segments one is lost.
const NTH: u64 = 5;
/// Much more than a window.
const UPLOAD: usize = 400_000;

/// Over a path that loses much and goes on answering, little is unanswered at any time.
pub(crate) fn lossy(lab: &Lab) -> Outcome {
    let path = Path::builder().round_trip(Duration::from_millis(20));
    let path = start(path.drop_every(NTH))?;
    let kernel = lab.kernel();
    let sockets = Sockets::of(&kernel);
    let (listener, address) = far(&path, path.server().ipv4().into());
    let pair = || pair(&sockets, &listener, address);
    let (mut stream, _, mut peer) = path.client().run(pair).unwrap();
    let reader = std::thread::spawn(move || {
        peer.read_exact(&mut vec![0; UPLOAD]).unwrap();
        peer
    });
    let view = || sockets.view(address).unwrap();
    let mut most = 0;
    stream.set_nonblocking(true).unwrap();
    let mut left = UPLOAD;
    while left > 0 || TcpInfo::of(&stream).unwrap().unacked > 0 {
        let part = vec![7; left.min(100_000)];
        left -= stream.write(&part).unwrap_or(0);
        most = most.max(view().unanswered);
    }
    let end = view();
    drop(reader.join().unwrap());
    println!(
        "  {} segments sent again, at most {most} of them unanswered, {} in the end",
        end.retransmits, end.unanswered
    );
    let told = TcpInfo::of(&stream).unwrap().total_retransmits;
    assert_eq!(end.retransmits, told);
    assert!(end.retransmits > 50);
    assert!(most < 4, "{most} unanswered");
    Ok(())
}
