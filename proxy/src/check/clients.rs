//! Whether the file of clients can be used, and who in it is let in: a step of `check`.

use std::time::{Duration, SystemTime};

use super::{Line, Outcome};
use crate::clients::{Client, Standing, file};
use crate::config::Config;

/// Warn of clients that expire sooner.
const SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// Reads the file, if there is to be one.
pub(super) fn readable(config: &Config) -> Option<Line> {
    let path = config.clients_file.as_deref()?;
    let entries = file::read(path).and_then(|text| file::entries(path, &text));
    let result = match entries {
        Ok(entries) => {
            let clients: Vec<_> = entries.into_iter().map(|entry| entry.client).collect();
            judge(&clients, SystemTime::now())
        }
        Err(error) => {
            let remedy =
                "mount the Secret, or correct the file; `holysheep-proxy client add` makes one";
            Outcome::Fail(error.to_string(), remedy.to_owned())
        }
    };
    Some(Line {
        name: "clients",
        of: String::new(),
        result,
    })
}

fn judge(clients: &[Client], now: SystemTime) -> Outcome {
    let is_let_in =
        |client: &&Client| client.standing(|| now) == Standing::Good && !client.keys.is_empty();
    let usable: Vec<_> = clients.iter().filter(is_let_in).collect();
    let ends = |client: &&&Client| client.expires.is_some_and(|end| end < now + SOON);
    let ending: Vec<_> = usable
        .iter()
        .filter(ends)
        .map(|client| &*client.name)
        .collect();
    let fact = format!("{} in the file, {} let in", clients.len(), usable.len());
    match (usable.is_empty(), ending.is_empty()) {
        (true, _) => Outcome::Warn(
            format!("{fact}: every request is refused"),
            "`holysheep-proxy client add NAME` makes a key; `client list` says who has expired"
                .to_owned(),
        ),
        (false, false) => Outcome::Warn(
            format!("{fact}; until in two weeks expire: {}", ending.join(", ")),
            "set `expires` in the file anew, or tell them".to_owned(),
        ),
        (false, true) => Outcome::Pass(fact),
    }
}
