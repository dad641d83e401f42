//! The clients that are there, one socket each.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, recv, send, socket_with,
    sockopt,
};

use super::{Plan, Shared};
use crate::load;

/// Events looked at together.
const EVENTS: usize = 512;
/// Room for one usual answer, in bytes.
const BUFFER: usize = 16 * 1024;
/// The longest sleep when nothing happens: patience and the rate are looked at again then.
const NAP: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 1_000_000,
};

/// One client.
#[derive(Debug)]
struct Client {
    socket: OwnedFd,
    /// Tells it from those who had its place before.
    number: u32,
    asked: bool,
    /// The answer's status, once its beginning has come.
    status: Option<u16>,
}

/// All of them.
pub(super) struct Crowd<'a> {
    shared: &'a Shared,
    address: SocketAddrV4,
    request: Vec<u8>,
    patience: Duration,
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
    buffer: Box<[u8]>,
    places: Vec<Option<Client>>,
    free: Vec<u32>,
    /// When each loses patience, in order, with its [`token`].
    patient: VecDeque<(Instant, u64)>,
    next: u32,
}

impl<'a> Crowd<'a> {
    pub(super) fn new(plan: Plan, shared: &'a Shared) -> Result<Self> {
        Ok(Self {
            shared,
            address: SocketAddrV4::new(Ipv4Addr::LOCALHOST, plan.port),
            request: load::closing_request(plan.port),
            patience: plan.patience,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(EVENTS),
            buffer: vec![0; BUFFER].into(),
            places: Vec::new(),
            free: Vec::new(),
            patient: VecDeque::new(),
            next: 0,
        })
    }

    /// How many are there.
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// One more begins to connect.
    pub(super) fn come(&mut self, now: Instant) -> Result<()> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)
            .context("no socket for one more client")?;
        add(&self.shared.came);
        match connect(&socket, &self.address) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            // No port is free, say: the bench's fault, not the peer's.
            Err(Errno::ADDRNOTAVAIL) => anyhow::bail!("no port is left for one more client"),
            Err(_) => {
                add(&self.shared.broken);
                return Ok(());
            }
        }
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            (self.places.len() - 1) as u32
        });
        self.next = self.next.wrapping_add(1);
        let token = token(place, self.next);
        let interest = epoll::EventFlags::IN
            | epoll::EventFlags::OUT
            | epoll::EventFlags::RDHUP
            | epoll::EventFlags::ET;
        epoll::add(
            &self.epoll,
            &socket,
            epoll::EventData::new_u64(token),
            interest,
        )?;
        self.places[place as usize] = Some(Client {
            socket,
            number: self.next,
            asked: false,
            status: None,
        });
        self.patient.push_back((now + self.patience, token));
        Ok(())
    }

    /// Those who have waited too long go.
    pub(super) fn lose_patience(&mut self, now: Instant) {
        while let Some((_, token)) = self.patient.pop_front_if(|(end, _)| *end <= now) {
            if let Some(client) = self.client(token) {
                // A reset, as of a program that was ended. An orderly end would keep the port for a minute.
                let _ = sockopt::set_socket_linger(&client.socket, Some(Duration::ZERO));
                add(&self.shared.gave_up);
                self.leave(token);
            }
        }
    }

    /// Looks after those to whom something happened; waits a moment for that unless there is hurry.
    pub(super) fn attend(&mut self, hurry: bool) -> Result<()> {
        self.shared.waiting.store(self.len(), Ordering::Relaxed);
        let timeout = if hurry { Timespec::default() } else { NAP };
        let mut events = std::mem::take(&mut self.events);
        match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in events.drain(..) {
            self.happened(event.data.u64());
        }
        self.events = events;
        Ok(())
    }

    fn happened(&mut self, token: u64) {
        let mut buffer = std::mem::take(&mut self.buffer);
        let request = std::mem::take(&mut self.request);
        // Events that were already fetched when a client left are nobody's.
        let end = self
            .client(token)
            .and_then(|client| client.step(&request, &mut buffer));
        self.buffer = buffer;
        self.request = request;
        if let Some(end) = end {
            add(match end {
                Some(200) => &self.shared.served,
                Some(_) => &self.shared.turned_away,
                None => &self.shared.broken,
            });
            self.leave(token);
        }
    }

    fn client(&mut self, token: u64) -> Option<&mut Client> {
        let client = self.places.get_mut(place(token))?.as_mut()?;
        (client.number == number(token)).then_some(client)
    }

    fn leave(&mut self, token: u64) {
        let place = place(token);
        if self.places[place].take().is_some() {
            self.free.push(place as u32);
        }
    }
}

impl Client {
    /// Does what can be done now; when all is over, the answer's status, if there was one.
    fn step(&mut self, request: &[u8], buffer: &mut [u8]) -> Option<Option<u16>> {
        if !self.asked {
            return match send(&self.socket, request, SendFlags::NOSIGNAL) {
                Ok(_) => {
                    self.asked = true;
                    None
                }
                Err(Errno::AGAIN) => None,
                Err(_) => Some(None),
            };
        }
        loop {
            match recv(&self.socket, &mut *buffer, RecvFlags::empty()) {
                Ok((_, 0)) => return Some(self.status),
                Ok((_, count)) => self.status = self.status.or_else(|| status(&buffer[..count])),
                Err(Errno::AGAIN) => return None,
                Err(_) => return Some(None),
            }
        }
    }
}

/// The status in the first bytes of an answer.
fn status(beginning: &[u8]) -> Option<u16> {
    let digits = beginning.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// A client's place and number, in one word.
fn token(place: u32, number: u32) -> u64 {
    u64::from(number) << 32 | u64::from(place)
}

fn place(token: u64) -> usize {
    (token & u64::from(u32::MAX)) as usize
}

fn number(token: u64) -> u32 {
    (token >> 32) as u32
}

fn add(counter: &AtomicU64) {
    // Only this thread writes.
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_holds_place_and_number() {
        let token = token(7, u32::MAX);
        assert_eq!((place(token), number(token)), (7, u32::MAX));
    }

    #[test]
    fn the_status_is_in_the_first_bytes() {
        assert_eq!(status(b"HTTP/1.1 503 Service Unavailable\r\n"), Some(503));
        assert_eq!(status(b"HTTP/1.1 2"), None);
        assert_eq!(status(b"220 mail ready"), None);
    }
}
