//! Connections from where probes come, in a namespace like a pod's: who gets them, with the program and without.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use holysheep_proxy::kernel::{Steered, Steering};
use ipnet::IpNet;
use netlab::{Host, Pair};
use socket2::{Domain, Protocol, Socket, Type};

use crate::Outcome;
use crate::lab::{self, Lab};

/// Addresses of the node that probes do not come from.
const OTHERS: [&str; 2] = ["10.78.0.9", "fd78::9"];

/// A pod and its node, which has a second address of each family; or what this machine lacks.
pub(crate) fn pair() -> Result<Pair, String> {
    let pair = Pair::new().map_err(|error| {
        assert!(error.is_lack(), "{error}");
        error.to_string()
    })?;
    for (family, address) in [("-4", "10.78.0.9/24"), ("-6", "fd78::9/64")] {
        let add = [family, "addr", "add", address, "dev", "veth0"];
        pair.node().ip(&add).unwrap();
    }
    let bind = || TcpListener::bind((OTHERS[1], 0)).is_ok();
    lab::eventually("the second address can be used", || {
        pair.node().run(bind).unwrap()
    });
    Ok(pair)
}

/// The node's usual addresses, as sources.
pub(crate) fn sources(pair: &Pair) -> Vec<IpNet> {
    pair.node().addresses().map(IpNet::from).to_vec()
}

pub(crate) fn listen(host: &Host, address: impl Into<IpAddr>) -> TcpListener {
    let address = SocketAddr::new(address.into(), 0);
    host.run(|| TcpListener::bind(address)).unwrap().unwrap()
}

/// Connects from one of a host's addresses.
pub(crate) fn connect(host: &Host, from: IpAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let patience = Duration::from_secs(5);
    host.run(|| connect_here(from, to, patience)).unwrap()
}

/// The same within the thread's own namespace.
pub(crate) fn connect_here(
    from: IpAddr,
    to: SocketAddr,
    patience: Duration,
) -> std::io::Result<TcpStream> {
    let domain = Domain::for_address(to);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.bind(&SocketAddr::new(from, 0).into())?;
    socket.connect_timeout(&to.into(), patience)?;
    socket.set_read_timeout(Some(patience))?;
    Ok(socket.into())
}

/// Which of the listeners gets a connection from an address.
pub(crate) fn taken_by(
    pair: &Pair,
    from: IpAddr,
    to: SocketAddr,
    listeners: &[&TcpListener],
) -> (usize, TcpStream) {
    let _client = connect(pair.node(), from, to).unwrap();
    let mut taken = None;
    lab::eventually("the connection comes", || {
        taken = listeners.iter().enumerate().find_map(|(index, listener)| {
            listener.set_nonblocking(true).unwrap();
            Some((index, listener.accept().ok()?.0))
        });
        taken.is_some()
    });
    taken.unwrap()
}

fn attach(pair: &Pair) -> Steering {
    let sources = sources(pair);
    let steering = pair.pod().run(|| Steering::attach(&sources)).unwrap();
    steering.unwrap_or_else(|reason| panic!("{reason}"))
}

pub(crate) fn counts(steering: &Steering) -> (u64, u64) {
    let Steered { steered, left } = steering.counts().unwrap();
    (steered, left)
}

pub(crate) fn by_source(_: &Lab) -> Outcome {
    let pair = pair()?;
    let pod = pair.pod();
    let (v4, v6): (IpAddr, IpAddr) = (pod.ipv4().into(), pod.ipv6().into());
    let any: IpAddr = "::".parse().unwrap();
    // What the data port is bound to, what is connected to, and the loopback its probes go to.
    for (bound, to, loopback) in [
        (v4, v4, "127.0.0.1"),
        (v6, v6, "::1"),
        (any, v4, "127.0.0.1"),
    ] {
        let probes = listen(pod, loopback.parse::<IpAddr>().unwrap());
        let (data, other) = (listen(pod, bound), listen(pod, bound));
        let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
        let (address, elsewhere) = (
            SocketAddr::new(to, port(&data)),
            SocketAddr::new(to, port(&other)),
        );
        let mut steering = attach(&pair);
        steering.listener(&probes).unwrap();
        steering.port(address.port()).unwrap();
        let all = [&data, &probes, &other];
        let (node, second): (IpAddr, IpAddr) = match to {
            IpAddr::V4(_) => (pair.node().ipv4().into(), OTHERS[0].parse().unwrap()),
            IpAddr::V6(_) => (pair.node().ipv6().into(), OTHERS[1].parse().unwrap()),
        };
        let (index, stream) = taken_by(&pair, node, address, &all);
        assert_eq!(index, 1, "a probe goes to the listener for probes");
        // It looks as if it had come the usual way.
        assert_eq!(stream.local_addr().unwrap(), address);
        assert_eq!(stream.peer_addr().unwrap().ip(), node);
        assert_eq!(taken_by(&pair, second, address, &all).0, 0, "no source");
        assert_eq!(taken_by(&pair, node, elsewhere, &all).0, 2, "no data port");
        assert_eq!(counts(&steering), (1, 0));
        println!("  bound to {bound}, connected to {to}: steered by source and port");
    }
    Ok(())
}

