//! Probes as the kubelet sends them: one after another, each on a connection of its own.
//!
//! They come from an address of their own, from a thread of its own that does
//! nothing else and is scheduled before everything else of the bench: what is
//! measured should be the peer, not the load generator. A pause between them
//! leaves the CPU to that.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, connect, recv, send,
    socket_with, sockopt,
};
use serde::Serialize;
use tokio::sync::oneshot;

use crate::statistics;

/// Where probes come from; nothing else does.
pub(crate) const SOURCE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// The kubelet's default `timeoutSeconds`.
pub(super) const TIMEOUT: Duration = Duration::from_secs(1);
/// From the beginning of a probe to that of the next, unless it takes longer.
pub(super) const EVERY: Duration = Duration::from_millis(20);
/// Before everything else on the same CPU.
const NICE: i32 = -20;
/// More than any answer has, in bytes.
const BUFFER: usize = 4096;

/// How some probes went.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Probed {
    /// How long each answered probe took, in milliseconds; a failed one counts with the timeout.
    pub(super) took_ms: Vec<f64>,
    /// Those that failed.
    pub(super) failed: usize,
    /// Why the first one did.
    pub(super) first_failure: Option<String>,
}

/// How many to send, and for how long at most.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) port: u16,
    pub(super) probes: usize,
    pub(super) budget: Duration,
}

/// A thread that probes; dropping it ends it after the probe under way.
#[derive(Debug)]
pub(super) struct Prober {
    /// Nothing is sent; the thread notices when it is dropped.
    _stop: mpsc::Sender<()>,
    result: oneshot::Receiver<Result<Probed>>,
}

impl Prober {
    /// Starts to probe.
    ///
    /// # Errors
    /// When there can be no thread.
    pub(super) fn start(plan: Plan) -> Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let (tell, result) = oneshot::channel();
        std::thread::Builder::new()
            .name("prober".to_owned())
            .spawn(move || {
                // Nobody listens any more when the bench was interrupted.
                let _ = tell.send(run(plan, &stopped));
            })?;
        Ok(Self {
            _stop: stop,
            result,
        })
    }

    /// Whether all is done, and then how it went.
    ///
    /// # Errors
    /// When the thread could not do its work.
    pub(super) fn finished(&mut self) -> Result<Option<Probed>> {
        match self.result.try_recv() {
            Ok(result) => result.map(Some),
            Err(oneshot::error::TryRecvError::Empty) => Ok(None),
            Err(oneshot::error::TryRecvError::Closed) => anyhow::bail!("the prober is gone"),
        }
    }
}

fn run(plan: Plan, stop: &mpsc::Receiver<()>) -> Result<Probed> {
    rustix::process::setpriority_process(None, NICE).context("cannot come first on the CPU")?;
    let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, plan.port);
    let request = request(plan.port);
    let begin = Instant::now();
    let mut probed = Probed::default();
    while probed.took_ms.len() < plan.probes && begin.elapsed() < plan.budget {
        let begin = Instant::now();
        let took = match probe(address, request.as_bytes(), begin + TIMEOUT) {
            Ok(()) => begin.elapsed(),
            Err(error) => {
                probed.failed += 1;
                probed
                    .first_failure
                    .get_or_insert_with(|| format!("{error:#}"));
                TIMEOUT
            }
        };
        probed.took_ms.push(took.as_secs_f64() * 1000.0);
        let pause = EVERY.saturating_sub(begin.elapsed());
        if stop.recv_timeout(pause) != Err(mpsc::RecvTimeoutError::Timeout) {
            break;
        }
    }
    Ok(probed)
}

/// What the kubelet of Kubernetes 1.31 asks.
fn request(port: u16) -> String {
    format!(
        "GET /health HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: kube-probe/1.31\r\n\
         Accept: */*\r\nConnection: close\r\n\r\n"
    )
}

/// Connects, asks, and reads until the server closes.
fn probe(address: SocketAddrV4, request: &[u8], deadline: Instant) -> Result<()> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    bind(&socket, &SocketAddrV4::new(SOURCE, 0)).context("bind")?;
    match connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => {}
        Err(error) => return Err(error).context("connect"),
    }
    wait(&socket, PollFlags::OUT, deadline).context("connect")?;
    sockopt::socket_error(&socket)?.context("connect")?;
    send(&socket, request, SendFlags::NOSIGNAL).context("send")?;
    let mut answer = Vec::with_capacity(BUFFER);
    let mut buffer = [0; BUFFER];
    loop {
        match recv(&socket, &mut buffer, RecvFlags::empty()) {
            Ok((_, 0)) => return check(&answer),
            Ok((_, count)) => answer.extend_from_slice(&buffer[..count.min(BUFFER)]),
            Err(Errno::AGAIN) => wait(&socket, PollFlags::IN, deadline).context("answer")?,
            Err(error) => return Err(error).context("answer"),
        }
    }
}

/// Any 2xx is success to the bench; the kubelet also takes 3xx.
fn check(answer: &[u8]) -> Result<()> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut parsed = httparse::Response::new(&mut headers);
    let complete = parsed
        .parse(answer)
        .is_ok_and(|status| status.is_complete());
    anyhow::ensure!(complete, "answer: closed after {} bytes", answer.len());
    let code = parsed.code.unwrap_or_default();
    anyhow::ensure!((200..300).contains(&code), "answer: status {code}");
    Ok(())
}

fn wait(socket: &OwnedFd, flags: PollFlags, deadline: Instant) -> Result<()> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left)?;
        match poll(&mut [PollFd::new(socket, flags)], Some(&timeout)) {
            Ok(0) => anyhow::bail!("timeout"),
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

impl Probed {
    /// A quantile, in milliseconds: the least time that this share of probes did not exceed.
    pub(super) fn quantile_ms(&self, quantile: f64) -> f64 {
        statistics::quantile(&self.took_ms, quantile)
    }

    /// Takes in those of another round.
    pub(super) fn add(&mut self, other: &Self) {
        self.took_ms.extend(&other.took_ms);
        self.failed += other.failed;
        if self.first_failure.is_none() {
            self.first_failure.clone_from(&other.first_failure);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_probes_count_with_their_time() {
        let mut probed = Probed {
            took_ms: (1..=100).map(f64::from).collect(),
            ..Probed::default()
        };
        assert_eq!(probed.quantile_ms(0.5), 50.0);
        let failed = Probed {
            took_ms: vec![1000.0; 2],
            failed: 2,
            first_failure: Some("timeout".to_owned()),
        };
        probed.add(&failed);
        assert_eq!((probed.failed, probed.quantile_ms(0.99)), (2, 1000.0));
        assert_eq!(probed.first_failure.as_deref(), Some("timeout"));
    }

    #[test]
    fn only_a_complete_answer_of_success_counts() {
        assert!(check(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").is_ok());
        assert!(check(b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n").is_err());
        assert!(check(b"HTTP/1.1 200 OK\r\ncontent").is_err());
        assert!(check(b"").is_err());
    }
}
