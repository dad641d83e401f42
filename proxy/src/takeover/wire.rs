//! What goes over the Unix socket: one byte a message, with a descriptor where it names a listening socket.
//!
//! A stream keeps bytes with different descriptors apart, so reading byte by byte gives each descriptor to its byte.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// The first byte, so that another program, or another form of this, is noticed.
pub(super) const VERSION: u8 = b'1';
/// There are no more sockets.
pub(super) const END: u8 = b'.';
/// The new process accepts.
pub(super) const READY: u8 = b'r';
/// The old one has stopped to.
pub(super) const DONE: u8 = b'k';

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// The data port.
    Data = b'd',
    /// The TLS data port.
    Tls = b't',
    /// The admin port.
    Admin = b'a',
    /// The port for probes.
    Probe = b'p',
    /// Where the kernel steers probes.
    Steered = b's',
}

/// Listening sockets, each with what it is for.
pub type Sockets = Vec<(Kind, TcpListener)>;

impl Kind {
    pub(super) fn of(byte: u8) -> Option<Self> {
        use Kind::{Admin, Data, Probe, Steered, Tls};
        let mut all = [Data, Tls, Admin, Probe, Steered].into_iter();
        all.find(|kind| *kind as u8 == byte)
    }
}

/// Sends a byte, with a socket if it stands for one.
///
/// # Errors
/// The system's.
pub(super) fn send(
    stream: BorrowedFd<'_>,
    byte: u8,
    socket: Option<&TcpListener>,
) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = socket.map(|socket| [socket.as_fd()]);
    if let Some(descriptors) = &descriptors {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    let byte = [byte];
    sendmsg(
        stream,
        &[IoSlice::new(&byte)],
        &mut control,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

/// Receives a byte and the socket that came with it; `None` at the end.
///
/// # Errors
/// The system's.
pub(super) fn receive(stream: BorrowedFd<'_>) -> io::Result<Option<(u8, Option<TcpListener>)>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = recvmsg(
        stream,
        &mut [IoSliceMut::new(&mut byte)],
        &mut control,
        flags,
    )?;
    if received.bytes == 0 {
        return Ok(None);
    }
    let mut socket = None;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(mut descriptors) = message {
            socket = descriptors.next().map(TcpListener::from);
        }
    }
    Ok(Some((byte[0], socket)))
}
