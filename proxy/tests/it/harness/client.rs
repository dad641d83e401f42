//! A client that speaks HTTP/1.1 by hand, so that tests see every byte and every way a connection
//! ends. It blocks, and gives up after [`SOON`].

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::Value;

use super::SOON;

trait Io: Read + Write + Send {}
impl<T: Read + Write + Send> Io for T {}

/// A connection and what has been received on it.
pub(crate) struct Client {
    io: Box<dyn Io>,
    tcp: TcpStream,
    input: Vec<u8>,
    ended: bool,
}

/// A response, as far as it came.
#[derive(Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Names in lower case, in order.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Every byte of the response, interim ones included.
    pub(crate) raw: Vec<u8>,
    /// Status of each interim response that came before.
    pub(crate) interim: Vec<u16>,
    /// Whether the body came to the end its framing announces.
    pub(crate) complete: bool,
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = String::from_utf8_lossy(&self.raw);
        let shown: String = text.chars().take(2_000).collect();
        write!(f, "{shown:?} (complete: {})", self.complete)
    }
}

impl Reply {
    /// The field's value; panics if there is more than one.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(field, _)| field == name);
        let first = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} more than once: {self:?}");
        first
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The code of the proxy's own error.
    pub(crate) fn error(&self) -> Option<&str> {
        self.header("x-holysheep-error")
    }
}

