//! The new process' side: getting the sockets, and saying that it is ready.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::TakeOverError;
use super::wire::{self, Kind, Sockets};

/// How long the running process may take for each of its answers.
const ANSWER: Duration = Duration::from_secs(5);
/// How long this process may take to become ready.
const READY: Duration = Duration::from_secs(30);
/// Between two looks at whether it is.
const LOOK: Duration = Duration::from_millis(5);

/// What another process has handed over, which serves until it is told that this one does.
#[derive(Debug)]
pub struct Handed {
    stream: UnixStream,
    sockets: Sockets,
}

/// Asks whoever runs for its sockets; `None` if nobody does.
///
/// # Errors
/// If the path cannot be used, or the sockets do not come.
pub fn ask(path: &Path) -> Result<Option<Handed>, TakeOverError> {
    let stream = match UnixStream::connect(path) {
        Ok(stream) => stream,
        // Nobody has ever been there, or somebody has gone.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::ConnectionRefused
            ) =>
        {
            return Ok(None);
        }
        Err(reason) => {
            let path = path.to_owned();
            return Err(TakeOverError::Path { path, reason });
        }
    };
    match receive(&stream) {
        Ok(sockets) => Ok(Some(Handed { stream, sockets })),
        Err(error) => Err(TakeOverError::Refused(error)),
    }
}

fn receive(stream: &UnixStream) -> io::Result<Sockets> {
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_write_timeout(Some(ANSWER))?;
    let invalid = |reason| io::Error::new(ErrorKind::InvalidData, reason);
    let mut sockets = Sockets::new();
    let mut is_first = true;
    loop {
        let message = wire::receive(stream.as_fd())?;
        match message.ok_or_else(|| io::Error::from(ErrorKind::UnexpectedEof))? {
            (wire::VERSION, None) if std::mem::take(&mut is_first) => {}
            _ if is_first => return Err(invalid("it is another program, or too old or new")),
            (wire::END, None) => return Ok(sockets),
            (byte, Some(socket)) => match Kind::of(byte) {
                Some(kind) => sockets.push((kind, socket)),
                // A newer program listens somewhere that this one knows nothing of.
                None => drop(socket),
            },
            _ => return Err(invalid("a message without a socket")),
        }
    }
}

impl Handed {
    /// Takes the sockets of an address out; with port 0, those on any port.
    pub fn take(&mut self, kind: Kind, address: SocketAddr) -> Vec<TcpListener> {
        let is_meant = |(its, socket): &mut (Kind, TcpListener)| {
            *its == kind
                && socket.local_addr().is_ok_and(|bound| match address.port() {
                    0 => bound.ip() == address.ip(),
                    _ => bound == address,
                })
        };
        let taken = self.sockets.extract_if(.., is_meant);
        taken.map(|(_, socket)| socket).collect()
    }

    /// Waits until there is no reason why this process is not ready. Whoever handed over is listened to meanwhile: if it
    /// goes, there is nothing to wait for.
    ///
    /// # Errors
    /// If it takes too long.
    pub fn until_ready(
        &mut self,
        not_ready: impl Fn() -> Vec<String>,
    ) -> Result<(), TakeOverError> {
        let pause = self.stream.set_read_timeout(Some(LOOK));
        pause.map_err(TakeOverError::Refused)?;
        let end = Instant::now() + READY;
        loop {
            let reasons = not_ready();
            if reasons.is_empty() {
                return Ok(());
            }
            if Instant::now() > end {
                return Err(TakeOverError::NotReady {
                    limit: READY.as_secs(),
                    reasons: reasons.join("; "),
                });
            }
            match self.stream.read(&mut [0]) {
                Ok(0) => return Ok(()),
                _ => continue,
            }
        }
    }

    /// Says that this process accepts, and waits until the other one has stopped to. That it may be gone is no reason not
    /// to serve.
    pub fn finish(mut self) {
        let told = (|| {
            self.stream.set_read_timeout(Some(ANSWER))?;
            self.stream.write_all(&[wire::READY])?;
            let mut answer = [0];
            self.stream.read_exact(&mut answer)?;
            Ok::<_, io::Error>(answer[0] == wire::DONE)
        })();
        match told {
            Ok(true) => tracing::info!("listening sockets were taken over"),
            Ok(false) => tracing::warn!("the process before this one gave no sensible answer"),
            Err(error) => tracing::warn!(%error, "the process before this one did not answer"),
        }
    }
}
