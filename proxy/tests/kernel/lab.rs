//! What the tests share: a cgroup of their own, loaded programs, sockets the programs know, and peers.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use holysheep_proxy::config::{AfterIdle, InitialWindow, Tcp};
use holysheep_proxy::kernel::{self, FlowTable, Kernel, Settings};
use proxy_common::NO_ENDPOINT;
use socket2::{Domain, Protocol, Socket, Type};

use crate::{namespaces, privileges};

/// The first argument of a process the tests start from themselves.
pub(crate) const CHILD: &str = "--child";

/// Long enough for everything but a machine that stands still.
const PATIENCE: Duration = Duration::from_secs(20);

/// The cgroup the tests run in.
pub(crate) struct Lab {
    pub(crate) cgroup: PathBuf,
}

impl Lab {
    /// Moves this process into a fresh cgroup, so that nobody else's sockets are seen.
    pub(crate) fn enter() -> Result<Self, String> {
        if !Kernel::is_built_in() {
            return Err(
                "kernel programs are not part of this build: cargo xtask build-ebpf".to_owned(),
            );
        }
        if !rustix::process::geteuid().is_root() {
            return Err("root is needed".to_owned());
        }
        let (above, _) = kernel::own_cgroup().map_err(|error| error.to_string())?;
        sweep(&above);
        let cgroup = above.join(format!("holysheep-test-{}", std::process::id()));
        let entered = fs::create_dir(&cgroup)
            .and_then(|()| fs::write(cgroup.join("cgroup.procs"), std::process::id().to_string()));
        entered
            .map_err(|error| format!("no cgroup of our own at {}: {error}", cgroup.display()))?;
        println!("cgroup {}, kernel {}", cgroup.display(), release());
        if is_emulated() {
            println!("the processor is emulated: tolerances are ten times as wide");
        }
        Ok(Self { cgroup })
    }

    /// All programs, attached to our cgroup, with figures of their own for two upstreams.
    #[expect(clippy::unused_self, reason = "whoever has a lab is in its cgroup")]
    pub(crate) fn kernel(&self) -> Kernel {
        Kernel::start(&settings()).unwrap_or_else(|missing| panic!("{missing}"))
    }
}

pub(crate) fn settings() -> Settings {
    Settings {
        upstreams: 2,
        required: true,
        // Nobody connects from there unless a test wants it.
        probe_sources: vec!["127.0.0.9/32".parse().unwrap()],
        tcp: Some(tcp()),
        ..Settings::default()
    }
}

/// Connections begin with what their path has carried; what idling does to them is the system's affair.
pub(crate) const fn tcp() -> Tcp {
    Tcp {
        initial_window: InitialWindow::Auto,
        max_window: 1 << 20,
        after_idle: AfterIdle::Off,
        congestion_control: None,
    }
}

pub(crate) fn release() -> String {
    let names = rustix::system::uname();
    names.release().to_string_lossy().into_owned()
}

/// Removes what earlier runs have left; one that still runs keeps its cgroup.
fn sweep(above: &Path) {
    for entry in fs::read_dir(above).into_iter().flatten().flatten() {
        if entry
            .file_name()
            .to_string_lossy()
            .starts_with("holysheep-test-")
        {
            // Fails while somebody is in it, which is right.
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// Runs a job of [`crate::privileges`] or [`crate::namespaces`] in a process of its own and expects it to succeed.
pub(crate) fn run_child(job: &str) {
    run(Command::new("/proc/self/exe").args([CHILD, job]));
}

pub(crate) fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for line in text.lines() {
        println!("  {line}");
    }
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{}: {errors}", output.status);
}

/// Such a process.
pub(crate) fn child(job: &str) -> ExitCode {
    match job {
        "drop" => privileges::drop_and_go_on(),
        "enough" => privileges::child_with_both(),
        "none" => privileges::drop_all_and_go_on(),
        "named" => privileges::child_without(),
        "private" => namespaces::child_in_private(),
        "hidden" => namespaces::child_with_hidden(),
        other => panic!("no job {other}"),
    }
    ExitCode::SUCCESS
}

/// The three ways an IP address can come to a socket: what to bind, and what to connect to.
pub(crate) const FAMILIES: [(&str, &str, &str); 3] = [
    ("IPv4", "127.0.0.1:0", "127.0.0.1"),
    ("IPv6", "[::1]:0", "::1"),
    ("v4-mapped", "[::]:0", "::ffff:127.0.0.1"),
];

/// A listener of a family, and the address a client connects to.
pub(crate) fn listen(bind: &str, connect: &str) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(bind).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, SocketAddr::new(connect.parse().unwrap(), port))
}

