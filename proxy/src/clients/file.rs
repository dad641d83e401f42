//! The file of clients as it is written (a mounted Secret), and what it becomes.
//!
//! Read by [`super::follow`] and written by [`super::edit`]. No message about it has a hash, a salt or a key in it, also
//! not one that was put into the wrong place.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Deserialize;

use super::key::{KeyId, Salted};
use super::pattern::Pattern;
use super::table::Entry;
use super::{ANONYMOUS, Client, KeyFacts, Routes};
use crate::config::{ClientLimitsFile, ConfigError, Problem, document, tree};
use crate::route::ROUTES;

/// More clients than anybody has: each has series in `/metrics`.
const MAX_CLIENTS: usize = 10_000;
/// Longest name.
const MAX_NAME: usize = 64;

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientsFile {
    /// All clients.
    pub clients: Vec<ClientFile>,
}

/// A client.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientFile {
    /// See [`Client::name`].
    pub name: String,
    /// Its keys; several so that one can be replaced without a gap.
    pub keys: Vec<KeyFile>,
    /// See [`Client::models`].
    pub models: Option<Vec<String>>,
    /// Paths of the table of routes; without them all.
    pub routes: Option<Vec<String>>,
    /// See [`Client::expires`].
    pub expires: Option<String>,
    /// See [`Client::disabled`].
    #[serde(default)]
    pub disabled: bool,
    /// See [`Client::limits`].
    #[serde(default)]
    pub limits: ClientLimitsFile,
}

/// A key of a client.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyFile {
    /// What it is called.
    pub id: String,
    /// 32 hexadecimal digits.
    pub salt: String,
    /// 64 hexadecimal digits: SHA-256 of the salt and the whole key.
    pub hash: String,
    /// For people.
    pub created: Option<String>,
}

impl std::fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyFile")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Why there are no clients.
#[derive(Debug, thiserror::Error)]
pub enum ClientsError {
    /// The file could not be read.
    #[error("the file of clients {path} cannot be read: {reason}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// It is not what it should be.
    #[error("the file of clients {path} cannot be used\n{message}")]
    Content {
        /// The file.
        path: PathBuf,
        /// Where and why, a reason a line.
        message: String,
    },
    /// The system has no random numbers.
    #[error(transparent)]
    NoRandomness(#[from] super::key::NoRandomness),
}

/// Reads the text of a file.
///
/// # Errors
/// If it cannot be read.
pub fn read(path: &Path) -> Result<String, ClientsError> {
    std::fs::read_to_string(path).map_err(|reason| ClientsError::Read {
        path: path.to_owned(),
        reason,
    })
}

/// What the text of the file at `path` says.
///
/// # Errors
/// If it is not what it should be: all that is wrong with it, by the paths of fields.
pub fn entries(path: &Path, text: &str) -> Result<Vec<Entry>, ClientsError> {
    let built = match text.trim().is_empty() {
        true => Err(ConfigError::invalid(vec![Problem {
            field: "clients".into(),
            message: EMPTY.to_owned(),
        }])),
        false => document::build(path, text, |file| {
            checked(&file).map_err(ConfigError::invalid)
        }),
    };
    built.map_err(|error| ClientsError::Content {
        path: path.to_owned(),
        message: error.to_string(),
    })
}

/// What was cut off by mistake must not lock everybody out.
const EMPTY: &str = "missing, the file is empty; expected `clients:` and a list, which may be []";

/// What the text of a file says, if it fits; [`entries`] says what does not.
pub fn parse(text: &str) -> Option<ClientsFile> {
    let reading = tree::read(text).ok().filter(|_| !text.trim().is_empty())?;
    reading.value.filter(|_| reading.misfits.is_empty())
}

/// Checks what was written.
fn checked(file: &ClientsFile) -> Result<Vec<Entry>, Vec<Problem>> {
    let mut check = Check::default();
    if file.clients.len() > MAX_CLIENTS {
        check.fail("clients", &format!("are more than {MAX_CLIENTS}"));
    }
    let clients = file.clients.iter().enumerate();
    let clients = clients.map(|(index, client)| check.client(&format!("clients[{index}]"), client));
    let entries: Vec<_> = clients.collect();
    match check.problems.is_empty() {
        true => Ok(entries),
        false => Err(check.problems),
    }
}

/// What is wrong, and what must not be there twice.
#[derive(Default)]
struct Check {
    problems: Vec<Problem>,
    names: BTreeSet<String>,
    ids: BTreeSet<KeyId>,
}

impl Check {
    fn fail(&mut self, field: &str, message: &str) {
        self.problems.push(Problem {
            field: field.to_owned().into(),
            message: message.to_owned(),
        });
    }

