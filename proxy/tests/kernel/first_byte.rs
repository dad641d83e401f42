//! From a request's first byte to its response's, against the times both ends note themselves.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use holysheep_proxy::kernel::{FlowTable, Sent, now_ns};

use crate::Outcome;
use crate::lab::{self, FAMILIES, Lab, between};

/// What a server took down of an exchange.
pub(crate) struct Served {
    /// When it had the request.
    pub(crate) read_ns: u64,
    /// When it was about to answer.
    pub(crate) answer_ns: u64,
}

/// What came of an exchange, for the client.
pub(crate) struct Exchange {
    /// Just before and after the request was written.
    pub(crate) sent: Sent,
    /// Right after the response's first byte was read.
    pub(crate) read_ns: u64,
}

/// Compares what the kernel told with what both ends noted.
pub(crate) fn check(
    name: &str,
    ours: holysheep_proxy::kernel::Timeline,
    client: &Exchange,
    server: &Served,
) {
    let Sent {
        before_ns,
        after_ns,
    } = client.sent;
    let lag = ours.wakeup_lag.expect("a lag");
    let least = between(after_ns.min(server.read_ns), server.answer_ns);
    let most = between(before_ns, client.read_ns);
    let Some(first_byte) = ours.first_byte else {
        let write = between(before_ns, after_ns);
        println!("  {name}: first byte unknown, as the write took {write:?}");
        assert!(
            write / 2 > Duration::from_micros(50) + least / 100,
            "{write:?}"
        );
        return;
    };
    println!(
        "  {name}: first byte {first_byte:?}, from outside {least:?} to {most:?}; read {lag:?} later"
    );
    assert!(least <= first_byte + lab::tolerance(least) && first_byte <= most);
    // Both together are what the client saw, but for the way from its call into the kernel.
    assert!(lag <= between(server.answer_ns, client.read_ns));
    assert!(first_byte + lag <= most);
}

/// Answers each request of one byte with `answers[i]`, after `delays[i]`.
fn serve(listener: TcpListener, delays: Vec<Duration>, answer: usize) -> Receiver<Served> {
    let (send, receive) = channel();
    std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        stream.set_nodelay(true).unwrap();
        for delay in delays {
            stream.read_exact(&mut [0]).unwrap();
            let read_ns = now_ns();
            lab::pass(delay);
            let answer_ns = now_ns();
            stream.write_all(&vec![7; answer]).unwrap();
            send.send(Served { read_ns, answer_ns }).unwrap();
        }
    });
    receive
}

fn exchange(
    flows: &FlowTable,
    cookie: u64,
    stream: &mut std::net::TcpStream,
    answer: usize,
) -> Exchange {
    flows.begin(cookie);
    let before_ns = now_ns();
    stream.write_all(b"r").unwrap();
    let after_ns = now_ns();
    stream.read_exact(&mut [0]).unwrap();
    let read_ns = now_ns();
    stream.read_exact(&mut vec![0; answer - 1]).unwrap();
    Exchange {
        sent: Sent {
            before_ns,
            after_ns,
        },
        read_ns,
    }
}

pub(crate) fn plain(lab: &Lab) -> Outcome {
    for (family, bind, to) in FAMILIES {
        let kernel = lab.kernel();
        let flows = kernel.flows().unwrap();
        let (listener, address) = lab::listen(bind, to);
        let served = serve(listener, vec![Duration::from_millis(20)], 1);
        let (mut stream, cookie) = lab::connect(&flows, address, 0);
        let client = exchange(&flows, cookie, &mut stream, 1);
        let ours = flows.timeline(cookie, Some(client.sent), 0, client.read_ns);
        check(family, ours, &client, &served.recv().unwrap());
        assert_eq!(ours.retransmits, Some(0));
        let unread = flows
            .timeline(cookie, Some(client.sent), 1, client.read_ns)
            .first_byte;
        assert_eq!(unread, None, "nothing is known of a byte that has not come");
    }
    Ok(())
}

pub(crate) fn kept_alive(lab: &Lab) -> Outcome {
    let kernel = lab.kernel();
    let flows = kernel.flows().unwrap();
    let (listener, address) = lab::listen("127.0.0.1:0", "127.0.0.1");
    // Long answers: more packets than are remembered, of which none may be taken for the next request's.
    let answer = 300_000;
    let delays = [10, 0, 30, 1].map(Duration::from_millis);
    let served = serve(listener, delays.to_vec(), answer);
    let (mut stream, cookie) = lab::connect(&flows, address, 0);
    for (number, delay) in delays.iter().enumerate() {
        // A connection that has been idle is as good as a fresh one.
        lab::pass(Duration::from_millis(15));
        let client = exchange(&flows, cookie, &mut stream, answer);
        let ours = flows.timeline(
            cookie,
            Some(client.sent),
            (number * answer) as u64,
            client.read_ns,
        );
        check(
            &format!("request {number}, {delay:?}"),
            ours,
            &client,
            &served.recv().unwrap(),
        );
        let late = flows.timeline(
            cookie,
            Some(client.sent),
            ((number + 1) * answer - 1) as u64,
            now_ns(),
        );
        assert_eq!(
            late.first_byte, None,
            "the last of many packets is not remembered"
        );
    }
    assert_eq!(flows.beyond(), delays.len() as u64);
    // A request that is begun and not sent is unknown.
    flows.begin(cookie);
    let unsent = flows.timeline(cookie, None, 0, now_ns());
    assert_eq!((unsent.first_byte, unsent.wakeup_lag), (None, None));
    Ok(())
}
