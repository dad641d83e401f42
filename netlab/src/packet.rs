//! What the lab needs to know of a packet: the TCP segment in it, if there is one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// TCP's protocol number.
const TCP: u8 = 6;

/// A TCP segment as it passed, RFC 9293.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where it comes from.
    pub source: SocketAddr,
    /// Where it goes.
    pub destination: SocketAddr,
    /// Sequence number of the first byte of data.
    pub sequence: u32,
    /// Acknowledgment number.
    pub acknowledgment: u32,
    /// The control bits.
    pub flags: Flags,
    /// Bytes of data.
    pub data: u32,
}

/// TCP's control bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(u8);

impl Flags {
    /// No more data from the sender.
    #[must_use]
    pub fn fin(self) -> bool {
        self.0 & 0x01 != 0
    }

    /// Synchronises sequence numbers: the first segment of each side.
    #[must_use]
    pub fn syn(self) -> bool {
        self.0 & 0x02 != 0
    }

    /// Resets the connection.
    #[must_use]
    pub fn rst(self) -> bool {
        self.0 & 0x04 != 0
    }

    /// The acknowledgment number counts.
    #[must_use]
    pub fn ack(self) -> bool {
        self.0 & 0x10 != 0
    }
}

impl Segment {
    /// The segment in an IP packet; nothing for other protocols, fragments and IPv6 extension headers.
    #[must_use]
    pub fn parse(packet: &[u8]) -> Option<Self> {
        let (source, destination, tcp) = match packet.first()? >> 4 {
            4 => ipv4(packet)?,
            6 => ipv6(packet)?,
            _ => return None,
        };
        let header = usize::from(tcp.get(12)? >> 4) * 4;
        let data = tcp.get(header..)?.len();
        Some(Self {
            source: SocketAddr::new(source, u16::from_be_bytes(array(tcp, 0)?)),
            destination: SocketAddr::new(destination, u16::from_be_bytes(array(tcp, 2)?)),
            sequence: u32::from_be_bytes(array(tcp, 4)?),
            acknowledgment: u32::from_be_bytes(array(tcp, 8)?),
            flags: Flags(*tcp.get(13)?),
            data: u32::try_from(data).ok()?,
        })
    }

    /// The sequence number after its data.
    #[must_use]
    pub fn end(&self) -> u32 {
        self.sequence.wrapping_add(self.data)
    }
}

fn ipv4(packet: &[u8]) -> Option<(IpAddr, IpAddr, &[u8])> {
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let length = usize::from(u16::from_be_bytes(array(packet, 2)?));
    // More fragments to come, or not the first one: the ports are not in all of them.
    let fragment = u16::from_be_bytes(array(packet, 6)?) & 0x3fff;
    if *packet.get(9)? != TCP || fragment != 0 {
        return None;
    }
    let source = Ipv4Addr::from(array::<4>(packet, 12)?);
    let destination = Ipv4Addr::from(array::<4>(packet, 16)?);
    Some((
        source.into(),
        destination.into(),
        packet.get(header..length)?,
    ))
}

fn ipv6(packet: &[u8]) -> Option<(IpAddr, IpAddr, &[u8])> {
    let length = usize::from(u16::from_be_bytes(array(packet, 4)?));
    if *packet.get(6)? != TCP {
        return None;
    }
    let source = Ipv6Addr::from(array::<16>(packet, 8)?);
    let destination = Ipv6Addr::from(array::<16>(packet, 24)?);
    Some((
        source.into(),
        destination.into(),
        packet.get(40..40 + length)?,
    ))
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

/// A SYN, or no flag at all.
#[cfg(test)]
pub(crate) fn syn(yes: bool) -> Flags {
    Flags(if yes { 0x02 } else { 0 })
}

#[cfg(test)]
mod tests;
