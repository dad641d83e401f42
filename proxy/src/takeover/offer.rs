//! The running process' side: handing its sockets to whoever asks and may have them.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::TakeOverError;
use super::wire::{self, Sockets};
use crate::drain::{Drain, DrainTrigger};
use crate::kernel::Kernel;
use crate::worker::ACCEPT_PAUSE;

/// How long kept-alive connections are served after the sockets have gone, so that clients hear with an answer that they
/// should connect anew. Without it, a request on its way to an idle connection would meet its end.
const PARTING: Duration = Duration::from_secs(2);

/// What is offered, and what a take-over sets off.
#[derive(Debug)]
pub struct Offer {
    /// Copies of all listening sockets. They close with the drain, or nobody would be refused.
    pub sockets: Sockets,
    /// Where to offer them, once this process serves.
    pub listener: oneshot::Receiver<UnixListener>,
    /// Begins the drain.
    pub trigger: DrainTrigger,
    /// Tells of one begun otherwise.
    pub drain: Drain,
    /// What the next process goes on with.
    pub kernel: Arc<Kernel>,
}

/// Listens at the path, in place of whoever did before and has gone.
///
/// # Errors
/// If the path cannot be used.
pub fn listen(path: &Path) -> Result<UnixListener, TakeOverError> {
    let listen = || {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        // Besides, whoever connects has to be the same user.
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    listen().map_err(|reason| TakeOverError::Path {
        path: path.to_owned(),
        reason,
    })
}

impl Offer {
    /// Offers the sockets until somebody has taken them over, or the drain begins. `delay` is that of a stop.
    /// `failed` counts those that came to nothing.
    pub async fn run(self, delay: impl Fn() -> Duration, failed: impl Fn()) {
        let Self {
            sockets,
            listener,
            trigger,
            drain,
            kernel,
        } = self;
        tokio::select! {
            successor = offer(&sockets, listener, &kernel, failed) => {
                kernel.hand_over();
                trigger.hand_over(delay().max(PARTING));
                drop(sockets);
                if let Some(mut successor) = successor {
                    // Whether it hears of that changes nothing any more.
                    let _ = successor.write_all(&[wire::DONE]).await;
                }
            }
            () = drain.wait() => {}
        }
    }
}

/// Hands the sockets to whoever asks; gives back the connection of who serves with them.
async fn offer(
    sockets: &Sockets,
    listener: oneshot::Receiver<UnixListener>,
    kernel: &Kernel,
    failed: impl Fn(),
) -> Option<UnixStream> {
    let Some(listener) = listener.await.ok().and_then(registered) else {
        // The start has failed, or is over without an offer.
        return std::future::pending().await;
    };
    loop {
        match listener.accept().await {
            Ok((mut stream, _)) => match hand_over(sockets, &mut stream, kernel).await {
                Ok(process) => {
                    tracing::info!(
                        process,
                        "another process has taken the listening sockets over"
                    );
                    return Some(stream);
                }
                Err(error) => {
                    kernel.lend(false);
                    failed();
                    tracing::warn!(%error, "a take-over did not come about, this process goes on");
                }
            },
            Err(error) => {
                tracing::warn!(%error, "accept failed at the socket for take-overs");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn registered(listener: UnixListener) -> Option<tokio::net::UnixListener> {
    let listener = tokio::net::UnixListener::from_std(listener);
    let failed = |error: &_| tracing::error!(%error, "listening sockets cannot be handed over");
    listener.inspect_err(failed).ok()
}

/// Sends everything and waits for the word that the other process serves; gives its id.
async fn hand_over(
    sockets: &Sockets,
    stream: &mut UnixStream,
    kernel: &Kernel,
) -> io::Result<Option<i32>> {
    let peer = stream.peer_cred()?;
    let own = rustix::process::geteuid().as_raw();
    if peer.uid() != own && peer.uid() != 0 {
        let reason = format!("user {} asked, expected {own}", peer.uid());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
    }
    kernel.lend(true);
    let stream_ref = &*stream;
    let send = |byte, socket| {
        stream_ref.async_io(Interest::WRITABLE, move || {
            wire::send(stream_ref.as_fd(), byte, socket)
        })
    };
    send(wire::VERSION, None).await?;
    for (kind, socket) in sockets {
        send(*kind as u8, Some(socket)).await?;
    }
    send(wire::END, None).await?;
    match stream.read_u8().await? {
        wire::READY => Ok(peer.pid()),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}
