//! The table of clients that keys are looked up in. Made from a file, and never changed: a bad key leaves nothing behind.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use super::key::{KeyId, NoRandomness, Presented, Salted};
use super::{Client, KeyFacts, Standing};
use crate::error::ProxyError;
use crate::metrics::ClientCounts;

/// Clients that are not in the file any more and are still counted.
const MAX_GONE: usize = 1_000;

/// All clients.
#[derive(Debug)]
pub struct Clients {
    all: Box<[Client]>,
    keys: HashMap<KeyId, (Place, Salted)>,
    /// What a key is compared with that is not in the table.
    decoy: Salted,
    /// What clients have asked that were there before, and are no more.
    gone: Vec<Gone>,
    workers: usize,
}

/// Where a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The position of its client.
    pub client: usize,
    /// Its position among that client's.
    pub key: usize,
}

/// A client of a table before this one: its name, and its counters.
type Gone = (Box<str>, Arc<ClientCounts>);

/// A client as a file has it, with its keys.
#[derive(Debug)]
pub struct Entry {
    /// It, without counters that have counted anything.
    pub client: Client,
    /// In the order of [`Client::keys`].
    pub keys: Vec<Salted>,
}

impl Clients {
    /// Nobody, for so many workers.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub fn none(workers: usize) -> Result<Self, NoRandomness> {
        Ok(Self {
            all: Box::default(),
            keys: HashMap::new(),
            decoy: Salted::decoy()?,
            gone: Vec::new(),
            workers,
        })
    }

    /// A table of these clients instead. Counters go on for those of the same name.
    #[must_use]
    pub fn replaced_by(&self, entries: Vec<Entry>) -> Self {
        let mut before: HashMap<&str, &Arc<ClientCounts>> = self.counts().collect();
        let (mut all, mut keys) = (Vec::new(), HashMap::new());
        for (number, entry) in entries.into_iter().enumerate() {
            let Entry {
                mut client,
                keys: kept,
            } = entry;
            client.counts = self.go_on(before.remove(&*client.name));
            for (facts, (key, kept)) in client.keys.iter_mut().zip(kept.into_iter().enumerate()) {
                facts.counts = self.go_on(self.key(facts.id).map(|facts| &facts.counts));
                let place = Place {
                    client: number,
                    key,
                };
                keys.insert(facts.id, (place, kept));
            }
            all.push(client);
        }
        let gone = before.into_iter();
        let gone = gone.map(|(name, counts)| (name.into(), Arc::clone(counts)));
        Self {
            all: all.into(),
            keys,
            decoy: self.decoy.clone(),
            gone: gone.take(MAX_GONE).collect(),
            workers: self.workers,
        }
    }

    /// Counters that go on, or new ones.
    fn go_on(&self, before: Option<&Arc<ClientCounts>>) -> Arc<ClientCounts> {
        let new = || Arc::new(ClientCounts::new(self.workers));
        before.map_or_else(new, Arc::clone)
    }

    fn key(&self, id: KeyId) -> Option<&KeyFacts> {
        let (place, _) = self.keys.get(&id)?;
        self.all.get(place.client)?.keys.get(place.key)
    }

    /// All of them, in the order of the file.
    pub fn all(&self) -> &[Client] {
        &self.all
    }

    /// The names of these and of those before them, with what they have asked.
    pub fn counts(&self) -> impl Iterator<Item = (&str, &Arc<ClientCounts>)> {
        let all = self.all.iter();
        let all = all.map(|client| (&*client.name, &client.counts));
        all.chain(self.gone.iter().map(|(name, counts)| (&**name, counts)))
    }

    /// The client at a position, which is one of this table.
    pub(super) fn at(&self, position: usize) -> &Client {
        &self.all[position]
    }

    /// Where a key stands.
    ///
    /// # Errors
    /// [`ProxyError::InvalidApiKey`] unless it is one of these keys; only then, if its client is refused, why.
    pub fn find(&self, text: &[u8]) -> Result<Place, ProxyError> {
        self.find_by(text, Salted::matches)
    }

    /// How long this takes must not tell how near a guess is. Which id a text has is no secret, and the look-up is by the
    /// id alone. Then every key is hashed once with some salt, and all 32 bytes are compared with some hash: those of the
    /// id or, where it is not known, the decoy's. Only after that are the ways different, for one who has the right key.
    fn find_by(
        &self,
        text: &[u8],
        matches: impl Fn(&Salted, &Presented<'_>) -> bool,
    ) -> Result<Place, ProxyError> {
        let presented = Presented::new(text).ok_or(ProxyError::InvalidApiKey)?;
        let known = self.keys.get(&presented.id());
        let kept = known.map_or(&self.decoy, |(_, kept)| kept);
        let is_right = matches(kept, &presented);
        let place = known.map(|(place, _)| *place).filter(|_| is_right);
        let place = place.ok_or(ProxyError::InvalidApiKey)?;
        let client = self.at(place.client);
        let refusal = match client.standing(SystemTime::now) {
            Standing::Good => return Ok(place),
            Standing::Expired => ProxyError::ClientExpired,
            Standing::Disabled => ProxyError::ClientDisabled,
        };
        tracing::debug!(client = &*client.name, key = %presented.id(), "refused: {refusal}");
        Err(refusal)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;
    use std::time::Duration;

    use zeroize::Zeroizing;

    use super::*;
    use crate::clients::{Known, Routes, Table, key};
    use crate::config::{ClientLimits, ClientLimitsFile};
    use crate::limits::Quotas;

    fn entry(name: &str, change: impl FnOnce(&mut Client)) -> (Entry, Zeroizing<String>) {
        let text = key::make().unwrap();
        let presented = Presented::new(text.as_bytes()).unwrap();
        let facts = KeyFacts {
            id: presented.id(),
            created: None,
            counts: Arc::default(),
        };
        let mut client = Client {
            name: name.into(),
            keys: [facts].into(),
            models: None,
            routes: Routes::ALL,
            expires: None,
            disabled: false,
            limits: ClientLimitsFile::default(),
            counts: Arc::default(),
        };
        change(&mut client);
        let keys = vec![Salted::of(&presented).unwrap()];
        (Entry { client, keys }, text)
    }

    fn table(entries: Vec<Entry>) -> Clients {
        Clients::none(1).unwrap().replaced_by(entries)
    }

    /// The position of the client that a key belongs to.
    fn client_of(clients: &Clients, key: &str) -> Result<usize, ProxyError> {
        clients.find(key.as_bytes()).map(|place| place.client)
    }

    /// The same id with another secret.
    fn with_another_secret(text: &str) -> String {
        let other = key::make().unwrap();
        let behind = key::PREFIX.len() + key::ID;
        format!("{}{}", &text[..behind], &other[behind..])
    }

    #[test]
    fn a_key_leads_to_its_client_and_a_wrong_one_to_nobody() {
        let (one, first) = entry("one", |_| {});
        let (two, second) = entry("two", |_| {});
        let clients = table(vec![one, two]);
        assert_eq!(client_of(&clients, &first), Ok(0));
        assert_eq!(client_of(&clients, &second), Ok(1));
        let stranger = key::make().unwrap();
        let near = format!("{}{}", &first[..first.len() - 1], "!");
        let wrong = with_another_secret(&first);
        for text in [&**stranger, &near, &wrong, "", "hs-", "cr_1"] {
            let refusal = clients.find(text.as_bytes());
            assert_eq!(refusal, Err(ProxyError::InvalidApiKey), "{text}");
        }
    }

    #[test]
    fn the_same_work_is_done_for_every_text_that_looks_like_a_key() {
        let past = SystemTime::now() - Duration::from_secs(1);
        let (good, right) = entry("good", |_| {});
        let (old, expired) = entry("old", |client| client.expires = Some(past));
        let clients = table(vec![good, old]);
        let unknown = key::make().unwrap();
        let wrong = with_another_secret(&right);
        let compared = |text: &str| {
            let (calls, decoys) = (Cell::new(0), Cell::new(0));
            let found = clients.find_by(text.as_bytes(), |kept, presented| {
                calls.set(calls.get() + 1);
                decoys.set(decoys.get() + u32::from(std::ptr::eq(kept, &raw const clients.decoy)));
                kept.matches(presented)
            });
            (calls.get(), decoys.get(), found.is_ok())
        };
        assert_eq!(compared(&right), (1, 0, true));
        assert_eq!(compared(&wrong), (1, 0, false));
        assert_eq!(compared(&unknown), (1, 1, false));
        assert_eq!(compared(&expired), (1, 0, false));
        // Even if the decoy's hash were met, nobody is behind it.
        let met = clients.find_by(unknown.as_bytes(), |_, _| true);
        assert_eq!(met, Err(ProxyError::InvalidApiKey));
    }

    #[test]
    fn only_the_right_key_learns_why_its_client_is_refused() {
        let now = SystemTime::now();
        let (old, expired) = entry("old", |client| client.expires = Some(now));
        let (off, disabled) = entry("off", |client| client.disabled = true);
        let later = Some(now + Duration::from_secs(3600));
        let (new, good) = entry("new", |client| client.expires = later);
        let clients = table(vec![old, off, new]);
        assert_eq!(
            clients.find(expired.as_bytes()),
            Err(ProxyError::ClientExpired)
        );
        assert_eq!(
            clients.find(disabled.as_bytes()),
            Err(ProxyError::ClientDisabled)
        );
        assert_eq!(client_of(&clients, &good), Ok(2));
        for text in [&*expired, &*disabled] {
            let refusal = clients.find(with_another_secret(text).as_bytes());
            assert_eq!(refusal, Err(ProxyError::InvalidApiKey));
        }
    }

    #[test]
    fn what_was_counted_stays_with_the_name() {
        let count = |clients: &Clients, name: &str| {
            let mut counts = clients.counts().filter(|(found, _)| *found == name);
            let sum = counts.next().map(|(_, counts)| counts.sum());
            assert!(counts.next().is_none(), "{name} is there twice");
            sum
        };
        let first = table(vec![entry("a", |_| {}).0, entry("b", |_| {}).0]);
        for client in first.all() {
            client.counts.of(0).unwrap().count(200);
        }
        let second = first.replaced_by(vec![entry("c", |_| {}).0, entry("b", |_| {}).0]);
        second.at(1).counts.of(0).unwrap().count(200);
        assert_eq!(count(&second, "b"), Some(2));
        assert_eq!(
            count(&second, "a"),
            Some(1),
            "it is gone, its requests are not"
        );
        assert_eq!(count(&second, "c"), Some(0));
        let third = second.replaced_by(vec![entry("a", |_| {}).0]);
        assert_eq!(count(&third, "a"), Some(1));
        assert_eq!(count(&third, "b"), Some(2));
    }

    #[test]
    fn what_was_asked_with_a_key_is_known_as_long_as_the_key() {
        let (mut both, _) = entry("a", |_| {});
        let (other, text) = entry("a", |_| {});
        both.client.keys = both
            .client
            .keys
            .into_iter()
            .chain(other.client.keys)
            .collect();
        both.keys.extend(other.keys);
        let alone = |clients: &Clients| {
            let (mut entry, _) = entry("b", |_| {});
            entry.client.keys[0].id = clients.all()[0].keys[1].id;
            entry
        };
        let first = Arc::new(table(vec![both]));
        let place = first.find(text.as_bytes()).unwrap();
        let nothing = (&ClientLimits::default(), &Quotas::new(None, "process"));
        let workers = Table::new(Arc::clone(&first), nothing.0, nothing.1);
        Known::new(Rc::new(workers), place).count(0, 200);
        let asked = |clients: &Clients| {
            let keys = clients.all()[0].keys.iter();
            keys.map(|key| key.counts.sum()).collect::<Vec<_>>()
        };
        assert_eq!(asked(&first), [0, 1]);
        assert_eq!(first.all()[0].counts.sum(), 1);
        let second = first.replaced_by(vec![alone(&first)]);
        assert_eq!(asked(&second), [1]);
        assert_eq!(
            second.all()[0].counts.sum(),
            0,
            "the key is another client's now"
        );
    }
}
