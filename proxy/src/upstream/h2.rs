//! h2 towards upstream: one connection for each worker, hyper's engine.

mod exchange;
mod pipe;
mod session;

use std::rc::Rc;
use std::time::Duration;

use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{Mutex, Notify};

use super::connect::{ConnectError, Dialer};
use crate::config::UpstreamProtocol;
use crate::connection::LocalExecutor;
pub use exchange::{H2Exchange, H2Request};
use pipe::PipeBody;
use session::Session;

/// A dead path shows after this long, even without traffic.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// An open connection.
#[derive(Debug, Clone)]
struct Connected {
    sender: http2::SendRequest<PipeBody>,
    session: Rc<Session>,
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
            match self.connected().await {
                Ok(_) => self.failed.notified().await,
                Err(error) => tracing::debug!(%error, "no h2 connection opened ahead of need"),
            }
        }
    }

    /// Starts a request.
    ///
    /// # Errors
    /// If there is no connection and none can be made.
    pub async fn send(&self, request: H2Request) -> Result<H2Exchange, ConnectError> {
        let mut connected = self.connected().await.inspect_err(|_| {
            // Whether upstream is back is found out without a request.
            self.failed.notify_one();
        })?;
        let H2Request { head, pipe, pulled } = request;
        let pipe = Rc::new(pipe);
        // The head stays here as well, should upstream refuse the stream.
        let message = http::Request::from_parts((*head).clone(), PipeBody(Rc::clone(&pipe)));
        let response = Box::pin(connected.sender.try_send_request(message));
        let stream = connected.session.begin();
        Ok(H2Exchange::new(head, response, pipe, stream, pulled))
    }

    async fn connected(&self) -> Result<Connected, ConnectError> {
        let mut slot = self.connected.lock().await;
        let usable = |open: &&Connected| !open.sender.is_closed() && open.session.takes_requests();
        if let Some(connected) = slot.as_ref().filter(usable) {
            return Ok(connected.clone());
        }
        let io = TokioIo::new(self.dialer.dial(UpstreamProtocol::Http2).await?);
        let (sender, connection) = http2::Builder::new(LocalExecutor)
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .handshake(io)
            .await
            .map_err(|error| ConnectError::Tcp(format!("h2: {error}")))
            .inspect_err(|error| self.dialer.failed(error))?;
        let (session, open) = Session::new(self.dialer.metrics());
        tokio::task::spawn_local(async move {
            let _open = open;
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an h2 connection to upstream ended");
            }
        });
        Ok(slot.insert(Connected { sender, session }).clone())
    }
}
