//! Connections that fail, each in its own way, and those that only end.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use holysheep_proxy::kernel::{FlowTable, Kernel, TcpInfo};
use proxy_common::NO_ENDPOINT;
use rustix::event::{PollFd, PollFlags, poll};
use socket2::SockRef;

use crate::Outcome;
use crate::lab::{self, FAMILIES, Lab};

fn failures(kernel: &Kernel) -> u64 {
    kernel.snapshot().unwrap().upstreams[0].connect_failures
}

pub(crate) fn counted(lab: &Lab) -> Outcome {
    for (family, bind, to) in FAMILIES {
        let kernel = lab.kernel();
        let flows = kernel.flows().unwrap();
        refused(&flows, bind, to);
        assert_eq!(failures(&kernel), 1, "{family}: refused");
        let retransmits = timed_out(&flows, bind, to);
        assert_eq!(failures(&kernel), 2, "{family}: timed out");
        reset(&flows, bind, to);
        lab::eventually("the reset is counted", || failures(&kernel) == 3);
        let upstream = kernel.snapshot().unwrap().upstreams[0];
        println!(
            "  {family:<9} refused, timed out after {retransmits} more SYNs, reset: 3 failures counted"
        );
        assert_eq!(
            upstream.retransmits,
            u64::from(retransmits),
            "{family}: SYNs sent again"
        );
        // The reset one was established before; the others never were.
        assert_eq!(upstream.connect.count(), 1, "{family}");
        lab::eventually("every record is free again", || flows.occupied() == 0);
    }
    Ok(())
}

/// Nobody listens.
fn refused(flows: &FlowTable, bind: &str, to: &str) {
    let (listener, address) = lab::listen(bind, to);
    drop(listener);
    let (socket, cookie) = lab::socket(address);
    flows.register(cookie, 0, 0, NO_ENDPOINT);
    let error = socket.connect(&address.into()).unwrap_err();
    assert!(lab::is_broken(&error), "{error}");
}

/// Somebody listens, but the queue is full, so that SYNs get no answer. Returns how often they were sent again.
fn timed_out(flows: &FlowTable, bind: &str, to: &str) -> u32 {
    let (full, address, _waiting) = full_listener(bind, to);
    let (socket, cookie) = lab::socket(address);
    flows.register(cookie, 0, 0, NO_ENDPOINT);
    socket
        .set_tcp_user_timeout(Some(Duration::from_millis(1500)))
        .unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.connect(&address.into()).unwrap_err();
    let mut fds = [PollFd::new(&socket, PollFlags::OUT)];
    poll(&mut fds, None).unwrap();
    // Asked before the error is: that makes the socket one that was never connected.
    let told = TcpInfo::of(&socket).unwrap().total_retransmits;
    let error = socket.take_error().unwrap().unwrap();
    assert!(lab::is_broken(&error), "{error}");
    let ours = flows.connection(cookie).retransmits;
    assert_eq!(ours, Some(told));
    assert!(told > 0, "a connect that times out sends more than one SYN");
    drop(full);
    told
}

/// A listener nobody can get through to, with the connections that wait in its queue.
fn full_listener(bind: &str, to: &str) -> (TcpListener, SocketAddr, Vec<socket2::Socket>) {
    let (listener, address) = lab::listen(bind, to);
    SockRef::from(&listener).listen(0).unwrap();
    let mut waiting = Vec::new();
    // The first is let in although the length is 0; the one after that may hang.
    for _ in 0..4 {
        let (socket, _) = lab::socket(address);
        if socket
            .connect_timeout(&address.into(), Duration::from_millis(100))
            .is_err()
        {
            return (listener, address, waiting);
        }
        waiting.push(socket);
    }
    panic!("a queue of length 0 takes four connections");
}

/// The connection comes about, and is thrown away at once.
fn reset(flows: &FlowTable, bind: &str, to: &str) {
    let (listener, address) = lab::listen(bind, to);
    let (mut stream, _) = lab::connect(flows, address, 0);
    let peer = listener.accept().unwrap().0;
    SockRef::from(&peer)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(peer);
    let error = stream.read(&mut [0]).unwrap_err();
    assert!(lab::is_broken(&error), "{error}");
}

pub(crate) fn orderly(lab: &Lab) -> Outcome {
    let kernel = lab.kernel();
    let flows = kernel.flows().unwrap();
    // The peer closes without a word.
    let (listener, address) = lab::listen("127.0.0.1:0", "127.0.0.1");
    let (mut stream, _) = lab::connect(&flows, address, 0);
    drop(listener.accept().unwrap().0);
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    drop(stream);
    // We do.
    drop(lab::connect(&flows, address, 0));
    // The peer resets, but not before it has answered.
    let (mut stream, _) = lab::connect(&flows, address, 0);
    let mut peer = skip_closed(&listener);
    peer.write_all(b"x").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    SockRef::from(&peer)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(peer);
    stream.read(&mut [0]).unwrap_err();
    // Somebody changed their mind.
    let (full, address, _waiting) = full_listener("127.0.0.1:0", "127.0.0.1");
    let (socket, cookie) = lab::socket(address);
    flows.register(cookie, 0, 0, NO_ENDPOINT);
    socket.set_nonblocking(true).unwrap();
    socket.connect(&address.into()).unwrap_err();
    flows.forget(cookie);
    drop((socket, full));
    lab::eventually("every record is free again", || flows.occupied() == 0);
    assert_eq!(failures(&kernel), 0);
    Ok(())
}

/// The next connection whose client is still there.
fn skip_closed(listener: &TcpListener) -> std::net::TcpStream {
    loop {
        let stream = listener.accept().unwrap().0;
        stream.set_nonblocking(true).unwrap();
        let gone = stream.peek(&mut [0]).is_ok_and(|length| length == 0);
        stream.set_nonblocking(false).unwrap();
        if !gone {
            return stream;
        }
    }
}
