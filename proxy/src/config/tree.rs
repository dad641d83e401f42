//! A YAML file as a tree that knows where everything stands in it: line and column of each key and value.
//!
//! [`read`] makes it and fits it to a type (`fit`), `words` says in plain words what does not. What is found later in
//! what was read is looked up here by its path. Knows nothing of the proxy, so that the fuzzer can take it as it is.

mod fit;
mod node;
mod source;
mod words;

use std::fmt;

use serde::de::DeserializeOwned;
use serde_saphyr::{
    DuplicateKeyPolicy, Error, Location, MergeKeyPolicy, NonFiniteFloatPolicy, Spanned,
};

use node::Node;

/// Levels of nesting; what there is needs a quarter of them. Each costs stack.
const DEEPEST: usize = 32;
/// Names, values and groups of them: the keys of 100,000 clients are.
const MOST: usize = 1_500_000;
/// Bytes of a file, for 10,000 clients with several keys.
const LARGEST: usize = 16 * 1024 * 1024;

/// Where something stands, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Its line.
    pub line: u64,
    /// Its first character in the line.
    pub column: u64,
}

impl Place {
    fn of(location: Location) -> Self {
        Self {
            line: location.line(),
            column: location.column(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// What does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// Where it stands; none if it is the whole file.
    pub place: Option<Place>,
    /// Its path, as `upstreams[1].name`; empty if there is none.
    pub path: String,
    /// What it is, and what was expected; one line without what may be a secret.
    pub message: String,
}

/// A file, as far as it can be read.
#[derive(Debug)]
pub struct Reading<T> {
    /// What is in it, without what does not fit; nothing if too little is left.
    pub value: Option<T>,
    /// What does not fit, in the order of the file.
    pub misfits: Vec<Misfit>,
    /// Where the rest is.
    pub tree: Tree,
}

/// The tree.
#[derive(Debug)]
pub struct Tree {
    root: Spanned<Node>,
}

/// Reads the text of a file.
///
/// # Errors
/// If it is no YAML, or more than is read: then that is all that can be said of it.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<Reading<T>, Misfit> {
    let mut tree = Tree::parse(text)?;
    let (value, mut misfits) = fit::fit(&mut tree.root.value, text);
    misfits.sort_by_key(|misfit| misfit.place);
    Ok(Reading {
        value,
        misfits,
        tree,
    })
}

impl Tree {
    fn parse(text: &str) -> Result<Self, Misfit> {
        let fail = |place, message| Misfit {
            place,
            path: String::new(),
            message,
        };
        if text.len() > LARGEST {
            let message = format!("{} bytes; expected at most {LARGEST}", text.len());
            return Err(fail(None, message));
        }
        let nothing = Spanned::new(Node::nothing(), Location::UNKNOWN, Location::UNKNOWN);
        if text.trim().is_empty() {
            return Ok(Self { root: nothing });
        }
        let options = serde_saphyr::options! {
            // One of the lines around the place may hold a key that was put there by mistake.
            with_snippet: false,
            // They are found in the tree, where they have a path.
            duplicate_keys: DuplicateKeyPolicy::PassThrough,
            // As texts they do not fit where a number is expected, and have a path, too.
            non_finite_float_policy: NonFiniteFloatPolicy::AsString,
            merge_keys: MergeKeyPolicy::Error,
            // What stands for something else has two places, and can grow beyond all measure.
            budget: serde_saphyr::budget! {
                max_depth: DEEPEST, max_aliases: 0, max_nodes: MOST, max_events: 2 * MOST,
            },
        };
        match serde_saphyr::from_str_with_options::<Spanned<Node>>(text, options) {
            Ok(root) if root.value.is_null() => Ok(Self { root: nothing }),
            Ok(root) => Ok(Self { root }),
            Err(error) => {
                let location = error.location();
                let place = location.filter(|location| location.line() > 0);
                let place = place.map(Place::of);
                Err(fail(place, unreadable(&error, text, place)))
            }
        }
    }

    /// Where the field with this path is, and the path as it is in the file, where items that do not fit count, too.
    /// For a field that is not there the place of what it belongs to; none if that is the file.
    pub fn find(&self, path: &str) -> (Option<Place>, String) {
        let mut written = String::new();
        let mut place = None;
        let (mut node, mut rest) = (&self.root.value, path);
        while let Some((position, after)) = node.step(rest) {
            node.write_step(position, &mut written);
            let Some(child) = node.child(position) else {
                break;
            };
            // A section's own place is its name: what is in it begins a line later.
            let is_whole = after.is_empty() && matches!(child.value, Node::Scalar(_));
            let key = node.key_place(position).filter(|_| !is_whole);
            place = Some(key.unwrap_or_else(|| Place::of(child.referenced)));
            node = &child.value;
            rest = after;
        }
        if !rest.is_empty() {
            if !written.is_empty() && !rest.starts_with('[') {
                written.push('.');
            }
            written.push_str(rest);
        }
        (place, written)
    }
}

/// Why a text cannot be read, with the remedy where the library has none.
fn unreadable(error: &Error, text: &str, place: Option<Place>) -> String {
    use serde_saphyr::budget::BudgetBreach;
    let line = place.and_then(|place| {
        let index = usize::try_from(place.line).ok()?.checked_sub(1)?;
        text.lines().nth(index)
    });
    let line = line.unwrap_or_default();
    let indent = &line[..line.len() - line.trim_start().len()];
    let message = match error {
        Error::Budget {
            breach: BudgetBreach::Depth { .. },
            ..
        } => format!("nested too deep; expected at most {DEEPEST} levels"),
        Error::Budget {
            breach: BudgetBreach::Nodes { .. } | BudgetBreach::Events { .. },
            ..
        } => format!("too much; expected at most {MOST} names and values"),
        Error::Budget {
            breach: BudgetBreach::Aliases { .. } | BudgetBreach::Anchors { .. },
            ..
        }
        | Error::UnknownAnchor { .. } => NO_ALIASES.to_owned(),
        Error::MergeKeyNotAllowed { .. } => {
            "`<<` merges nothing here; expected all fields written out".to_owned()
        }
        Error::MultipleDocuments { .. } => {
            "a second document begins here; expected one in a file".to_owned()
        }
        _ if indent.contains('\t') => "a tab; expected spaces to indent with".to_owned(),
        _ if line.trim_start().starts_with('*') => NO_ALIASES.to_owned(),
        Error::Message { msg, .. } => format!("no YAML: {msg}"),
        other => {
            let message = other.to_string();
            let place =
                place.map(|Place { line, column }| format!(" at line {line}, column {column}"));
            let end = place.and_then(|place| message.find(&place));
            format!(
                "no YAML: {}",
                message
                    .get(..end.unwrap_or(message.len()))
                    .unwrap_or(&message)
            )
        }
    };
    words::safe(&message)
}

const NO_ALIASES: &str = "an alias (`*name`), which is not read; expected what it stands for, or quotes around a text \
                          that begins with `*`";

#[cfg(test)]
mod tests;
