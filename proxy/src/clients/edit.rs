//! Changes to the file of clients, for `holysheep-proxy client`: as text, so that comments and order stay.
//!
//! The text is changed where a line says so, and what comes out is read again: if it is not just what was wanted, as with
//! a file in another form of YAML, nothing is written.

use std::fs::{self, File};
use std::ops::Range;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::file::{self, ClientFile, ClientsError, ClientsFile, KeyFile};
use crate::replace::replace;

/// Why a file was not changed.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// It cannot be read or used as it is, or as it would be.
    #[error(transparent)]
    Clients(#[from] ClientsError),
    /// There is nothing to remove.
    #[error("there is no client and no key {0}")]
    NotFound(String),
    /// It is in a form that cannot be changed line by line.
    #[error(
        "{path} is written in a form of YAML that this command does not change; expected one client, and one key, a \
         list item that begins on a line of its own"
    )]
    Form {
        /// The file.
        path: PathBuf,
    },
    /// It could not be written.
    #[error("{path} cannot be written: {reason}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
}

/// The text of a file, and what it says. One that is not there says nothing.
type Content = (String, ClientsFile);

/// A file that nobody else changes at the same time with these commands.
#[derive(Debug)]
pub struct Editor {
    path: PathBuf,
    /// Locked until it is closed.
    _directory: File,
}

impl Editor {
    /// Waits for others who change it.
    ///
    /// # Errors
    /// If its directory cannot be opened.
    pub fn open(path: &Path) -> Result<Self, EditError> {
        // What a link leads to is changed, not the link.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let parent = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        let directory = File::open(parent.unwrap_or(Path::new(".")));
        let directory = directory.and_then(|directory| {
            flock(&directory, FlockOperation::LockExclusive)?;
            Ok(directory)
        });
        match directory {
            Ok(directory) => Ok(Self {
                path,
                _directory: directory,
            }),
            Err(reason) => Err(EditError::Write { path, reason }),
        }
    }

    /// Whether a client is in the file.
    ///
    /// # Errors
    /// If the file cannot be used.
    pub fn has(&self, name: &str) -> Result<bool, EditError> {
        let (_, file) = self.read()?;
        Ok(file.clients.iter().any(|client| client.name == name))
    }

    /// Adds a client, or a key to one that is there.
    ///
    /// # Errors
    /// If the file cannot be used, or not be changed.
    pub fn add(&self, mut client: ClientFile) -> Result<(), EditError> {
        let (text, mut wanted) = self.read()?;
        let there = wanted
            .clients
            .iter()
            .position(|other| other.name == client.name);
        let changed = match there {
            None => {
                let changed = with_client(&text, &client);
                wanted.clients.push(client);
                changed
            }
            Some(position) => {
                let changed = client
                    .keys
                    .last()
                    .and_then(|key| with_key(&text, position, key));
                let keys = wanted
                    .clients
                    .get_mut(position)
                    .map(|client| &mut client.keys);
                keys.into_iter()
                    .for_each(|keys| keys.append(&mut client.keys));
                changed
            }
        };
        self.write(changed, &wanted)
    }

    /// Removes a client by its name, or a key by its id.
    ///
    /// # Errors
    /// If there is neither, or the file cannot be used or not be changed.
    pub fn remove(&self, what: &str) -> Result<(), EditError> {
        let (text, mut wanted) = self.read()?;
        if let Some(position) = wanted.clients.iter().position(|client| client.name == what) {
            wanted.clients.remove(position);
            return self.write(without_client(&text, position), &wanted);
        }
        for (position, client) in wanted.clients.iter_mut().enumerate() {
            if let Some(key) = client.keys.iter().position(|key| key.id == what) {
                client.keys.remove(key);
                return self.write(without_key(&text, position, key), &wanted);
            }
        }
        Err(EditError::NotFound(what.to_owned()))
    }

    fn read(&self) -> Result<Content, EditError> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok((String::new(), ClientsFile::default()));
            }
            Err(reason) => {
                let path = self.path.clone();
                return Err(ClientsError::Read { path, reason }.into());
            }
        };
        file::entries(&self.path, &text)?;
        let file = file::parse(&text).ok_or_else(|| self.form())?;
        Ok((text, file))
    }

    fn form(&self) -> EditError {
        let path = self.path.clone();
        EditError::Form { path }
    }

    fn write(&self, text: Option<String>, wanted: &ClientsFile) -> Result<(), EditError> {
        let text = text.ok_or_else(|| self.form())?;
        match file::parse(&text) {
            Some(file) if file == *wanted => {}
            _ => return Err(self.form()),
        }
        file::entries(&self.path, &text)?;
        replace(&self.path, text.as_bytes()).map_err(|reason| EditError::Write {
            path: self.path.clone(),
            reason,
        })
    }
}

