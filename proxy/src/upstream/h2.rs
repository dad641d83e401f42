//! h2 towards upstream: one connection for each worker, hyper's engine.

mod exchange;
mod pipe;
mod request;
mod session;

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{Mutex, Notify};

use super::connect::{ConnectError, Dialer};
use super::message::Message;
use crate::config::UpstreamProtocol;
use crate::connection::LocalExecutor;
use crate::error::ProxyError;
pub use exchange::H2Exchange;
use exchange::Sent;
use pipe::{Pipe, PipeBody};
use session::Session;

/// A dead path shows after this long, even without traffic.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// An open connection.
#[derive(Debug, Clone)]
struct Connected {
    sender: http2::SendRequest<PipeBody>,
    session: Rc<Session>,
}

/// Why a request could not be started.
#[derive(Debug)]
pub enum OpenError {
    /// There is no connection; the request is still there.
    Connect(ConnectError),
    /// It cannot be said in h2.
    Request(&'static str),
}

impl From<ConnectError> for OpenError {
    fn from(error: ConnectError) -> Self {
        Self::Connect(error)
    }
}

impl From<OpenError> for ProxyError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Connect(error) => error.into(),
            OpenError::Request(reason) => Self::InvalidRequest(reason.into()),
        }
    }
}

/// One worker's h2 connection, opened when needed and when it has ended.
#[derive(Debug)]
pub struct Multiplexed {
    dialer: Rc<Dialer>,
    /// Held while connecting, so that a burst opens one connection.
    connected: Mutex<Option<Connected>>,
    /// A request's dial has failed.
    failed: Notify,
}

impl Multiplexed {
    /// No connection yet.
    pub fn new(dialer: Rc<Dialer>) -> Self {
        Self {
            dialer,
            connected: Mutex::new(None),
            failed: Notify::new(),
        }
    }

    /// Opens the connection ahead of need, and again after each dial that
    /// failed, until the task is dropped.
    pub async fn keep_open(&self) {
        loop {
            if self.dialer.has_failed() {
                self.dialer.back_off().await;
            }
            match self.connected(None).await {
                Ok(_) => self.failed.notified().await,
                Err(error) => tracing::debug!(%error, "no h2 connection opened ahead of need"),
            }
        }
    }

    /// Opens the connection, unless there is one.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn open(&self) -> Result<(), ConnectError> {
        self.connected(None).await.map(drop)
    }

    /// Starts a request, rather not at the endpoint with the address `avoid`.
    ///
    /// # Errors
    /// If there is no connection and none can be made; the request is still there then.
    pub async fn send(
        &self,
        message: &mut Option<Message>,
        avoid: Option<SocketAddr>,
    ) -> Result<H2Exchange, OpenError> {
        let mut connected = self.connected(avoid).await.inspect_err(|_| {
            // Whether upstream is back is found out without a request.
            self.failed.notify_one();
        })?;
        let tls = self.dialer.roster().link().settings.base_url.tls();
        let Some(message) = message.take() else {
            return Err(OpenError::Request("there is none"));
        };
        let head = request::head(&message, tls).map_err(OpenError::Request)?;
        let pipe = Rc::new(Pipe::of_message(&message));
        let request = http::Request::from_parts(head, PipeBody(Rc::clone(&pipe)));
        let response = Box::pin(connected.sender.try_send_request(request));
        let stream = connected.session.begin();
        // The head stays here as well, should upstream refuse the stream.
        let sent = Sent {
            message: message.without_body(),
            pipe,
        };
        Ok(H2Exchange::new(sent, response, stream))
    }

    async fn connected(&self, avoid: Option<SocketAddr>) -> Result<Connected, ConnectError> {
        let mut slot = self.connected.lock().await;
        // With one endpoint there is no elsewhere.
        let avoid = avoid.filter(|_| self.dialer.roster().all().len() > 1);
        let usable = |open: &&Connected| {
            let is_elsewhere = Some(open.session.endpoint().shared.address) != avoid;
            !open.sender.is_closed() && open.session.takes_requests() && is_elsewhere
        };
        if let Some(connected) = slot.as_ref().filter(usable) {
            return Ok(connected.clone());
        }
        let order = self.dialer.roster().in_order(avoid, Instant::now());
        let (io, local) = self.dialer.dial(UpstreamProtocol::Http2, order).await?;
        let (sender, connection) = http2::Builder::new(LocalExecutor)
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .handshake(TokioIo::new(io))
            .await
            .map_err(|error| ConnectError::Tcp(format!("h2: {error}")))
            .inspect_err(|error| self.dialer.failed(error))?;
        let (session, open) = Session::new(local);
        tokio::task::spawn_local(async move {
            let _open = open;
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an h2 connection to upstream ended");
            }
        });
        Ok(slot.insert(Connected { sender, session }).clone())
    }
}
