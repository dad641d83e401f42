//! Tests of `pool.rs`.

use std::net::SocketAddr;
use std::sync::Arc;

use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local, yield_now};
use tokio::time::{sleep, timeout};

use super::*;
use crate::config::{Config, ConfigFile};
use crate::connection::transport::{self, Transport};
use crate::kernel::Sockets;
use crate::upstream::Link;
use crate::upstream::dns::Resolution;

const IDLE_TIMEOUT: Duration = Duration::from_secs(50);

async fn pool(upstream: SocketAddr, min_idle: usize) -> Rc<Pool> {
    pool_of(&[upstream], min_idle)
}

fn pool_of(upstreams: &[SocketAddr], min_idle: usize) -> Rc<Pool> {
    let yaml = format!("upstream: {{min_idle: {min_idle}, max_idle: 8}}");
    let config = Config::build(ConfigFile::parse(&yaml).unwrap()).unwrap();
    let link = Arc::new(Link::new(0, &config.upstream, 1));
    link.addresses.publish(Resolution::Known(upstreams.into()));
    let roster = Roster::new(Arc::clone(&link), 0, Arc::default(), config.ejection);
    let limit = Duration::from_secs(10);
    let dialer = Dialer::new(roster, 0, None, limit, Sockets::default());
    Rc::new(Pool::new(Rc::new(dialer), &link.settings))
}

/// Puts a connection into the pool that was used `age` ago.
async fn put(pool: &Pool, address: SocketAddr, at: Instant) {
    let stream = TcpStream::connect(address).await.unwrap();
    let socket = transport::Socket::new(stream).unwrap();
    let connection = Connection::new(Transport::Plain(socket));
    let all = pool.roster().all();
    let local = all.iter().find(|local| local.shared.address == address);
    pool.put((connection, Lease::new(Rc::clone(local.unwrap()))), at);
}

#[tokio::test]
async fn a_connection_that_is_too_old_is_not_handed_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let pool = pool(address, 0).await;
    let now = Instant::now();
    for age in [IDLE_TIMEOUT, IDLE_TIMEOUT - Duration::from_secs(1)] {
        put(&pool, address, now - age).await;
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
    let used = pool.open(None).await.unwrap();
    let port = used.0.io.tcp().local_addr().unwrap();
    let now = Instant::now();
    let long_ago = now - IDLE_TIMEOUT / 2;
    pool.put(used, long_ago);
    let order = pool.roster().in_order(None, now);
    let (fresh, local) = pool.dialer.connection(order).await.unwrap();
    pool.keep(&local, true, fresh, now);
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
        pool.open(None).await.unwrap_err();
        spawn_local(Rc::clone(&pool).keep_warm());
        yield_now().await;
        upstream.listen(8).unwrap();
        drop(pool.open(None).await.unwrap());
        while pool.count.get() < 2 {
            sleep(Duration::from_millis(2)).await;
        }
    };
    let tasks = LocalSet::new();
    let recovered = timeout(Duration::from_secs(10), tasks.run_until(recovery)).await;
    assert!(recovered.is_ok(), "no connection was opened ahead of need");
}

#[tokio::test]
async fn of_two_endpoints_the_one_that_answers_sooner_is_taken() {
    let listeners = [
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
    ];
    let addresses = listeners.map(|listener| {
        // Connections are made by the kernel; nobody accepts.
        let address = listener.local_addr().unwrap();
        std::mem::forget(listener);
        address
    });
    let pool = pool_of(&addresses, 0);
    let now = Instant::now();
    let all = pool.roster().all();
    for (local, millis) in all.iter().zip([500, 10]) {
        local.answered(Duration::from_millis(millis), now);
    }
    for address in addresses {
        put(&pool, address, now).await;
        put(&pool, address, now).await;
    }
    let first = pool.take(now).unwrap();
    assert_eq!(first.1.endpoint().shared.address, addresses[1]);
    // Elsewhere is elsewhere, whatever it costs.
    let other = pool.take_elsewhere(Some(addresses[1]), now).unwrap();
    assert_eq!(other.1.endpoint().shared.address, addresses[0]);
    // A new connection to the fast one is better than a warm one to the slow one.
    let again = pool.take(now).unwrap();
    assert_eq!(again.1.endpoint().shared.address, addresses[1]);
    assert!(pool.take(now).is_none());
    // Unless it is known to fail.
    let limits = pool.roster().limits();
    for _ in 0..limits.failures {
        all[1].failed(&limits, now);
    }
    drop(again);
    put(&pool, addresses[0], now).await;
    let slow = pool.take(now).unwrap();
    assert_eq!(slow.1.endpoint().shared.address, addresses[0]);
}

#[tokio::test]
async fn connections_to_addresses_that_are_gone_are_dropped() {
    let old = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let new = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let pool = pool(old.local_addr().unwrap(), 0).await;
    let now = Instant::now();
    put(&pool, old.local_addr().unwrap(), now).await;
    let used = pool.take(now).unwrap();
    put(&pool, old.local_addr().unwrap(), now).await;
    let addresses = [new.local_addr().unwrap()];
    let link = Arc::clone(pool.roster().link());
    link.addresses
        .publish(Resolution::Known(addresses[..].into()));
    for gone in pool.roster().refresh().unwrap() {
        pool.clear_at(&gone);
    }
    // Not even the one that was in use comes back.
    pool.put(used, now);
    assert!(pool.take(now).is_none());
    let (_, lease) = pool.open(None).await.unwrap();
    assert_eq!(lease.endpoint().shared.address, addresses[0]);
}
