//! How much a connection may send at once, over emulated paths: the kernel's own word for it is `TCP_INFO`.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use holysheep_proxy::config::{AfterIdle, InitialWindow, Tcp};
use holysheep_proxy::kernel::{
    Kernel, Means, Settings, TcpInfo, Windows, is_congestion_available, now_ns,
};
use netlab::Path;

use crate::Outcome;
use crate::lab::{self, Lab, tcp};
use crate::path::start;

/// What connections begin with unless something is known.
const DEFAULT: u32 = 10;
/// Longer than a retransmission timeout over these paths.
pub(crate) const IDLE: Duration = Duration::from_millis(1000);

fn kernel(tcp: Tcp) -> Kernel {
    let settings = Settings {
        tcp: Some(tcp),
        ..lab::settings()
    };
    Kernel::start(&settings).unwrap_or_else(|missing| panic!("{missing}"))
}

/// A host that reads requests of known lengths, as many as `lengths` says, and answers each with a byte; one connection
/// after the other.
struct Site<'a> {
    path: &'a Path,
    kernel: &'a Kernel,
    windows: Arc<Windows>,
    to: IpAddr,
}

/// A connection to it.
struct Connection {
    stream: TcpStream,
    peer: Option<JoinHandle<()>>,
}

impl<'a> Site<'a> {
    fn new(path: &'a Path, kernel: &'a Kernel) -> Self {
        Self {
            path,
            kernel,
            windows: kernel.windows().unwrap(),
            to: path.server().ipv4().into(),
        }
    }

    fn connect(&self) -> Connection {
        let listener = self.path.server().run(|| TcpListener::bind((self.to, 0)));
        let listener = listener.unwrap().unwrap();
        let address = listener.local_addr().unwrap();
        let flows = self.kernel.flows().unwrap();
        let path = self.windows.path_to(self.to);
        let connect = || lab::connect_along(&flows, address, 0, path);
        let (stream, _) = self.path.client().run(connect).unwrap();
        let mut peer = listener.accept().unwrap().0;
        let serve = move || {
            let mut length = [0; 8];
            while peer.read_exact(&mut length).is_ok() {
                let mut request = vec![0; usize::try_from(u64::from_ne_bytes(length)).unwrap()];
                peer.read_exact(&mut request).unwrap();
                peer.write_all(b"a").unwrap();
            }
        };
        Connection {
            stream,
            peer: Some(std::thread::spawn(serve)),
        }
    }

    /// Of the path: bytes carried, and whether a loss has put it on hold.
    fn carried(&self) -> (u32, bool) {
        let paths = self.windows.paths(now_ns());
        let path = paths.iter().find(|path| path.endpoint == self.to).unwrap();
        (path.carried.unwrap_or(0), path.on_hold.is_some())
    }
}

impl Connection {
    fn window(&self) -> u32 {
        TcpInfo::of(&self.stream).unwrap().congestion_window
    }

    fn congestion(&self) -> String {
        rustix::net::sockopt::tcp_congestion(&self.stream).unwrap()
    }

    fn ask(&mut self, length: u64) {
        let mut request = length.to_ne_bytes().to_vec();
        request.resize(8 + usize::try_from(length).unwrap(), 7);
        self.stream.write_all(&request).unwrap();
        self.stream.read_exact(&mut [0]).unwrap();
        lab::eventually("all is acknowledged", || {
            TcpInfo::of(&self.stream).unwrap().unacked == 0
        });
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        let _ = self.peer.take().map(JoinHandle::join);
    }
}

/// Segments are this long here, time stamps counted.
const SEGMENT: u32 = 1448;

/// Long enough that all of a request's acknowledgements come within a quarter of it.
pub(crate) fn round_trip() -> Duration {
    Duration::from_millis(if lab::is_emulated() { 150 } else { 30 })
}

pub(crate) fn wide() -> Result<Path, String> {
    start(Path::builder().round_trip(round_trip()))
}

/// Sends requests until the window is as wide as one of them; afterwards they leave at once.
fn warm_up(connection: &mut Connection) {
    for _ in 0..5 {
        connection.ask(REQUEST);
    }
}

