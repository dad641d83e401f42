//! `holysheep-proxy client`: makes, lists and removes the keys of clients, in the file that `clients.file` names.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use clap::{Args, Subcommand};

use super::BAD_USAGE;
use crate::clients::edit::{EditError, Editor};
use crate::clients::file::{self, ClientFile, ClientsError, KeyFile};
use crate::clients::key::{self, NoRandomness, Presented, Salted};
use crate::config::ClientLimitsFile;
use crate::config::file::Span;

/// `client …`
#[derive(Debug, Args)]
pub(super) struct Client {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a key and print it, this once; for a client that is there, one more key
    Add(Add),
    /// Show who is in the file
    List {
        #[command(flatten)]
        file: FileArgument,
    },
    /// Remove a client, or one key
    Remove {
        /// Name of a client, or id of a key
        #[arg(value_name = "NAME|ID")]
        what: String,
        #[command(flatten)]
        file: FileArgument,
    },
}

#[derive(Debug, Args)]
struct FileArgument {
    /// File of clients and what their keys are told by
    #[arg(
        long,
        value_name = "FILE",
        env = "HOLYSHEEP_CLIENTS_FILE",
        default_value = "clients.yaml"
    )]
    file: PathBuf,
}

#[derive(Debug, Args)]
struct Add {
    /// Name of the client, in logs, metrics and bills
    name: String,
    #[command(flatten)]
    file: FileArgument,
    /// A model it may ask for, as gpt-4.1 or deepseek-*; repeatable [default: all]
    #[arg(long = "model", value_name = "MODEL")]
    models: Vec<String>,
    /// A path of the API it may use, as /v1/chat/completions; repeatable [default: all]
    #[arg(long = "route", value_name = "PATH")]
    routes: Vec<String>,
    /// The end: a day, a time in UTC, or for how long, as 2027-01-31 or 90d [default: none]
    #[arg(long, value_name = "WHEN")]
    expires: Option<String>,
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Edit(#[from] EditError),
    #[error(transparent)]
    Clients(#[from] ClientsError),
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    #[error("--expires {0:?} {1}, or a time such as 90d")]
    Expires(String, &'static str),
    #[error(
        "{0} is in the file: what it may use is changed there; without --model, --route and --expires it gets one more key"
    )]
    IsThere(String),
    #[error(
        "the key cannot be printed, so it is lost: `holysheep-proxy client remove {0}` takes it out again ({1})"
    )]
    Output(String, std::io::Error),
}

impl Client {
    pub(super) fn run(self) -> ExitCode {
        let done = match self.what {
            What::Add(add) => add.run(),
            What::List { file } => list(&file.file),
            What::Remove { what, file } => remove(&what, &file.file),
        };
        let Err(failure) = done else {
            return ExitCode::SUCCESS;
        };
        eprintln!("holysheep-proxy: {failure}");
        match failure {
            Failure::Edit(EditError::Write { .. })
            | Failure::Output(..)
            | Failure::NoRandomness(_) => ExitCode::FAILURE,
            _ => ExitCode::from(BAD_USAGE),
        }
    }
}

impl Add {
    fn run(self) -> Result<(), Failure> {
        let editor = Editor::open(&self.file.file)?;
        let is_there = editor.has(&self.name)?;
        let sets = !self.models.is_empty() || !self.routes.is_empty() || self.expires.is_some();
        if is_there && sets {
            return Err(Failure::IsThere(self.name));
        }
        let now = SystemTime::now();
        let text = key::make()?;
        let Some(presented) = Presented::new(text.as_bytes()) else {
            return Err(NoRandomness.into());
        };
        let id = presented.id();
        let (salt, hash) = Salted::of(&presented)?.to_hex();
        let created = humantime::format_rfc3339_seconds(now).to_string();
        let created = created.split('T').next().map(str::to_owned);
        let list = |given: Vec<String>| (!given.is_empty()).then_some(given);
        let client = ClientFile {
            name: self.name.clone(),
            keys: vec![KeyFile {
                id: id.to_string(),
                salt,
                hash,
                created,
            }],
            models: list(self.models),
            routes: list(self.routes),
            expires: self.expires.map(|text| end(text, now)).transpose()?,
            disabled: false,
            limits: ClientLimitsFile::default(),
        };
        editor.add(client)?;
        let mut out = std::io::stdout();
        let printed = writeln!(out, "{}", *text).and_then(|()| out.flush());
        printed.map_err(|error| Failure::Output(id.to_string(), error))?;
        tell_what_next(&self.name, &id.to_string(), &self.file.file, is_there);
        Ok(())
    }
}

