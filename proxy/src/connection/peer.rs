//! A client's address and its text, made once a connection.

use std::fmt;
use std::io::Write;
use std::net::IpAddr;

/// Room for the longest address.
const LONGEST: usize = 39;

/// Who is at the other end of a client connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    text: [u8; LONGEST],
    len: u8,
}

impl Peer {
    /// The peer at an address; an IPv4 client of a dual-stack listener is an
    /// IPv4 client.
    pub fn new(ip: IpAddr) -> Self {
        let mut text = [0; LONGEST];
        let mut rest = &mut text[..];
        // The longest address fits.
        let _ = write!(rest, "{}", ip.to_canonical());
        #[expect(clippy::cast_possible_truncation, reason = "at most 39")]
        let len = (LONGEST - rest.len()) as u8;
        Self { text, len }
    }

    /// The address as text, without a zone.
    pub fn text(&self) -> &[u8] {
        self.text.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(self.text()).unwrap_or_default())
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_fits() {
        for (given, shown) in [
            ("127.0.0.1", "127.0.0.1"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            (
                "1111:2222:3333:4444:5555:6666:7777:8888",
                "1111:2222:3333:4444:5555:6666:7777:8888",
            ),
        ] {
            assert_eq!(Peer::new(given.parse().unwrap()).to_string(), shown);
        }
    }
}