/// Some 70 segments.
const REQUEST: u64 = 100_000;

/// What was carried is remembered, and half of it is what the next connection begins with, over the same path.
pub(crate) fn remembered(_: &Lab) -> Outcome {
    let path = wide()?;
    let kernel = kernel(tcp());
    let site = Site::new(&path, &kernel);
    let mut first = site.connect();
    assert_eq!(first.window(), DEFAULT, "nothing is known yet");
    warm_up(&mut first);
    let (carried, on_hold) = site.carried();
    let began = site.connect().window();
    println!("  carried {carried} bytes, then began with {began} segments");
    assert!(!on_hold);
    assert!(began > DEFAULT);
    assert_eq!(began, carried / 2 / SEGMENT);
    let counted = kernel.snapshot().unwrap().upstreams[0].windows_started;
    assert_eq!(counted, 1);
    // The address is the same, the path is not.
    let far = start(Path::builder().round_trip(round_trip() * 3))?;
    assert_eq!(Site::new(&far, &kernel).connect().window(), DEFAULT);
    Ok(())
}

/// Nothing is begun with more than the limit.
pub(crate) fn limited(_: &Lab) -> Outcome {
    let path = wide()?;
    let limit = Tcp {
        max_window: 20 * SEGMENT,
        ..tcp()
    };
    let kernel = kernel(limit);
    let site = Site::new(&path, &kernel);
    warm_up(&mut site.connect());
    assert!(site.carried().0 > 40 * SEGMENT);
    assert_eq!(site.connect().window(), 20);
    Ok(())
}

/// A number is taken as it is, from the first connection on; `off` is left to the system.
pub(crate) fn chosen(_: &Lab) -> Outcome {
    let path = wide()?;
    for (initial_window, expected) in [
        (InitialWindow::Segments(33), 33),
        (InitialWindow::Segments(4), 4),
        (InitialWindow::Off, DEFAULT),
    ] {
        let kernel = kernel(Tcp {
            initial_window,
            // The program has something to do in any case.
            congestion_control: Some("reno".to_owned()),
            ..tcp()
        });
        let site = Site::new(&path, &kernel);
        let mut connection = site.connect();
        assert_eq!(connection.window(), expected, "{initial_window}");
        assert_eq!(connection.congestion(), "reno");
        connection.ask(REQUEST);
        let again = site.connect().window();
        assert_eq!(again, expected, "{initial_window}");
    }
    Ok(())
}

/// After a loss the system's default holds, and what was carried counts half.
pub(crate) fn lost(_: &Lab) -> Outcome {
    let path = wide()?;
    let kernel = kernel(tcp());
    let site = Site::new(&path, &kernel);
    warm_up(&mut site.connect());
    let (before, _) = site.carried();
    assert!(site.connect().window() > DEFAULT);
    // Another path to the same address, as if this one had become bad.
    let lossy = start(Path::builder().round_trip(round_trip()).drop_every(20))?;
    let bad = Site::new(&lossy, &kernel);
    let mut connection = bad.connect();
    assert!(connection.window() > DEFAULT, "nothing is lost yet");
    connection.ask(REQUEST);
    let (after, on_hold) = site.carried();
    println!("  carried {before} bytes, after losses {after}");
    assert!(on_hold);
    assert!(after <= before / 2);
    assert_eq!(bad.connect().window(), DEFAULT);
    assert_eq!(site.connect().window(), DEFAULT);
    assert!(kernel.snapshot().unwrap().upstreams[0].retransmits > 0);
    Ok(())
}

