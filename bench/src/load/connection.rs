//! One connection of the load generator.

use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Shared, Target};
use crate::framing::Framing;

/// Room for one usual answer, in bytes.
const BUFFER: usize = 16 * 1024;

/// Pause after an error, so that a dead server is not stormed.
pub(super) const PAUSE: Duration = Duration::from_millis(20);

/// Keeps one request in flight until the load stops, on as many connections as it takes.
pub(super) async fn drive(shared: Rc<Shared>) {
    while !shared.stopping.get() && shared.left.get() != Some(0) {
        if let Err(error) = connect_and_send(&shared).await {
            shared.failed(&error);
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn connect_and_send(shared: &Shared) -> Result<()> {
    let stream = TcpStream::connect(shared.target.address)
        .await
        .context("cannot connect")?;
    stream.set_nodelay(true)?;
    match &shared.target.tls {
        None => send(shared, stream).await,
        Some(tls) => send(shared, tls.connect(Target::server_name()?, stream).await?).await,
    }
}

/// Sends requests until the load stops or the server announces that it closes.
async fn send<S: AsyncRead + AsyncWrite + Unpin>(shared: &Shared, mut stream: S) -> Result<()> {
    let mut buffer = BytesMut::with_capacity(BUFFER);
    loop {
        shared.turn().await;
        if !shared.next() {
            return Ok(());
        }
        let in_flight = InFlight::new(shared);
        let begin = Instant::now();
        stream.write_all(&shared.target.request).await?;
        stream.flush().await?;
        let answer = receive(&mut stream, &mut buffer).await?;
        let latency = begin.elapsed();
        drop(in_flight);
        ensure!(answer.status == 200, "status {}", answer.status);
        shared.target.check_length(answer.body)?;
        shared.answered(latency);
        if answer.close {
            return Ok(());
        }
    }
}

/// A request whose answer is not complete; also one that never will be.
pub(super) struct InFlight<'a>(&'a Shared);

impl<'a> InFlight<'a> {
    pub(super) fn new(shared: &'a Shared) -> Self {
        shared.in_flight(shared.in_flight.get() + 1);
        Self(shared)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight(self.0.in_flight.get() - 1);
    }
}

/// A complete answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Bytes of the body, without its framing.
    pub(crate) body: u64,
    /// Whether the server closes the connection after it.
    pub(crate) close: bool,
}

/// Looks at an answer while it comes.
pub(crate) trait Watch {
    /// Something has just been read.
    fn has_read(&mut self);
    /// The next bytes of the body are these.
    fn body(&mut self, bytes: &[u8]);
}

/// Most answers need not be looked at.
impl Watch for () {
    fn has_read(&mut self) {}
    fn body(&mut self, _: &[u8]) {}
}

/// Reads one answer; `buffer` keeps nothing afterwards, as requests are not pipelined.
///
/// # Errors
/// When the connection ends before the answer does, or it is not HTTP.
pub(crate) async fn receive<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut BytesMut,
) -> Result<Answer> {
    receive_watched(stream, buffer, &mut ()).await
}

/// The same, while `watch` looks at it.
///
/// # Errors
/// When the connection ends before the answer does, or it is not HTTP.
pub(crate) async fn receive_watched<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut BytesMut,
    watch: &mut impl Watch,
) -> Result<Answer> {
    let (mut answer, mut framing) = loop {
        fill(stream, buffer).await?;
        watch.has_read();
        if let Some((answer, framing, head)) = parse_head(buffer)? {
            buffer.advance(head);
            break (answer, framing);
        }
    };
    loop {
        let step = framing.advance_into(buffer, |bytes| watch.body(bytes))?;
        buffer.advance(step.consumed);
        answer.body += step.body;
        if step.complete {
            ensure!(buffer.is_empty(), "bytes after the end of the answer");
            return Ok(answer);
        }
        fill(stream, buffer).await?;
        watch.has_read();
    }
}

async fn fill<S: AsyncRead + Unpin>(stream: &mut S, buffer: &mut BytesMut) -> Result<()> {
    buffer.reserve(BUFFER / 2);
    if stream.read_buf(buffer).await? == 0 {
        bail!("the server closed the connection");
    }
    Ok(())
}

/// Parses a complete head: status, the body's framing, the head's length in bytes.
fn parse_head(buffer: &[u8]) -> Result<Option<(Answer, Framing, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) = parsed.parse(buffer)? else {
        return Ok(None);
    };
    let close = parsed.headers.iter().any(|header| {
        header.name.eq_ignore_ascii_case("connection")
            && header.value.eq_ignore_ascii_case(b"close")
    });
    let status = parsed.code.context("no status")?;
    let framing = Framing::of(parsed.headers)?;
    Ok(Some((
        Answer {
            status,
            body: 0,
            close,
        },
        framing,
        length,
    )))
}

#[cfg(test)]
mod tests;