/// A TCP connection on which nothing blocks for ever.
pub(crate) fn tcp(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.set_write_timeout(Some(SOON)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// The text of a request; `host` and, for a body, `content-length` are added.
pub(crate) fn request(method: &str, path: &str, fields: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: proxy.test\r\n");
    for (name, value) in fields {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    let has = |wanted: &str| {
        let mut names = fields.iter().map(|(name, _)| name);
        names.any(|name| name.eq_ignore_ascii_case(wanted))
    };
    if !(body.is_empty() || has("content-length") || has("transfer-encoding")) {
        text.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    [text.as_bytes(), body].concat()
}

/// A body in the chunked coding, each piece a chunk.
pub(crate) fn chunked(pieces: &[&[u8]]) -> Vec<u8> {
    let mut wire = Vec::new();
    for piece in pieces {
        wire.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        wire.extend_from_slice(piece);
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b"0\r\n\r\n");
    wire
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let tcp = tcp(address);
        let io = Box::new(tcp.try_clone().unwrap());
        Self::over(io, tcp)
    }

    /// Connects with TLS; the handshake is complete when this returns.
    pub(crate) fn connect_tls(
        address: SocketAddr,
        name: &'static str,
        config: Arc<ClientConfig>,
    ) -> io::Result<Self> {
        let tcp = tcp(address);
        let name = ServerName::try_from(name).unwrap();
        let mut session = ClientConnection::new(config, name).map_err(io::Error::other)?;
        let mut socket = tcp.try_clone()?;
        while session.is_handshaking() {
            session.complete_io(&mut socket)?;
        }
        Ok(Self::over(Box::new(StreamOwned::new(session, socket)), tcp))
    }

    fn over(io: Box<dyn Io>, tcp: TcpStream) -> Self {
        Self {
            io,
            tcp,
            input: Vec::new(),
            ended: false,
        }
    }

    /// The socket below.
    pub(crate) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// Sends bytes as they are. A peer that has closed is no failure: what it said counts.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _closed = self.try_send(bytes);
    }

    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.io.write_all(bytes.as_ref())?;
        self.io.flush()
    }

    /// Sends spaces until nobody takes more, up to `limit`; returns how many were taken.
    pub(crate) fn fill(&mut self, limit: usize) -> usize {
        let pause = Some(Duration::from_millis(200));
        self.tcp.set_write_timeout(pause).unwrap();
        let piece = vec![b' '; 1 << 20];
        let mut sent = 0;
        while sent < limit {
            match self.io.write(&piece) {
                Ok(count) => sent += count,
                Err(_) => break,
            }
        }
        self.tcp.set_write_timeout(Some(SOON)).unwrap();
        sent
    }

    /// Ends the sending direction only.
    pub(crate) fn half_close(&self) {
        self.tcp.shutdown(Shutdown::Write).unwrap();
    }

    /// Makes the close that follows a reset instead of an orderly end.
    pub(crate) fn reset(self) {
        let socket = socket2::SockRef::from(&self.tcp);
        socket.set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Sends a request and reads its response.
    #[track_caller]
    pub(crate) fn request(
        &mut self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        self.send(request(method, path, fields, body));
        self.reply()
    }

    /// Reads a response to its end.
    #[track_caller]
    pub(crate) fn reply(&mut self) -> Reply {
        let mut reply = self.head();
        self.body(&mut reply);
        reply
    }

    /// Reads the head of a response; interim responses before it are noted.
    #[track_caller]
    pub(crate) fn head(&mut self) -> Reply {
        self.try_head().unwrap_or_else(|| {
            panic!(
                "no response head: {:?}",
                String::from_utf8_lossy(&self.input)
            )
        })
    }

    /// The same, `None` if the connection ends instead.
    pub(crate) fn try_head(&mut self) -> Option<Reply> {
        let mut reply = Reply::default();
        loop {
            let end = self.wait(|input| find(input, b"\r\n\r\n"))? + 4;
            let head: Vec<u8> = self.input.drain(..end).collect();
            reply.raw.extend_from_slice(&head);
            let text = String::from_utf8_lossy(&head);
            let mut lines = text.trim_end().split("\r\n");
            let status_line = lines.next().unwrap();
            reply.status = status_line.split(' ').nth(1)?.parse().unwrap();
            reply.headers = lines
                .map(|line| line.split_once(':').unwrap())
                .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
                .collect();
            if reply.status >= 200 {
                return Some(reply);
            }
            reply.interim.push(reply.status);
        }
    }

    /// Reads the body that follows a head.
    pub(crate) fn body(&mut self, reply: &mut Reply) {
        let length = reply.header("content-length").map(|n| n.parse().unwrap());
        match length {
            _ if matches!(reply.status, 204 | 304) => reply.complete = true,
            Some(length) => {
                reply.complete = self
                    .wait(|input| (input.len() >= length).then_some(0))
                    .is_some();
                let end = length.min(self.input.len());
                reply.body.extend(self.input.drain(..end));
                reply.raw.extend_from_slice(&reply.body);
            }
            None if reply.header("transfer-encoding") == Some("chunked") => {
                while let Some(piece) = self.chunk(&mut reply.raw) {
                    reply.complete = piece.is_empty();
                    if reply.complete {
                        break;
                    }
                    reply.body.extend_from_slice(&piece);
                }
            }
            None => {
                reply.body = self.rest();
                reply.raw.extend_from_slice(&reply.body);
                reply.complete = true;
            }
        }
    }

    /// The next chunk of a chunked body, empty for the last one; `None` if the connection ends.
    pub(crate) fn chunk(&mut self, raw: &mut Vec<u8>) -> Option<Vec<u8>> {
        let line = self.wait(|input| find(input, b"\r\n"))?;
        let digits = std::str::from_utf8(&self.input[..line]).unwrap();
        let size = usize::from_str_radix(digits, 16)
            .unwrap_or_else(|_| panic!("no chunk size: {digits:?}"));
        let whole = line + 2 + size + 2;
        self.wait(|input| (input.len() >= whole).then_some(0))?;
        let wire: Vec<u8> = self.input.drain(..whole).collect();
        assert!(wire.ends_with(b"\r\n"), "a chunk without its end");
        raw.extend_from_slice(&wire);
        Some(wire[line + 2..line + 2 + size].to_vec())
    }

    /// So many bytes of a chunked body, in however many chunks they come.
    pub(crate) fn chunks(&mut self, raw: &mut Vec<u8>, length: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < length {
            match self.chunk(raw) {
                Some(chunk) if !chunk.is_empty() => bytes.extend(chunk),
                _ => break,
            }
        }
        bytes
    }

    /// Everything until the peer closes.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let _ended = self.wait(|_| None);
        std::mem::take(&mut self.input)
    }

    /// Waits for the peer's close and asserts that nothing came before it.
    #[track_caller]
    pub(crate) fn expect_close(&mut self) {
        let rest = self.rest();
        assert!(rest.is_empty(), "{:?}", String::from_utf8_lossy(&rest));
    }

    /// What has been received and not been taken.
    pub(crate) fn received(&self) -> &[u8] {
        &self.input
    }

    /// Reads until `found` says where; `None` when the connection ends before.
    #[track_caller]
    pub(crate) fn wait(&mut self, found: impl Fn(&[u8]) -> Option<usize>) -> Option<usize> {
        let mut piece = vec![0; 64 * 1024];
        loop {
            if let Some(at) = found(&self.input) {
                return Some(at);
            }
            if self.ended {
                return None;
            }
            match self.io.read(&mut piece) {
                Ok(count) if count > 0 => self.input.extend_from_slice(&piece[..count]),
                Err(error) if is_timeout(&error) => panic!("nothing came for {SOON:?}"),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // An end without TLS' closing alert, or a reset, is an end.
                _ => self.ended = true,
            }
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

pub(crate) fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