/// Over a narrow path nothing is changed, even before it has lost anything.
pub(crate) fn narrow(_: &Lab) -> Outcome {
    let narrow = Path::builder().round_trip(Duration::from_millis(30));
    let path = start(narrow.rate(10_000_000, 1 << 20))?;
    let kernel = kernel(tcp());
    let site = Site::new(&path, &kernel);
    let mut first = site.connect();
    warm_up(&mut first);
    let (carried, on_hold) = site.carried();
    println!("  carried {carried} bytes, window {}", first.window());
    assert!(first.window() > 2 * DEFAULT && !on_hold);
    // 10 Mbit/s are 9.4 KB in a quarter of 30 ms, and more in that of what the queue makes of them; half is begun with.
    // Where the processor is emulated, more comes before the end of that quarter is noticed.
    let most = if lab::is_emulated() {
        2 * DEFAULT
    } else {
        DEFAULT
    };
    assert!((1..2 * most * SEGMENT).contains(&carried));
    assert!((DEFAULT..=most).contains(&site.connect().window()));
    Ok(())
}

/// Idles, and says how wide the window is before and when the next request has left.
fn idle(connection: &mut Connection) -> (u32, u32) {
    let before = connection.window();
    lab::pass(round_trip() + IDLE);
    connection.stream.write_all(&0_u64.to_ne_bytes()).unwrap();
    let after = connection.window();
    connection.stream.read_exact(&mut [0]).unwrap();
    (before, after)
}

/// Whether connections of the path's client start over after idling, as its namespace says.
pub(crate) fn setting(path: &Path) -> String {
    let read = || std::fs::read_to_string("/proc/sys/net/ipv4/tcp_slow_start_after_idle");
    let text = path.client().run(read).unwrap().unwrap();
    text.trim().to_owned()
}

/// In a network namespace of its own, the setting is changed while no path loses anything, and put back.
pub(crate) fn idle_by_setting(_: &Lab) -> Outcome {
    let path = wide()?;
    let keep = Tcp {
        after_idle: AfterIdle::Auto,
        ..tcp()
    };
    let kernel = path.client().run(|| kernel(keep)).unwrap();
    let windows = kernel.idle_windows();
    assert_eq!(*windows.means(), Means::Setting);
    let site = Site::new(&path, &kernel);
    let mut connection = site.connect();
    warm_up(&mut connection);
    let (before, after) = idle(&mut connection);
    println!("  as the system does: {before} segments, {after} after idling");
    assert!(after < before / 2);
    warm_up(&mut connection);
    assert!(site.windows.are_steady(now_ns()));
    path.client().run(|| windows.follow(true)).unwrap().unwrap();
    assert_eq!(setting(&path), "0");
    assert_eq!(windows.are_kept(), Some(true));
    let (before, after) = idle(&mut connection);
    println!("  with the setting: {before} segments, {after} after idling");
    assert_eq!(after, before);
    let counted = kernel.snapshot().unwrap().upstreams[0];
    assert_eq!((counted.windows_restarted, counted.windows_kept), (1, 1));
    path.client().run(|| drop(kernel)).unwrap();
    assert_eq!(setting(&path), "1");
    Ok(())
}

/// On the host's network, connections get BBR while their path loses nothing.
pub(crate) fn idle_by_bbr(_: &Lab) -> Outcome {
    if let Err(error) = is_congestion_available("bbr") {
        return Err(format!("this kernel has no bbr: {error}"));
    }
    let path = wide()?;
    let kernel = kernel(Tcp {
        after_idle: AfterIdle::Auto,
        // Whatever this machine's own is.
        congestion_control: Some("cubic".to_owned()),
        ..tcp()
    });
    assert_eq!(*kernel.idle_windows().means(), Means::Bbr);
    let site = Site::new(&path, &kernel);
    let mut connection = site.connect();
    assert_eq!(connection.congestion(), "cubic");
    warm_up(&mut connection);
    assert_eq!(connection.congestion(), "bbr");
    let (before, after) = idle(&mut connection);
    println!("  {before} segments, {after} after idling");
    assert_eq!(after, before);
    assert_eq!(kernel.snapshot().unwrap().upstreams[0].windows_kept, 1);
    let lossy = start(Path::builder().round_trip(round_trip()).drop_every(20))?;
    let mut bad = Site::new(&lossy, &kernel).connect();
    assert_eq!(bad.congestion(), "bbr", "nothing is lost yet");
    bad.ask(REQUEST);
    assert_eq!(bad.congestion(), "cubic");
    Ok(())
}
