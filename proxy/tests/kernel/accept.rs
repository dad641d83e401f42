//! How long a connection waits to be accepted, against a listener that is late by a known time.

use std::net::TcpStream;
use std::time::Duration;

use holysheep_proxy::kernel::{cookie, now_ns};

use crate::Outcome;
use crate::lab::{self, FAMILIES, Lab, between};

const LATE: [Duration; 3] = [
    Duration::ZERO,
    Duration::from_millis(5),
    Duration::from_millis(50),
];

pub(crate) fn delay(lab: &Lab) -> Outcome {
    for (family, bind, to) in FAMILIES {
        let mut kernel = lab.kernel();
        let accepts = kernel.accepts().unwrap();
        let (listener, address) = lab::listen(bind, to);
        kernel.listens_on(address.port()).unwrap();
        for late in LATE {
            let before = now_ns();
            let client = TcpStream::connect(address).unwrap();
            let connected = now_ns();
            lab::eventually("the kernel has the connection", || accepts.waiting() == 1);
            lab::pass(late);
            let accepted = listener.accept().unwrap().0;
            let now = now_ns();
            let established = accepts.take(cookie(&accepted)).expect("a time");
            let waited = between(established, now);
            // Established during the client's call: this is as exact as it can be told from outside.
            let (least, most) = (between(connected, now), between(before, now));
            println!(
                "  {family:<9} {late:>4?} late: waited {waited:?}, from outside {least:?} to {most:?}"
            );
            assert!(waited <= most && waited + lab::tolerance(least) >= least);
            assert_eq!(accepts.take(cookie(&accepted)), None, "told once");
            drop(client);
        }
        // Connections to other people's ports are not looked at.
        let (other, address) = lab::listen(bind, to);
        let _client = TcpStream::connect(address).unwrap();
        let accepted = other.accept().unwrap().0;
        assert_eq!(
            (accepts.take(cookie(&accepted)), accepts.waiting()),
            (None, 0)
        );
    }
    Ok(())
}