/// A socket that is not yet connected, and its cookie.
pub(crate) fn socket(address: SocketAddr) -> (Socket, u64) {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP)).unwrap();
    let cookie = kernel::cookie(&socket);
    assert_ne!(cookie, 0);
    (socket, cookie)
}

/// Connects a registered socket.
pub(crate) fn connect(flows: &FlowTable, address: SocketAddr, upstream: usize) -> (TcpStream, u64) {
    connect_along(flows, address, upstream, 0)
}

/// The same along a path with a number of its own.
pub(crate) fn connect_along(
    flows: &FlowTable,
    address: SocketAddr,
    upstream: usize,
    path: u16,
) -> (TcpStream, u64) {
    let (socket, cookie) = socket(address);
    flows.register(cookie, upstream, path, NO_ENDPOINT);
    socket.connect(&address.into()).unwrap();
    socket.set_tcp_nodelay(true).unwrap();
    (socket.into(), cookie)
}

/// Answers each byte with a byte, until the peer closes.
pub(crate) fn echo(listener: TcpListener) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        stream.set_nodelay(true).unwrap();
        let mut byte = [0];
        while stream.read(&mut byte).unwrap_or(0) == 1 && stream.write_all(&byte).is_ok() {}
    })
}

/// There and back again.
pub(crate) fn ping(stream: &mut TcpStream) {
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0]).unwrap();
}

/// Waits until something holds, and fails if it does not come to hold.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::yield_now();
    }
}

/// Lets a known time pass; that is what is measured, not what is waited for.
pub(crate) fn pass(time: Duration) {
    let end = Instant::now() + time;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(left);
    }
}

/// How far two times may be apart: 50 µs and 1 %. A processor that is emulated takes some twenty times as long for the
/// instructions between the two moments, which over loopback are all there is; there it is ten times as much.
pub(crate) fn tolerance(truth: Duration) -> Duration {
    let exact = Duration::from_micros(50) + truth / 100;
    if is_emulated() { exact * 10 } else { exact }
}

/// Prints what was measured in two ways, as difference, ours and theirs; the median difference has to be within
/// tolerance, so that an interrupt between two moments is no failure. The median's two values.
pub(crate) fn agree(
    what: &str,
    truth: &str,
    mut values: Vec<(Duration, Duration, Duration)>,
) -> (Duration, Duration) {
    values.sort_unstable();
    let (difference, ours, theirs) = values[values.len() / 2];
    let worst = values.last().unwrap().0;
    println!(
        "  {what} ours {ours:?}, {truth} {theirs:?}; difference: median {difference:?}, worst {worst:?} of {}",
        values.len()
    );
    assert!(
        difference <= tolerance(theirs),
        "{what} is off by {difference:?}"
    );
    (ours, theirs)
}

/// Whether QEMU interprets the processor.
pub(crate) fn is_emulated() -> bool {
    fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| text.contains("QEMU TCG"))
}

/// Nanoseconds of [`kernel::now_ns`] as a duration.
pub(crate) fn between(start: u64, end: u64) -> Duration {
    Duration::from_nanos(end.checked_sub(start).expect("times in their order"))
}

/// Whether an I/O error is one a broken connection gives.
pub(crate) fn is_broken(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, TimedOut};
    matches!(error.kind(), ConnectionRefused | ConnectionReset | TimedOut)
}
