//! A name server whose answers a test can change while it runs.
//!
//! It speaks UDP on a free port of the loopback. Names it does not know do not exist.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::{RData, Record, RecordType};

/// What is said to a question.
#[derive(Clone, Debug)]
pub(crate) enum Said {
    /// Records of these addresses with a TTL in seconds, in this order; with none, that there are none.
    Addresses(Vec<IpAddr>, u32),
    /// The name does not exist.
    NoSuchName,
    /// The name server cannot say.
    ServFail,
    /// Nothing.
    Silence,
}

/// A running name server.
pub(crate) struct NameServer {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    answers: HashMap<(String, RecordType), Said>,
    asked: HashMap<(String, RecordType), usize>,
    stopped: bool,
}

impl NameServer {
    pub(crate) fn start() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = socket.local_addr().unwrap();
        let state = Arc::<Mutex<State>>::default();
        let thread = std::thread::spawn({
            let state = Arc::clone(&state);
            move || serve(&socket, &state)
        });
        Self {
            address,
            state,
            thread: Some(thread),
        }
    }

    /// As `dns.servers` of the configuration takes it.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Says what a name's questions for one type of record are answered with from here on.
    pub(crate) fn say(&self, name: &str, record: RecordType, said: Said) {
        let key = (name.to_owned(), record);
        lock(&self.state).answers.insert(key, said);
    }

    /// The same for both types of addresses.
    pub(crate) fn say_of_both(&self, name: &str, said: &Said) {
        for record in [RecordType::A, RecordType::AAAA] {
            self.say(name, record, said.clone());
        }
    }

    /// A name's addresses of both families.
    pub(crate) fn set(&self, name: &str, addresses: &[&str], ttl: u32) {
        let ips = addresses.iter().map(|ip| ip.parse().unwrap());
        let (v4, v6) = ips.partition(IpAddr::is_ipv4);
        self.say(name, RecordType::A, Said::Addresses(v4, ttl));
        self.say(name, RecordType::AAAA, Said::Addresses(v6, ttl));
    }

    /// How often a name was asked for so far.
    pub(crate) fn asked(&self, name: &str, record: RecordType) -> usize {
        let key = (name.to_owned(), record);
        lock(&self.state).asked.get(&key).copied().unwrap_or(0)
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        lock(&self.state).stopped = true;
        // Wakes it.
        let waker = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0));
        let _woken = waker.and_then(|socket| socket.send_to(&[], self.address));
        if let Some(thread) = self.thread.take() {
            let _joined = thread.join();
        }
    }
}

fn serve(socket: &UdpSocket, state: &Mutex<State>) {
    let mut packet = [0; 4096];
    loop {
        let Ok((length, peer)) = socket.recv_from(&mut packet) else {
            return;
        };
        if lock(state).stopped {
            return;
        }
        let Ok(query) = Message::from_vec(&packet[..length]) else {
            continue;
        };
        if let Some(answer) = answer(&query, &mut lock(state)) {
            // Whoever asked may be gone.
            let _sent = socket.send_to(&answer.to_vec().unwrap(), peer);
        }
    }
}

fn answer(query: &Message, state: &mut State) -> Option<Message> {
    let question = query.queries.first()?;
    let name = question.name().to_ascii().to_lowercase();
    let key = (name.trim_end_matches('.').to_owned(), question.query_type());
    *state.asked.entry(key.clone()).or_default() += 1;
    let mut answer = Message::response(query.id, query.op_code);
    answer.add_query(question.clone());
    answer.metadata.recursion_desired = true;
    answer.metadata.recursion_available = true;
    match state.answers.get(&key).unwrap_or(&Said::NoSuchName) {
        Said::Addresses(ips, ttl) => {
            let record =
                |ip: &IpAddr| Record::from_rdata(question.name().clone(), *ttl, RData::from(*ip));
            answer.add_answers(ips.iter().map(record));
        }
        Said::NoSuchName => answer.metadata.response_code = ResponseCode::NXDomain,
        Said::ServFail => answer.metadata.response_code = ResponseCode::ServFail,
        Said::Silence => return None,
    }
    Some(answer)
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
