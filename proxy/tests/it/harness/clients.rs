//! Clients with keys, and the file they stand in.

use holysheep_proxy::clients::key::{self, Presented, Salted};

use super::{Directory, RigBuilder};

/// A client: what its file says of it, and what it has.
pub(crate) struct Keyed {
    item: String,
    /// Its key.
    pub(crate) key: String,
    /// What nobody may see either.
    pub(crate) salt: String,
    pub(crate) hash: String,
}

impl Keyed {
    /// A client with a new key; `more` are members of its item in the form of JSON, as `"disabled": true`.
    pub(crate) fn new(name: &str, more: &str) -> Self {
        let key = key::make().unwrap().to_string();
        let presented = Presented::new(key.as_bytes()).unwrap();
        let (salt, hash) = Salted::of(&presented).unwrap().to_hex();
        let id = presented.id();
        let comma = if more.is_empty() { "" } else { ", " };
        let item = format!(
            r#"{{"name": "{name}", "keys": [{{"id": "{id}", "salt": "{salt}", "hash": "{hash}"}}]{comma}{more}}}"#
        );
        Self {
            item,
            key,
            salt,
            hash,
        }
    }

    /// The same key, and other members.
    pub(crate) fn with(&self, more: &str) -> Self {
        let end = self.item.find("}]").unwrap() + 2;
        Self {
            item: format!("{}, {more}}}", &self.item[..end]),
            key: self.key.clone(),
            salt: self.salt.clone(),
            hash: self.hash.clone(),
        }
    }

    /// The value of `Authorization`.
    pub(crate) fn bearer(&self) -> String {
        format!("Bearer {}", self.key)
    }

    /// Its key with another secret.
    pub(crate) fn with_a_wrong_secret(&self) -> String {
        let behind = "hs-".len() + key::ID;
        format!("{}{}", &self.key[..behind], &stranger()[behind..])
    }
}

/// A key of nobody.
pub(crate) fn stranger() -> String {
    key::make().unwrap().to_string()
}

/// The text of a file with these clients.
pub(crate) fn text(clients: &[&Keyed]) -> String {
    let items: Vec<_> = clients.iter().map(|client| client.item.as_str()).collect();
    format!("clients: [{}]", items.join(",\n"))
}

/// Writes the file where [`RigBuilder::clients`] expects it.
pub(crate) fn write(directory: &Directory, clients: &[&Keyed]) {
    let new = directory.write("clients.yaml.new", &text(clients));
    std::fs::rename(new, directory.path("clients.yaml")).unwrap();
}

impl RigBuilder {
    /// Only these are let in.
    pub(crate) fn clients(self, clients: &[&Keyed]) -> Self {
        let text = text(clients);
        self.edit(move |file, directory, _| {
            file.auth = Some(holysheep_proxy::config::Auth::Clients);
            file.clients.file = Some(directory.write("clients.yaml", &text));
        })
    }
}
