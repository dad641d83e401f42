//! The way to one target: its kept-alive connections, and requests on them.
//!
//! As SDKs do it: HTTP/1.1, the connection used last is used next, and where none is free a new one is opened and kept.

use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use super::dial::{Dialer, Handshake};
use super::request::Shape;
use super::sample::{Answer, Failure, Kernel, Sample};
use super::target::Target;
use super::timing::Timing;
use crate::kernel::TcpInfo;

/// More requests at once are not sent to a target; each has a connection.
const MOST_AT_ONCE: usize = 256;
/// Connections opened before the first request, since two may be due at about the same time.
const AHEAD: usize = 2;
/// The longest error code of a proxy that is shown.
const LONGEST_CODE: usize = 60;

type Body = Full<Bytes>;

/// A target and its connections.
pub(super) struct Lane {
    pub(super) target: Target,
    dialer: Dialer,
    shape: Shape,
    /// For each request and each new connection.
    limit: Duration,
    idle: RefCell<Vec<Connection>>,
    at_once: Cell<usize>,
}

struct Connection {
    sender: SendRequest<Body>,
    socket: OwnedFd,
}

impl Lane {
    pub(super) fn new(target: Target, dialer: Dialer, shape: Shape, limit: Duration) -> Rc<Self> {
        Rc::new(Self {
            target,
            dialer,
            shape,
            limit,
            idle: RefCell::default(),
            at_once: Cell::new(0),
        })
    }

    /// Opens some connections ahead of need; whether that fails, requests will tell.
    pub(super) async fn open_ahead(&self) {
        for _ in 0..AHEAD {
            if let Ok(Ok(connection)) = timeout(self.limit, self.open()).await {
                self.idle.borrow_mut().push(connection);
            }
        }
    }

    /// Times a connection that is closed again.
    ///
    /// # Errors
    /// Which step failed.
    pub(super) async fn handshake(&self) -> Result<Handshake, Failure> {
        match timeout(self.limit, self.dialer.dial()).await {
            Ok(dialled) => dialled.map(|dialled| dialled.handshake),
            Err(_) => Err(Failure::Timeout(self.limit)),
        }
    }

    /// Sends the request of a round that was due at a time.
    pub(super) async fn send(&self, round: usize, due: Instant) -> Sample {
        let mut sample = Sample {
            round,
            late: due.elapsed(),
            is_on_new_connection: false,
            outcome: Err(Failure::Crowded),
        };
        if self.at_once.get() >= MOST_AT_ONCE {
            return sample;
        }
        self.at_once.set(self.at_once.get() + 1);
        let exchange = self.exchange(due, &mut sample.is_on_new_connection);
        let outcome = timeout(self.limit, exchange).await;
        self.at_once.set(self.at_once.get() - 1);
        sample.outcome = outcome.unwrap_or(Err(Failure::Timeout(self.limit)));
        sample
    }

    async fn exchange(&self, due: Instant, is_new: &mut bool) -> Result<Answer, Failure> {
        let mut request = self.shape.request(&self.target);
        loop {
            let mut connection = match self.idle_one() {
                Some(connection) => connection,
                None => {
                    *is_new = true;
                    self.open().await?
                }
            };
            let before = TcpInfo::of(&connection.socket).ok();
            match connection.sender.try_send_request(request).await {
                Ok(response) => return self.receive(due, connection, before, response).await,
                Err(mut error) => match error.take_message() {
                    // It was closed before anything was sent; the next one, as SDKs do.
                    Some(unsent) if !*is_new => request = unsent,
                    _ => return Err(broken(&error.into_error())),
                },
            }
        }
    }

    /// Reads the answer to its end and keeps the connection.
    async fn receive(
        &self,
        due: Instant,
        connection: Connection,
        before: Option<TcpInfo>,
        response: http::Response<Incoming>,
    ) -> Result<Answer, Failure> {
        let first_byte = due.elapsed();
        let (head, mut body) = response.into_parts();
        while let Some(frame) = body.frame().await {
            frame.map_err(|error| broken(&error))?;
        }
        let whole = due.elapsed();
        let kernel = before.and_then(|before| kernel(&connection.socket, &before));
        self.idle.borrow_mut().push(connection);
        if !head.status.is_success() {
            let code = head.headers.get("x-holysheep-error");
            let code = code.and_then(|code| code.to_str().ok());
            let code = code.map(|code| code.chars().take(LONGEST_CODE).collect());
            return Err(Failure::Status(head.status.as_u16(), code));
        }
        Ok(Answer {
            first_byte,
            whole,
            kernel,
            timing: Timing::of(&head.headers),
            is_from_cache: head.headers.contains_key(http::header::AGE),
        })
    }

    /// The connection used last of those that are still there.
    fn idle_one(&self) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        idle.retain(|connection| !connection.sender.is_closed());
        let last = idle.iter().rposition(|one| one.sender.is_ready())?;
        Some(idle.remove(last))
    }

    async fn open(&self) -> Result<Connection, Failure> {
        let dialled = self.dialer.dial().await?;
        let handshake = http1::handshake(TokioIo::new(dialled.stream)).await;
        let (mut sender, driver) = handshake.map_err(|error| broken(&error))?;
        tokio::task::spawn_local(async move {
            // How it ends, requests are told.
            let _ended = driver.await;
        });
        sender.ready().await.map_err(|error| broken(&error))?;
        Ok(Connection {
            sender,
            socket: dialled.socket,
        })
    }
}

fn kernel(socket: &OwnedFd, before: &TcpInfo) -> Option<Kernel> {
    let after = TcpInfo::of(socket).ok()?;
    let micros = |micros: u32| Duration::from_micros(micros.into());
    Some(Kernel {
        rtt: micros(after.rtt_us),
        min_rtt: after.min_rtt_us.map(micros),
        retransmits: after
            .total_retransmits
            .wrapping_sub(before.total_retransmits),
    })
}

fn broken(error: &hyper::Error) -> Failure {
    Failure::Broken(error.to_string())
}