    fn client(&mut self, path: &str, given: &ClientFile) -> Entry {
        let at = |field: &str| format!("{path}.{field}");
        if let Err(reason) = name(&given.name) {
            self.fail(&at("name"), reason);
        } else if !self.names.insert(given.name.clone()) {
            self.fail(&at("name"), "is that of another client, too");
        }
        let keys = given.keys.iter().enumerate();
        let keys = keys.filter_map(|(index, key)| self.key(&format!("{path}.keys[{index}]"), key));
        let (facts, keys): (Vec<_>, Vec<_>) = keys.collect();
        let models = given.models.as_ref().map(|models| {
            let models = models.iter().enumerate();
            let models = models.filter_map(|(index, model)| {
                let pattern = Pattern::new(model);
                let field = format!("{path}.models[{index}]");
                pattern.map_err(|reason| self.fail(&field, reason)).ok()
            });
            models.collect()
        });
        let routes = match &given.routes {
            None => Routes::ALL,
            Some(paths) => self.routes(path, paths),
        };
        let expires = given.expires.as_deref().and_then(|text| {
            let moment = moment(text);
            moment
                .map_err(|reason| self.fail(&at("expires"), reason))
                .ok()
        });
        given.limits.check(&at("limits"), &mut self.problems);
        let client = Client {
            name: given.name.as_str().into(),
            keys: facts.into(),
            models,
            routes,
            expires,
            disabled: given.disabled,
            limits: given.limits,
            counts: Arc::default(),
        };
        Entry { client, keys }
    }

    fn key(&mut self, path: &str, given: &KeyFile) -> Option<(KeyFacts, Salted)> {
        let at = |field: &str| format!("{path}.{field}");
        let id = KeyId::new(given.id.as_bytes());
        match id {
            None => self.fail(&at("id"), "is no id; expected 12 letters and digits"),
            Some(id) if !self.ids.insert(id) => {
                self.fail(&at("id"), "is that of another key, too");
            }
            Some(_) => {}
        }
        let (salt, hash) = Salted::from_hex(&given.salt, &given.hash);
        if salt.is_none() {
            self.fail(&at("salt"), "is no salt; expected 32 hexadecimal digits");
        }
        if hash.is_none() {
            self.fail(&at("hash"), "is no hash; expected 64 hexadecimal digits");
        }
        if let Some(Err(reason)) = given.created.as_deref().map(moment) {
            self.fail(&at("created"), reason);
        }
        let facts = KeyFacts {
            id: id?,
            created: given.created.as_deref().map(Into::into),
            counts: Arc::default(),
        };
        Some((facts, Salted::new(salt?, hash?)))
    }

    fn routes(&mut self, path: &str, given: &[String]) -> Routes {
        let mut routes = Routes::NONE;
        for (index, template) in given.iter().enumerate() {
            match routes.with(template) {
                Some(more) => routes = more,
                None => {
                    let known: Vec<_> = ROUTES.iter().map(|route| route.template).collect();
                    let message = format!(
                        "there is no such route; expected one of {}",
                        known.join(", ")
                    );
                    self.fail(&format!("{path}.routes[{index}]"), &message);
                }
            }
        }
        routes
    }
}

/// Whether a client can be called so.
///
/// # Errors
/// What was expected.
pub fn name(text: &str) -> Result<(), &'static str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._@-".contains(&byte);
    if text.is_empty() || text.len() > MAX_NAME || !text.bytes().all(is_plain) {
        return Err("is no name; expected at most 64 letters, digits, and . _ @ -");
    }
    if text == ANONYMOUS {
        return Err("is what requests without a client are called; expected another");
    }
    Ok(())
}

/// A moment as people write it. A day means its end, as on a ticket.
///
/// # Errors
/// What was expected.
pub fn moment(text: &str) -> Result<SystemTime, &'static str> {
    const DATE: usize = "2027-01-31".len();
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    /// The year 10000, which cannot be written in this form.
    const TOO_LATE: Duration = Duration::from_secs(253_402_300_800);
    let moment = match text.len() {
        DATE => humantime::parse_rfc3339(&format!("{text}T00:00:00Z")).map(|start| start + DAY),
        _ => humantime::parse_rfc3339(text),
    };
    let moment = moment
        .ok()
        .filter(|moment| *moment < SystemTime::UNIX_EPOCH + TOO_LATE);
    moment.ok_or("is no date; expected such as 2027-01-31, or 2027-01-31T12:00:00Z in UTC")
}

#[cfg(test)]
mod tests;
