//! The same over h2, by ALPN and with prior knowledge.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use holysheep_emulator::{Emulator, Tls};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{SendRequest, handshake};
use tokio::io::ReadBuf;
use tokio::net::TcpStream;

use crate::client::{CHAT, QUESTION, SOON, STREAMED, Transport, connect_tls, start, start_with};

/// hyper's traits over tokio's.
struct Io(Pin<Box<dyn Transport>>);

impl hyper::rt::Read for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        let mut scratch = vec![0; buf.remaining().min(16 << 10)];
        let mut read = ReadBuf::new(&mut scratch);
        ready!(self.0.as_mut().poll_read(cx, &mut read))?;
        buf.put_slice(read.filled());
        Poll::Ready(Ok(()))
    }
}

impl hyper::rt::Write for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.0.as_mut().poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.0.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.0.as_mut().poll_shutdown(cx)
    }
}

#[derive(Clone)]
struct Spawn;

impl<F: Future<Output: Send> + Send + 'static> hyper::rt::Executor<F> for Spawn {
    fn execute(&self, future: F) {
        tokio::spawn(future);
    }
}

async fn connect(emulator: &Emulator) -> SendRequest<Full<Bytes>> {
    let transport: Pin<Box<dyn Transport>> = match emulator.authority() {
        None => Box::pin(TcpStream::connect(emulator.addr()).await.unwrap()),
        Some(authority) => {
            let config = authority.client_config(&["h2"]).unwrap();
            Box::pin(connect_tls(emulator, &config).await.unwrap())
        }
    };
    let (sender, connection) = handshake(Spawn, Io(transport)).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn send(
    sender: &mut SendRequest<Full<Bytes>>,
    emulator: &Emulator,
    fault: Option<&str>,
    body: &'static str,
) -> hyper::Result<Response<Incoming>> {
    let mut request = Request::post(format!("{}{CHAT}", emulator.origin()))
        .header("authorization", format!("Bearer {}", emulator.api_key()));
    if let Some(fault) = fault {
        request = request.header("x-emulator-fault", fault);
    }
    let request = request.body(Full::from(body)).unwrap();
    sender.send_request(request).await
}

#[tokio::test]
async fn answers_and_streams_with_tls_and_without() {
    for tls in [Tls::Own, Tls::Plain] {
        let emulator = start_with(|builder| builder.tls(tls)).await;
        let mut sender = connect(&emulator).await;
        let whole = send(&mut sender, &emulator, None, QUESTION).await.unwrap();
        assert_eq!(
            (whole.status(), whole.version()),
            (200.try_into().unwrap(), http::Version::HTTP_2)
        );
        let stream = send(&mut sender, &emulator, None, STREAMED).await.unwrap();
        let body = stream.into_body().collect().await.unwrap().to_bytes();
        assert!(body.ends_with(b"data: [DONE]\n\n"));
        assert_eq!(emulator.requests()[0].version, http::Version::HTTP_2);
        assert_eq!(emulator.stats().connections_accepted, 1);
    }
}

#[tokio::test]
async fn requests_share_a_connection_and_are_cancelled_alone() {
    let emulator = start().await;
    let mut sender = connect(&emulator).await;
    let stall = Some("stall-before-headers");
    let mut second = sender.clone();
    let stalled = send(&mut second, &emulator, stall, QUESTION);
    tokio::select! {
        _answered = stalled => panic!("a stalled request was answered"),
        arrived = emulator.wait_until(SOON, |s| s.in_flight == 1) => drop(arrived.unwrap()),
    }
    emulator
        .wait_until(SOON, |s| s.cancelled == 1)
        .await
        .unwrap();
    let reply = send(&mut sender, &emulator, None, QUESTION).await.unwrap();
    assert_eq!(reply.status(), 200);
    assert_eq!(emulator.stats().connections_accepted, 1);
}

#[tokio::test]
async fn a_cut_resets_the_stream_only() {
    let emulator = start().await;
    let mut sender = connect(&emulator).await;
    let cut = send(&mut sender, &emulator, Some("cut;after=9"), QUESTION)
        .await
        .unwrap();
    assert!(cut.into_body().collect().await.is_err());
    let reply = send(&mut sender, &emulator, None, QUESTION).await.unwrap();
    assert_eq!(reply.status(), 200);
}

#[tokio::test]
async fn resets_and_malformations_end_the_connection() {
    let emulator = start().await;
    for fault in ["reset", "malformed;kind=status-line"] {
        let mut sender = connect(&emulator).await;
        assert!(
            send(&mut sender, &emulator, Some(fault), QUESTION)
                .await
                .is_err()
        );
    }
    assert_eq!(emulator.stats().faulted, 2);
}

#[tokio::test]
async fn close_after_says_goaway_after_the_answer() {
    let emulator = start().await;
    let mut sender = connect(&emulator).await;
    let reply = send(&mut sender, &emulator, Some("close-after"), QUESTION)
        .await
        .unwrap();
    reply.into_body().collect().await.unwrap();
    emulator
        .wait_until(SOON, |s| s.connections_open == 0)
        .await
        .unwrap();
}