/// Adds a client behind the others.
fn with_client(text: &str, client: &ClientFile) -> Option<String> {
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    if file::parse(text).map_or_else(|| text.trim().is_empty(), |file| file.clients.is_empty()) {
        lines.retain(|line| !line.trim_start().starts_with("clients:"));
        lines.push("clients:".to_owned());
        lines.extend(item(client, 2));
        return Some(joined(&lines));
    }
    let list = List::of_clients(&lines)?;
    let end = list.items.last()?.end;
    lines.splice(end..end, item(client, list.indent));
    Some(joined(&lines))
}

/// Adds a key behind the others of a client.
fn with_key(text: &str, client: usize, key: &KeyFile) -> Option<String> {
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    let (at, list) = keys_of(&lines, client)?;
    match list {
        Some(list) => {
            let end = list.items.last()?.end;
            lines.insert(end, key_item(key, list.indent));
        }
        None => {
            let line = lines.get_mut(at)?;
            let indent = line.find("keys:")?;
            line.truncate(indent + "keys:".len());
            lines.insert(at + 1, key_item(key, indent + 2));
        }
    }
    Some(joined(&lines))
}

fn without_client(text: &str, client: usize) -> Option<String> {
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    let list = List::of_clients(&lines)?;
    lines.drain(list.items.get(client)?.clone());
    if list.items.len() == 1 {
        let head = lines.iter_mut().find(|line| line.starts_with("clients:"))?;
        "clients: []".clone_into(head);
    }
    Some(joined(&lines))
}

fn without_key(text: &str, client: usize, key: usize) -> Option<String> {
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    let (at, list) = keys_of(&lines, client)?;
    let list = list?;
    lines.drain(list.items.get(key)?.clone());
    if list.items.len() == 1 {
        lines.get_mut(at)?.push_str(" []");
    }
    Some(joined(&lines))
}

fn joined(lines: &[String]) -> String {
    lines.join("\n") + "\n"
}

/// A client as it is written. Texts are in quotes of JSON, which YAML reads in the same way.
fn item(client: &ClientFile, indent: usize) -> Vec<String> {
    let quoted = |texts: &[String]| serde_json::Value::from(texts).to_string();
    let mut members = vec!["keys:".to_owned()];
    members.extend(client.keys.iter().map(|key| key_item(key, 2)));
    members.extend(
        client
            .models
            .as_deref()
            .map(|models| format!("models: {}", quoted(models))),
    );
    members.extend(
        client
            .routes
            .as_deref()
            .map(|routes| format!("routes: {}", quoted(routes))),
    );
    members.extend(
        client
            .expires
            .as_deref()
            .map(|end| format!("expires: \"{end}\"")),
    );
    let head = format!("{:indent$}- name: \"{}\"", "", client.name);
    let members = members
        .into_iter()
        .map(|line| format!("{:indent$}  {line}", ""));
    std::iter::once(head).chain(members).collect()
}

fn key_item(key: &KeyFile, indent: usize) -> String {
    let KeyFile {
        id,
        salt,
        hash,
        created,
    } = key;
    let created = created
        .as_deref()
        .map(|day| format!(", created: \"{day}\""));
    let created = created.unwrap_or_default();
    format!(
        "{:indent$}- {{id: \"{id}\", salt: \"{salt}\", hash: \"{hash}\"{created}}}",
        ""
    )
}

/// A list in block style: how far its dashes are indented, and the lines of each item without comments behind it.
struct List {
    indent: usize,
    items: Vec<Range<usize>>,
}

impl List {
    /// The list that begins below a line. Its dashes may stand where the name of the list does.
    fn below(lines: &[String], at: usize, end: usize) -> Option<Self> {
        let is_content =
            |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
        let mut list: Option<Self> = None;
        for (index, line) in lines.iter().enumerate().take(end).skip(at + 1) {
            if !is_content(line) {
                continue;
            }
            let indent = line.len() - line.trim_start_matches(' ').len();
            let list = list.get_or_insert_with(|| Self {
                indent,
                items: Vec::new(),
            });
            let is_item = line.trim_start().starts_with("- ") && indent == list.indent;
            match list.items.last_mut() {
                _ if is_item => list.items.push(index..index + 1),
                Some(item) if indent > list.indent => item.end = index + 1,
                _ => break,
            }
        }
        list.filter(|list| !list.items.is_empty())
    }

    fn of_clients(lines: &[String]) -> Option<Self> {
        let head = lines
            .iter()
            .position(|line| line.trim_end() == "clients:")?;
        Self::below(lines, head, lines.len())
    }
}

/// Where the keys of a client stand: the line with their name, and the list unless it is `[]`.
fn keys_of(lines: &[String], client: usize) -> Option<(usize, Option<List>)> {
    let range = List::of_clients(lines)?.items.get(client)?.clone();
    let member = |line: &String| line.trim().trim_start_matches("- ").to_owned();
    let mut all = range.clone();
    let at = all.find(|at| {
        lines
            .get(*at)
            .is_some_and(|line| member(line).starts_with("keys:"))
    })?;
    let is_empty = lines.get(at).map(member)? == "keys: []";
    let list = (!is_empty).then(|| List::below(lines, at, range.end));
    list.map_or(Some((at, None)), |list| Some((at, Some(list?))))
}

#[cfg(test)]
mod tests;
