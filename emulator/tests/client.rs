//! A client that speaks HTTP/1.1 by hand, so that tests see every byte and every way a connection ends.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use holysheep_emulator::{Builder, Emulator};
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Longer than anything takes on a busy machine; a test that gets here has failed.
pub(crate) const SOON: Duration = Duration::from_secs(10);

pub(crate) const CHAT: &str = "/v1/chat/completions";
pub(crate) const QUESTION: &str = r#"{"model":"m","messages":[{"role":"user","content":"hello"}]}"#;
pub(crate) const STREAMED: &str =
    r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"hello"}]}"#;

pub(crate) trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

pub(crate) struct Client {
    transport: Box<dyn Transport>,
    buffer: Vec<u8>,
    key: String,
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let field = self.head.iter().find(|(field, _)| field == name);
        field.map(|(_, value)| value.as_str())
    }
}

pub(crate) async fn start() -> Emulator {
    start_with(|builder| builder).await
}

pub(crate) async fn start_with(configure: impl FnOnce(Builder) -> Builder) -> Emulator {
    configure(Emulator::builder()).start().await.unwrap()
}

/// TLS to the emulator with a configuration of the test's own.
pub(crate) async fn connect_tls(
    emulator: &Emulator,
    config: &Arc<rustls::ClientConfig>,
) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(emulator.addr()).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::clone(config))
        .connect(name, tcp)
        .await
}

impl Client {
    /// Connects as the emulator is configured, with TLS or without.
    pub(crate) async fn connect(emulator: &Emulator) -> io::Result<Self> {
        let transport: Box<dyn Transport> = match emulator.authority() {
            None => Box::new(TcpStream::connect(emulator.addr()).await?),
            Some(authority) => {
                let config = authority.client_config(&["http/1.1"]).unwrap();
                Box::new(connect_tls(emulator, &config).await?)
            }
        };
        Ok(Self::over(transport, emulator.api_key()))
    }

    pub(crate) fn over(transport: impl Transport + 'static, key: &str) -> Self {
        Self {
            transport: Box::new(transport),
            buffer: Vec::new(),
            key: key.to_owned(),
        }
    }

    pub(crate) fn with_key(mut self, key: &str) -> Self {
        key.clone_into(&mut self.key);
        self
    }

    pub(crate) async fn post(&mut self, path: &str, body: &str) -> io::Result<Reply> {
        self.exchange("POST", path, "", body).await
    }

    pub(crate) async fn get(&mut self, path: &str) -> io::Result<Reply> {
        self.exchange("GET", path, "", "").await
    }

    /// A chat request that asks for a fault.
    pub(crate) async fn faulty(&mut self, fault: &str, body: &str) -> io::Result<Reply> {
        let field = format!("x-emulator-fault: {fault}\r\n");
        self.exchange("POST", CHAT, &field, body).await
    }

    pub(crate) async fn exchange(
        &mut self,
        method: &str,
        path: &str,
        fields: &str,
        body: &str,
    ) -> io::Result<Reply> {
        self.send(method, path, fields, body).await?;
        self.reply().await
    }

    /// `fields` are more header lines, each with its CRLF.
    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        fields: &str,
        body: &str,
    ) -> io::Result<()> {
        let key = &self.key;
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n\
             content-length: {length}\r\n{fields}\r\n{body}"
        );
        self.write(request.as_bytes()).await
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.transport.write_all(bytes).await?;
        self.transport.flush().await
    }

    pub(crate) async fn reply(&mut self) -> io::Result<Reply> {
        let mut reply = self.head().await?;
        self.body(&mut reply).await?;
        Ok(reply)
    }

    pub(crate) async fn head(&mut self) -> io::Result<Reply> {
        let text = self.until("\r\n\r\n").await?;
        let bad = || io::Error::new(io::ErrorKind::InvalidData, text.clone());
        let mut lines = text.trim_end().split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let field = |line: &str| {
            let (name, value) = line.split_once(": ")?;
            Some((name.to_owned(), value.to_owned()))
        };
        Ok(Reply {
            status: status.and_then(|s| s.parse().ok()).ok_or_else(bad)?,
            head: lines.map(field).collect::<Option<_>>().ok_or_else(bad)?,
            body: Vec::new(),
        })
    }

    /// Reads the body into the reply; what came before an error stays there.
    pub(crate) async fn body(&mut self, reply: &mut Reply) -> io::Result<()> {
        if let Some(length) = reply.header("content-length") {
            let length = length.parse().unwrap();
            while reply.body.len() < length {
                let missing = length - reply.body.len();
                reply.body.extend(self.some(missing).await?);
            }
            return Ok(());
        }
        while let Some(chunk) = self.chunk().await? {
            reply.body.extend(chunk);
        }
        Ok(())
    }

    /// The next chunk of a chunked body, `None` for the last.
    pub(crate) async fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let line = self.until("\r\n").await?;
        let size = usize::from_str_radix(line.trim_end(), 16)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, line))?;
        let mut chunk = Vec::new();
        while chunk.len() < size + 2 {
            chunk.extend(self.some(size + 2 - chunk.len()).await?);
        }
        chunk.truncate(size);
        Ok((size > 0).then_some(chunk))
    }

    /// Everything until the peer closes.
    pub(crate) async fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = std::mem::take(&mut self.buffer);
        self.transport.read_to_end(&mut rest).await?;
        Ok(rest)
    }

    async fn until(&mut self, end: &str) -> io::Result<String> {
        loop {
            let mut windows = self.buffer.windows(end.len());
            if let Some(at) = windows.position(|window| window == end.as_bytes()) {
                let text = self.buffer.drain(..at + end.len()).collect();
                return Ok(String::from_utf8(text).unwrap());
            }
            self.fill().await?;
        }
    }

    /// At least one byte and at most `limit`.
    async fn some(&mut self, limit: usize) -> io::Result<Vec<u8>> {
        if self.buffer.is_empty() {
            self.fill().await?;
        }
        Ok(self.buffer.drain(..limit.min(self.buffer.len())).collect())
    }

    async fn fill(&mut self) -> io::Result<()> {
        let read = self.transport.read_buf(&mut self.buffer);
        let read = tokio::time::timeout(SOON, read).await;
        match read.map_err(|_| io::ErrorKind::TimedOut)?? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}
