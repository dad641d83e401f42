//! One connection: TLS handshake, choice of protocol, and what faults do to the connection itself.
//!
//! `server.rs` spawns [`serve`]; hyper calls `exchange.rs` for each request, which gives orders back
//! through the [`Link`].

use std::convert::Infallible;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::handshake::{self, Handshake};
use super::io::{SharedIo, Transport, reset_on_close};
use crate::exchange;
use crate::fault::{Fault, Stage, wire};
use crate::server::Shared;

/// What a request tells its connection to do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    /// Close as soon as what is in progress is written.
    Close,
    /// Reset now.
    Reset,
    /// Take the transport from hyper, write these bytes and close.
    Write(&'static [u8]),
}

/// What the requests of a connection and the task that drives it share.
pub(crate) struct Link {
    pub(crate) number: u64,
    pub(crate) server_name: Option<String>,
    pub(crate) http2: bool,
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    order: Option<Order>,
    in_flight: u64,
    idle_since: Instant,
    idle_limit: Option<Duration>,
    /// Answers until the connection closes.
    answers_left: Option<u64>,
}

/// Why hyper no longer has the connection.
enum Driven {
    Ended,
    Reset,
    Write(&'static [u8]),
}

/// Serves an accepted connection to its end.
pub(crate) async fn serve(shared: Arc<Shared>, stream: TcpStream) {
    let number = shared.connection_numbers.next();
    shared.counters.connections_accepted.add(1);
    shared.counters.connections_open.add(1);
    let _open = Open(Arc::clone(&shared));
    if shared.faults.take(Stage::Accept) == Some(Fault::ResetOnAccept) {
        reset_on_close(&stream);
        return;
    }
    // Without it small events would wait for the acknowledgement of the one before.
    let _refused = stream.set_nodelay(true);
    match handshake::accept(&shared, stream).await {
        Some(Handshake::Plain { stream, http2 }) => {
            serve_http(&shared, stream, Link::new(&shared, number, None, http2)).await;
        }
        Some(Handshake::Tls {
            stream,
            server_name,
            http2,
        }) => {
            let link = Link::new(&shared, number, server_name, http2);
            serve_http(&shared, *stream, link).await;
        }
        None => {}
    }
}

async fn serve_http<T: Transport>(shared: &Arc<Shared>, transport: T, link: Link) {
    let link = Arc::new(link);
    let io = SharedIo::new(transport, shared);
    let service = {
        let (shared, link) = (Arc::clone(shared), Arc::clone(&link));
        service_fn(move |request: http::Request<Incoming>| {
            let (shared, link) = (Arc::clone(&shared), Arc::clone(&link));
            async move { Ok::<_, Infallible>(exchange::answer(shared, link, request).await) }
        })
    };
    let driven = if link.http2 {
        let connection = http2::Builder::new(Spawn).serve_connection(io.another(), service);
        let close = http2::Connection::graceful_shutdown;
        drive(connection, close, &link, &io).await
    } else {
        let connection = http1::Builder::new().serve_connection(io.another(), service);
        let connection = connection.with_upgrades();
        let close = http1::UpgradeableConnection::graceful_shutdown;
        drive(connection, close, &link, &io).await
    };
    let mut io = io;
    match driven {
        Driven::Ended if io.ends_unread() => shared.counters.connections_closed_unread.add(1),
        Driven::Ended => {}
        Driven::Reset => io.reset_on_close(),
        Driven::Write(bytes) => wire::write(&mut io, bytes).await,
    }
}

/// Polls hyper's connection until it ends or an order takes it away; it is dropped on return.
async fn drive<C: Future, T: Transport>(
    connection: C,
    close: fn(Pin<&mut C>),
    link: &Link,
    io: &SharedIo<T>,
) -> Driven {
    let mut connection = std::pin::pin!(connection);
    loop {
        let idle_until = link.idle_until();
        tokio::select! {
            biased;
            _result = connection.as_mut() => {
                return match link.take_order() {
                    Some(Order::Reset) => Driven::Reset,
                    Some(Order::Close | Order::Write(_)) | None => Driven::Ended,
                };
            }
            () = link.changed.notified() => match link.take_order() {
                Some(Order::Close) => close(connection.as_mut()),
                Some(Order::Reset) => return Driven::Reset,
                Some(Order::Write(bytes)) => return Driven::Write(bytes),
                None => {}
            },
            () = sleep_until(idle_until) => {
                if link.idle_until().is_some_and(|end| end <= Instant::now()) {
                    if io.has_unread() {
                        // A request has come that was not looked at yet: not idle after all.
                        tokio::task::yield_now().await;
                        continue;
                    }
                    link.lock().idle_limit = None;
                    close(connection.as_mut());
                }
            }
        }
    }
}

async fn sleep_until(end: Option<Instant>) {
    match end {
        Some(end) => tokio::time::sleep_until(end.into()).await,
        None => std::future::pending().await,
    }
}

impl Link {
    fn new(shared: &Shared, number: u64, server_name: Option<String>, http2: bool) -> Self {
        Self {
            number,
            server_name,
            http2,
            state: Mutex::new(State {
                order: None,
                in_flight: 0,
                idle_since: Instant::now(),
                idle_limit: shared.faults.idle_limit(),
                answers_left: None,
            }),
            changed: Notify::new(),
        }
    }

    /// Tells the connection what to do. The caller's request gets no further.
    pub(crate) fn order(&self, order: Order) {
        self.lock().order = Some(order);
        self.changed.notify_one();
    }

    /// A request has begun.
    pub(crate) fn begin(&self) {
        self.lock().in_flight += 1;
    }

    /// A request has ended, one way or another.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.in_flight = state.in_flight.saturating_sub(1);
        state.idle_since = Instant::now();
        if let Some(left) = &mut state.answers_left {
            *left -= 1;
            if *left == 0 {
                state.answers_left = None;
                state.order = Some(Order::Close);
            }
        }
        if state.order.is_some() || state.idle_limit.is_some() {
            drop(state);
            self.changed.notify_one();
        }
    }

    /// Closes after so many answers, counting the one in progress, unless that is arranged already.
    pub(crate) fn close_after(&self, answers: u64) {
        self.lock().answers_left.get_or_insert(answers);
    }

    /// Closes once idle for a time from this range, which is drawn unless the connection has one.
    pub(crate) fn close_idle(
        &self,
        range: &RangeInclusive<Duration>,
        draw: impl FnOnce() -> Duration,
    ) {
        let mut state = self.lock();
        let drawn = state.idle_limit.filter(|limit| range.contains(limit));
        state.idle_limit = Some(drawn.unwrap_or_else(draw));
    }

    fn take_order(&self) -> Option<Order> {
        self.lock().order.take()
    }

    /// When the connection will have been idle for too long; `None` while it is not idle.
    fn idle_until(&self) -> Option<Instant> {
        let state = self.lock();
        let limit = state.idle_limit.filter(|_| state.in_flight == 0)?;
        Some(state.idle_since + limit)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts the connection as open while it lives.
struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.counters.connections_open.one_less();
    }
}

/// Runs the stream tasks of h2 on the worker of their connection.
#[derive(Clone, Copy)]
struct Spawn;

impl<F> hyper::rt::Executor<F> for Spawn
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        tokio::spawn(future);
    }
}