fn tell_what_next(name: &str, id: &str, file: &Path, is_there: bool) {
    let file = file.display();
    eprintln!(
        "This is the key of {name}. It is shown this once: the file has only what it is told by."
    );
    eprintln!("  to the client:  OPENAI_API_KEY, ANTHROPIC_API_KEY, or whatever its SDK reads");
    eprintln!(
        "  to the proxy:   auth: clients, clients: {{file: {file}}}; a proxy that runs reads it again by itself"
    );
    eprintln!("  on Kubernetes:  kubectl -n NAMESPACE create secret generic holysheep-clients \\");
    eprintln!(
        "                    --from-file=clients.yaml={file} --dry-run=client -o yaml | kubectl apply -f -"
    );
    if is_there {
        eprintln!("Its other keys go on working until `holysheep-proxy client remove ID`.");
    } else {
        eprintln!("  to take it back: holysheep-proxy client remove {id} --file {file}");
    }
}

/// The end as the file has it.
fn end(text: String, now: SystemTime) -> Result<String, Failure> {
    if let Some(end) = text
        .parse::<Span>()
        .ok()
        .and_then(|span| now.checked_add(span.0))
    {
        return Ok(humantime::format_rfc3339_seconds(end).to_string());
    }
    match file::moment(&text) {
        Ok(_) => Ok(text),
        Err(reason) => Err(Failure::Expires(text, reason)),
    }
}

fn list(path: &Path) -> Result<(), Failure> {
    let entries = file::entries(path, &file::read(path)?)?;
    let mut rows =
        vec![["NAME", "STATE", "EXPIRES", "KEYS", "MODELS", "ROUTES"].map(str::to_owned)];
    rows.extend(entries.iter().map(|entry| {
        let client = &entry.client;
        let or = |texts: Option<Vec<String>>, none: &str| {
            let texts = texts.filter(|texts| !texts.is_empty());
            texts.map_or_else(|| none.to_owned(), |texts| texts.join(","))
        };
        let keys = client.keys.iter().map(|key| key.id.to_string()).collect();
        let models = client.models.as_deref();
        let models = models.map(|models| models.iter().map(ToString::to_string).collect());
        let routes = client.routes.templates();
        let routes = routes.map(|routes| routes.into_iter().map(str::to_owned).collect());
        let expires = client.expires.map(humantime::format_rfc3339_seconds);
        [
            client.name.to_string(),
            client.standing(SystemTime::now).as_str().to_owned(),
            expires.map_or_else(|| "never".to_owned(), |end| end.to_string()),
            or(Some(keys), "none"),
            if client.models.is_some() {
                or(models, "none")
            } else {
                "all".to_owned()
            },
            if client.routes.templates().is_some() {
                or(routes, "none")
            } else {
                "all".to_owned()
            },
        ]
    }));
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(String::len)
            .max()
    };
    let widths: Vec<_> = (0..6)
        .map(|column| width(column).unwrap_or_default())
        .collect();
    for row in &rows {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        println!("{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    Ok(())
}

fn remove(what: &str, path: &Path) -> Result<(), Failure> {
    Editor::open(path)?.remove(what)?;
    eprintln!(
        "{what} is removed from {}; a proxy that runs reads it again by itself",
        path.display()
    );
    Ok(())
}
