//! What a client's connection writes when, on a socket nobody else reads.

use std::net::{IpAddr, Ipv4Addr};
use std::task::Waker;

use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::connection::transport::Socket;

/// A connection with a request of which `input` has been read, and its client.
async fn connection(body: Framing, input: &[u8]) -> (H1Stream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    let io = Transport::Plain(Socket::new(accepted.unwrap().0).unwrap());
    let mut buffer = ReadBuffer::new(4 * 1024);
    let mut cx = Context::from_waker(Waker::noop());
    if !input.is_empty() {
        let filled = buffer.poll_fill(&mut cx, &mut &input[..], BODY_BUFFER);
        assert!(matches!(filled, Poll::Ready(Ok(count)) if count == input.len()));
    }
    let peer = Peer::new(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let mut stream = H1Stream::new(io, peer, buffer);
    stream.begin(&Begin {
        body,
        limit: 1000,
        expects_continue: true,
        http10: false,
        head_only: false,
    });
    (stream, client.unwrap())
}

/// What is or was to be written while the body is polled for.
fn poll_body(stream: &mut H1Stream) -> String {
    let mut cx = Context::from_waker(Waker::noop());
    assert!(stream.poll_data(&mut cx).is_pending());
    String::from_utf8_lossy(&stream.output.bytes).into_owned()
}

#[tokio::test]
async fn no_100_continue_comes_in_the_middle_of_a_response() {
    let (mut stream, _client) = connection(Framing::Length(5), b"").await;
    stream.start_head(200);
    stream.end_head(Framing::Length(2));
    let head = String::from_utf8_lossy(&stream.output.bytes).into_owned();
    assert!(head.starts_with("HTTP/1.1 200 OK"));
    assert_eq!(poll_body(&mut stream), head);
    let (mut stream, _client) = connection(Framing::Length(5), b"").await;
    poll_body(&mut stream);
    assert!(stream.io.written() > 0, "it is asked for before");
}
