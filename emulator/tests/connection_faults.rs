//! Faults of connections: refused, reset, closed between requests.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use holysheep_emulator::{Fault, FaultError, FaultScope, Stats, Tls};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::client::{CHAT, Client, QUESTION, SOON, start, start_with};

#[tokio::test]
async fn a_refusing_port_opens_again_with_its_number() {
    let emulator = start().await;
    let addr = emulator.addr();
    emulator
        .set_fault(Fault::Refuse, FaultScope::Always)
        .unwrap();
    for _ in 0..3 {
        let error = TcpStream::connect(addr).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    }
    emulator.clear_faults().unwrap();
    assert_eq!(emulator.addr(), addr);
    let mut client = Client::connect(&emulator).await.unwrap();
    assert_eq!(client.post(CHAT, QUESTION).await.unwrap().status, 200);
}

#[tokio::test]
async fn open_connections_outlive_a_closed_port() {
    let emulator = start().await;
    let mut client = Client::connect(&emulator).await.unwrap();
    assert_eq!(client.post(CHAT, QUESTION).await.unwrap().status, 200);
    emulator.stop_accepting();
    assert!(TcpStream::connect(emulator.addr()).await.is_err());
    assert_eq!(client.post(CHAT, QUESTION).await.unwrap().status, 200);
    emulator.resume_accepting().unwrap();
    assert!(TcpStream::connect(emulator.addr()).await.is_ok());
}

#[tokio::test]
async fn a_timed_refusal_ends_by_itself() {
    let emulator = start().await;
    let brief = FaultScope::Until(Duration::from_millis(20));
    emulator.set_fault(Fault::Refuse, brief).unwrap();
    assert!(TcpStream::connect(emulator.addr()).await.is_err());
    let begun = Instant::now();
    while TcpStream::connect(emulator.addr()).await.is_err() {
        assert!(begun.elapsed() < SOON);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn refusals_cannot_be_counted() {
    let emulator = start().await;
    let set = emulator.set_fault(Fault::Refuse, FaultScope::Next(1));
    assert_eq!(set, Err(FaultError::RefuseScope));
}

#[tokio::test]
async fn accepted_and_reset() {
    let emulator = start().await;
    emulator
        .set_fault(Fault::ResetOnAccept, FaultScope::Next(1))
        .unwrap();
    assert!(Client::connect(&emulator).await.is_err());
    let stats = emulator
        .wait_until(SOON, |s| s.connections_open == 0)
        .await
        .unwrap();
    assert_eq!(
        (stats.connections_accepted, stats.tls_handshakes_failed),
        (1, 0)
    );
    assert!(Client::connect(&emulator).await.is_ok());
}

#[tokio::test]
async fn closed_after_so_many_answers_without_announcement() {
    let emulator = start().await;
    let twice = Fault::CloseAfter { requests: 2 };
    emulator.set_fault(twice, FaultScope::Always).unwrap();
    let mut client = Client::connect(&emulator).await.unwrap();
    for _ in 0..2 {
        let reply = client.post(CHAT, QUESTION).await.unwrap();
        assert_eq!((reply.status, reply.header("connection")), (200, None));
    }
    assert_eq!(client.rest().await.unwrap(), b"");
    assert_eq!(emulator.stats().completed, 2);
}

#[tokio::test]
async fn closed_after_being_idle() {
    let emulator = start().await;
    let mut client = Client::connect(&emulator).await.unwrap();
    let begun = Instant::now();
    let reply = client.faulty("close-idle;ms=30", QUESTION).await.unwrap();
    assert_eq!(reply.header("connection"), None);
    assert_eq!(client.rest().await.unwrap(), b"");
    assert!(begun.elapsed() >= Duration::from_millis(30));
}

#[tokio::test]
async fn never_used_connections_are_closed_when_idle() {
    let emulator = start().await;
    let fault = Fault::close_idle(Duration::from_millis(20));
    emulator.set_fault(fault, FaultScope::Always).unwrap();
    let mut client = Client::connect(&emulator).await.unwrap();
    assert_eq!(client.rest().await.unwrap(), b"");
}

#[tokio::test]
async fn idle_connections_close_at_ages_of_their_own() {
    let emulator = start().await;
    let fault: Fault = "close-idle;ms=20..220".parse().unwrap();
    emulator.set_fault(fault, FaultScope::Always).unwrap();
    let age = async || {
        let mut client = Client::connect(&emulator).await.unwrap();
        let begun = Instant::now();
        client.post(CHAT, QUESTION).await.unwrap();
        assert_eq!(client.rest().await.unwrap(), b"");
        begun.elapsed()
    };
    let ages = [age().await, age().await, age().await, age().await];
    let (least, most) = (ages.iter().min().unwrap(), ages.iter().max().unwrap());
    assert!(*least >= Duration::from_millis(20), "{ages:?}");
    // The seed is always the same; these are far apart.
    assert!(*most - *least > Duration::from_millis(20), "{ages:?}");
}

#[tokio::test]
async fn what_is_left_unread_when_a_connection_ends_is_on_the_books() {
    let emulator = start_with(|builder| builder.tls(Tls::Plain)).await;
    for (requests, behind, unread) in [(1, 0, 0), (2, 4 << 20, 1)] {
        let mut stream = TcpStream::connect(emulator.addr()).await.unwrap();
        let length = QUESTION.len();
        let head = format!(
            "POST {CHAT} HTTP/1.1\r\nhost: x\r\nx-emulator-fault: close-after\r\ncontent-length: {length}\r\n\r\n"
        );
        let mut bytes = [head.as_bytes(), QUESTION.as_bytes()].concat();
        // More than is read ahead.
        bytes.resize(bytes.len() + behind, b'x');
        // It may be reset before all of it has left.
        let _reset = stream.write_all(&bytes).await;
        let is_over = |stats: &Stats| stats.connections_open == 0 && stats.requests == requests;
        let stats = emulator.wait_until(SOON, is_over).await.unwrap();
        assert_eq!(stats.connections_closed_unread, unread);
    }
}
