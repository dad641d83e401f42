//! Tests of `pool.rs`.

use std::net::SocketAddr;

use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local, yield_now};
use tokio::time::{sleep, timeout};

use super::*;
use crate::config::BaseUrl;
use crate::connection::transport::{self, Transport};
use crate::kernel::Sockets;
use crate::metrics::Histogram;
use crate::upstream::{Link, dns};

const IDLE_TIMEOUT: Duration = Duration::from_secs(50);

async fn pool(upstream: SocketAddr, min_idle: usize) -> Rc<Pool> {
    let link = Link::new(1);
    let url = BaseUrl::parse(&format!("http://{upstream}/v1")).unwrap();
    dns::keep_resolved(url, Arc::clone(&link.addresses), &Histogram::default()).await;
    let metrics = Arc::default();
    let dialer = Dialer::new(
        (&link, 0),
        None,
        Duration::from_secs(10),
        metrics,
        Sockets::default(),
    );
    Rc::new(Pool::new(Rc::new(dialer), min_idle, 8, IDLE_TIMEOUT, true))
}

#[tokio::test]
async fn a_connection_that_is_too_old_is_not_handed_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let pool = pool(address, 0).await;
    let now = Instant::now();
    for age in [IDLE_TIMEOUT, IDLE_TIMEOUT - Duration::from_secs(1)] {
        let stream = TcpStream::connect(address).await.unwrap();
        let socket = transport::Socket::new(stream).unwrap();
        pool.put(Connection::new(Transport::Plain(socket)), now - age);
    }
    assert!(pool.take(now).is_some(), "one second is left");
    assert!(pool.take(now).is_none());
    // Not even by a clock that lags behind.
    assert!(pool.take(now - Duration::from_millis(1)).is_some());
}

#[tokio::test]
async fn a_connection_that_was_used_goes_before_one_opened_since() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let pool = pool(address, 1).await;
    let (used, _lease) = pool.open().await.unwrap();
    let port = used.io.tcp().local_addr().unwrap();
    let now = Instant::now();
    let long_ago = now - IDLE_TIMEOUT / 2;
    pool.put(used, long_ago);
    let fresh = pool.dialer.connection().await.unwrap();
    pool.keep(&pool.unused, fresh, now);
    let (first, _lease) = pool.take(now).unwrap();
    assert_eq!(first.io.tcp().local_addr().unwrap(), port);
    assert!(pool.take(now).is_some());
    assert!(pool.take(now).is_none());
}

#[tokio::test]
async fn a_request_that_gets_a_connection_ends_the_back_off() {
    // Refuses until it listens.
    let upstream = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    upstream.bind(&any.into()).unwrap();
    let address = upstream.local_addr().unwrap().as_socket().unwrap();
    let pool = pool(address, 2).await;
    let recovery = async {
        pool.dialer.backoff.set(Duration::from_secs(3600));
        pool.open().await.unwrap_err();
        spawn_local(Rc::clone(&pool).keep_warm());
        yield_now().await;
        upstream.listen(8).unwrap();
        drop(pool.open().await.unwrap());
        while pool.count() < 2 {
            sleep(Duration::from_millis(2)).await;
        }
    };
    let tasks = LocalSet::new();
    let recovered = timeout(Duration::from_secs(10), tasks.run_until(recovery)).await;
    assert!(recovered.is_ok(), "no connection was opened ahead of need");
}
