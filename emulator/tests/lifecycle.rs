//! Starting and stopping: ports, address families, threads, blocking callers.

use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use holysheep_emulator::{Authority, Emulator, StartError, Tls};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::client::{CHAT, Client, QUESTION, SOON, start, start_with};

#[tokio::test]
async fn several_run_side_by_side() {
    let (first, second) = (start().await, start().await);
    assert_ne!(first.addr(), second.addr());
    for emulator in [&first, &second] {
        let mut client = Client::connect(emulator).await.unwrap();
        client.post(CHAT, QUESTION).await.unwrap();
        assert_eq!(emulator.stats().requests, 1);
    }
}

#[tokio::test]
async fn ipv6_and_plain() {
    let listen = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
    let emulator = start_with(|builder| builder.listen(listen).tls(Tls::Plain)).await;
    assert!(emulator.base_url().starts_with("http://localhost:"));
    let mut client = Client::connect(&emulator).await.unwrap();
    assert_eq!(client.post(CHAT, QUESTION).await.unwrap().status, 200);
}

#[tokio::test]
async fn several_behind_one_name_share_port_and_authority() {
    let authority = Arc::new(Authority::new().unwrap());
    let start = |address| {
        let builder = Emulator::builder().authority(&authority);
        builder.name("upstream.test").listen(address).start()
    };
    let first = start(SocketAddr::from(([127, 0, 0, 2], 0))).await.unwrap();
    let port = first.addr().port();
    let second = start(SocketAddr::from(([127, 0, 0, 3], port)))
        .await
        .unwrap();
    assert_eq!(first.origin(), format!("https://127.0.0.2:{port}"));
    let config = authority.client_config(&["http/1.1"]).unwrap();
    for emulator in [&first, &second] {
        let address = emulator.addr().ip().to_string();
        for name in ["upstream.test", &address] {
            let tcp = TcpStream::connect(emulator.addr()).await.unwrap();
            let name = ServerName::try_from(name.to_owned()).unwrap();
            let tls = TlsConnector::from(Arc::clone(&config)).connect(name, tcp);
            let mut client = Client::over(tls.await.unwrap(), emulator.api_key());
            assert_eq!(client.post(CHAT, QUESTION).await.unwrap().status, 200);
        }
        assert_eq!(emulator.stats().requests, 2);
    }
}

#[tokio::test]
async fn several_threads_share_the_port() {
    let emulator = start_with(|builder| builder.threads(3)).await;
    for _ in 0..12 {
        let mut client = Client::connect(&emulator).await.unwrap();
        assert_eq!(client.post(CHAT, QUESTION).await.unwrap().status, 200);
    }
    assert_eq!(emulator.stats().requests, 12);
    emulator.stop_accepting();
    assert!(TcpStream::connect(emulator.addr()).await.is_err());
    emulator.resume_accepting().unwrap();
    assert!(Client::connect(&emulator).await.is_ok());
}

#[tokio::test]
async fn dropping_it_closes_everything() {
    let emulator = start().await;
    let mut client = Client::connect(&emulator).await.unwrap();
    client.post(CHAT, QUESTION).await.unwrap();
    let addr = emulator.addr();
    drop(emulator);
    assert!(TcpStream::connect(addr).await.is_err());
    // Without a TLS close, which is an error to some and an end to others.
    assert!(client.rest().await.map_or(true, |rest| rest.is_empty()));
}

#[tokio::test]
async fn shutdown_lets_requests_finish() {
    let emulator = start().await;
    let mut client = Client::connect(&emulator).await.unwrap();
    let field = "x-emulator-fault: stall-before-headers;ms=50\r\n";
    client.send("POST", CHAT, field, QUESTION).await.unwrap();
    emulator
        .wait_until(SOON, |s| s.in_flight == 1)
        .await
        .unwrap();
    let (reply, ()) = tokio::join!(client.reply(), emulator.shutdown(SOON));
    assert_eq!(reply.unwrap().status, 200);
}

#[test]
fn it_starts_outside_a_runtime() {
    let emulator = Emulator::builder().start_blocking().unwrap();
    assert!(std::net::TcpStream::connect(emulator.addr()).is_ok());
}

#[tokio::test]
async fn a_taken_port_is_an_error_that_names_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = Emulator::builder()
        .listen(address)
        .start()
        .await
        .unwrap_err();
    assert!(matches!(error, StartError::Listen { .. }));
    assert!(error.to_string().contains(&address.to_string()));
}

#[tokio::test]
async fn waiting_in_vain_tells_the_counters() {
    let emulator = start().await;
    let wait = emulator.wait_until(Duration::from_millis(5), |s| s.requests == 1);
    assert_eq!(wait.await.unwrap_err().stats.requests, 0);
}