pub(crate) fn fails_open(_: &Lab) -> Outcome {
    let pair = pair()?;
    let pod = pair.pod();
    let (data, probes) = (listen(pod, pod.ipv4()), listen(pod, [127, 0, 0, 1]));
    let address = data.local_addr().unwrap();
    let from = pair.node().ipv4().into();
    let mut steering = attach(&pair);
    let who = |probes: &TcpListener| taken_by(&pair, from, address, &[&data, probes]).0;
    assert_eq!(who(&probes), 0, "no port is steered");
    assert_eq!(counts(&steering), (0, 0));
    steering.port(address.port()).unwrap();
    assert_eq!(who(&probes), 0, "there is no listener for probes");
    assert_eq!(counts(&steering), (0, 1));
    steering.listener(&probes).unwrap();
    assert_eq!(who(&probes), 1);
    // As when the thread that had it has died.
    drop(probes);
    let others = listen(pod, [127, 0, 0, 1]);
    assert_eq!(who(&others), 0, "the listener for probes is closed");
    assert_eq!(counts(&steering), (1, 2));
    steering.listener(&others).unwrap();
    assert_eq!(who(&others), 1, "a new one takes its place");
    drop(steering);
    assert_eq!(who(&others), 0, "the program is gone");
    Ok(())
}

/// Serves bytes until `stop`; counts the connections.
fn serve(listener: &TcpListener, stop: &AtomicBool, count: &AtomicU64) {
    listener.set_nonblocking(true).unwrap();
    while !stop.load(Relaxed) {
        let Ok((mut stream, _)) = listener.accept() else {
            std::thread::park_timeout(Duration::from_micros(200));
            continue;
        };
        stream.set_nonblocking(false).unwrap();
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        stream.write_all(&byte).unwrap();
        count.fetch_add(1, Relaxed);
    }
}

/// Says stop when dropped.
pub(crate) struct Ended<'a>(pub(crate) &'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Attached and detached again and again while probes come: each of them is answered, by one or the other.
pub(crate) fn under_traffic(_: &Lab) -> Outcome {
    let pair = pair()?;
    let pod = pair.pod();
    let (data, probes) = (listen(pod, pod.ipv4()), listen(pod, [127, 0, 0, 1]));
    let address = data.local_addr().unwrap();
    let steered_to = probes.try_clone().unwrap();
    let from = pair.node().ipv4().into();
    // Those who ask stop first.
    let enough = AtomicBool::new(false);
    let stop = AtomicBool::new(false);
    let [usual, steered, asked]: [AtomicU64; 3] = Default::default();
    let rounds = if lab::is_emulated() { 10 } else { 100 };
    std::thread::scope(|scope| {
        // Whatever happens here, the others end.
        let (end, no_more) = (Ended(&stop), Ended(&enough));
        for (listener, count) in [(data, &usual), (probes, &steered)] {
            let stop = &stop;
            scope.spawn(move || serve(&listener, stop, count));
        }
        let traffic = scope.spawn(|| {
            while !enough.load(Relaxed) {
                let mut stream = connect(pair.node(), from, address).unwrap();
                lab::ping(&mut stream);
                asked.fetch_add(1, Relaxed);
            }
        });
        for _ in 0..rounds {
            let wait_for = |count: &AtomicU64| {
                let before = count.load(Relaxed);
                lab::eventually("somebody is served", || {
                    count.load(Relaxed) > before + 1 || traffic.is_finished()
                });
            };
            wait_for(&usual);
            let mut steering = attach(&pair);
            steering.listener(&steered_to).unwrap();
            steering.port(address.port()).unwrap();
            wait_for(&steered);
        }
        drop(no_more);
        traffic.join().expect("a probe was lost");
        drop(end);
    });
    let [usual, steered, asked] = [&usual, &steered, &asked].map(|count| count.load(Relaxed));
    println!(
        "  attached {rounds} times during {asked} probes: {usual} came the usual way, {steered} were steered"
    );
    assert_eq!(usual + steered, asked);
    Ok(())
}
