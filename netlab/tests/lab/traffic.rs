//! Connections between hosts, and what the kernel says of them.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;

use netlab::{Host, Path};

/// The kernel's number of retransmitted segments of a connection.
pub(crate) struct Retransmits {
    /// `tcpi_total_retrans` of the socket, if there is `ss` to ask for it.
    pub(crate) tcp_info: Option<u64>,
    /// `RetransSegs` of the whole host.
    pub(crate) host: u64,
}

/// Connects to the server host's `address`; client's end, server's end.
pub(crate) fn connect(path: &Path, address: IpAddr) -> (TcpStream, TcpStream) {
    connect_hosts(path.client(), path.server(), address)
}

/// Connects from one host to an `address` of the other; client's end, server's end.
pub(crate) fn connect_hosts(
    client: &Host,
    server: &Host,
    address: IpAddr,
) -> (TcpStream, TcpStream) {
    let listen = || TcpListener::bind((address, 0)).unwrap();
    let listener = server.run(listen).unwrap();
    let target = listener.local_addr().unwrap();
    let connect = || TcpStream::connect(target).unwrap();
    let client = client.run(connect).unwrap();
    let (server, _) = listener.accept().unwrap();
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    (client, server)
}

/// Sends so many bytes from one end to the other, and waits until they are there and acknowledged.
pub(crate) fn send(mut from: &TcpStream, mut to: &TcpStream, bytes: usize) {
    thread::scope(|scope| {
        scope.spawn(move || from.write_all(&vec![7; bytes]).unwrap());
        let mut buffer = vec![0; bytes];
        to.read_exact(&mut buffer).unwrap();
        assert!(buffer.iter().all(|byte| *byte == 7));
    });
    // The answer comes after the acknowledgment of all before it.
    to.write_all(b"!").unwrap();
    from.read_exact(&mut [0]).unwrap();
}

pub(crate) fn retransmits(host: &Host, local: SocketAddr) -> Retransmits {
    let read = || fs::read_to_string("/proc/thread-self/net/snmp").unwrap();
    let text = host.run(read).unwrap();
    let mut tcp = text.lines().filter(|line| line.starts_with("Tcp:"));
    let (names, values) = (tcp.next().unwrap(), tcp.next().unwrap());
    let mut both = names.split(' ').zip(values.split(' '));
    let (_, segments) = both.find(|(name, _)| *name == "RetransSegs").unwrap();
    Retransmits {
        tcp_info: of_socket(host, local),
        host: segments.parse().unwrap(),
    }
}

/// From the second number of `retrans:0/12`, which `ss` leaves out when it is 0.
fn of_socket(host: &Host, local: SocketAddr) -> Option<u64> {
    let filter = format!("sport = :{}", local.port());
    let ask = || Command::new("ss").args(["-tinH", &filter]).output();
    let output = host.run(ask).unwrap().ok()?;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("rtt:"), "ss shows no TCP_INFO: {text}");
    let field = text
        .split_whitespace()
        .find_map(|field| field.strip_prefix("retrans:"));
    Some(field.map_or(0, |field| field.split('/').nth(1).unwrap().parse().unwrap()))
}
