//! The clients' part of `/status`: what people may know of them. Neither keys nor what they are told by.

use std::time::SystemTime;

use serde::Serialize;

use crate::clients::follow::Book;
use crate::clients::{Client, KeyFacts};

/// The file of clients, and who is in it.
#[derive(Debug, Serialize)]
pub struct ClientsStatus {
    /// Where it is.
    pub file: String,
    /// When what is in force was read.
    pub read: String,
    /// Why the file as it is now cannot be used; what was read before stays in force.
    pub error: Option<String>,
    /// All of them.
    pub clients: Vec<ClientStatus>,
}

/// A client.
#[derive(Debug, Serialize)]
pub struct ClientStatus {
    /// Its name.
    pub name: String,
    /// `active`, `expired` or `disabled`.
    pub state: &'static str,
    /// Until when it is let in, if that has an end.
    pub expires: Option<String>,
    /// Its keys.
    pub keys: Vec<KeyStatus>,
    /// The models it may ask for; `null`: all.
    pub models: Option<Vec<String>>,
    /// The routes it may use; `null`: all.
    pub routes: Option<Vec<&'static str>>,
    /// Requests since the start.
    pub requests: u64,
}

/// A key of a client.
#[derive(Debug, Serialize)]
pub struct KeyStatus {
    /// What it is called, in the file and in log lines about it.
    pub id: String,
    /// When it was made.
    pub created: Option<String>,
    /// Requests with it since the start.
    pub requests: u64,
}

impl ClientsStatus {
    pub(super) fn of(book: &Book) -> Self {
        let state = book.state.load();
        let now = SystemTime::now();
        let clients = book.clients.load();
        let clients = clients
            .all()
            .iter()
            .map(|client| ClientStatus::of(client, now));
        Self {
            file: book.path.display().to_string(),
            read: humantime::format_rfc3339_seconds(state.read).to_string(),
            error: state.error.clone(),
            clients: clients.collect(),
        }
    }

    /// For the status page.
    pub(super) fn file_in_words(&self) -> String {
        let words = format!("{} (read {})", self.file, self.read);
        match &self.error {
            Some(error) => format!("{words}; as it is now: {error}"),
            None => words,
        }
    }
}

impl ClientStatus {
    fn of(client: &Client, now: SystemTime) -> Self {
        let key = |facts: &KeyFacts| KeyStatus {
            id: facts.id.to_string(),
            created: facts.created.as_deref().map(str::to_owned),
            requests: facts.counts.sum(),
        };
        let models = client.models.as_deref();
        let expires = client.expires.map(humantime::format_rfc3339_seconds);
        Self {
            name: client.name.to_string(),
            state: client.standing(|| now).as_str(),
            expires: expires.map(|end| end.to_string()),
            keys: client.keys.iter().map(key).collect(),
            models: models.map(|models| models.iter().map(ToString::to_string).collect()),
            routes: client.routes.templates(),
            requests: client.counts.sum(),
        }
    }

    /// For the status page.
    pub(super) fn in_words(&self) -> String {
        let mut words = format!("{}, {} requests", self.state, self.requests);
        if let Some(expires) = &self.expires {
            words.push_str(&format!(", until {expires}"));
        }
        let keys = self.keys.iter();
        let keys = keys.map(|key| format!("{} ({})", key.id, key.requests));
        let keys: Vec<_> = keys.collect();
        words.push_str(&format!(", keys: {}", keys.join(" ")));
        if let Some(models) = &self.models {
            words.push_str(&format!(", models: {}", models.join(" ")));
        }
        if let Some(routes) = &self.routes {
            words.push_str(&format!(", routes: {}", routes.join(" ")));
        }
        words
    }
}
