//! Fits a tree to a type. What does not fit is noted and taken out, until the rest fits: so all of it is found at once.

use std::collections::{BTreeMap, HashMap};

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::{Path, Segment};
use serde_saphyr::Spanned;

use super::node::Node;
use super::{Misfit, Place, words};

/// As many looks are taken: whoever has more wrong has given the wrong file.
const MOST: usize = 100;

/// What fits, and what does not.
pub(super) fn fit<T: DeserializeOwned>(root: &mut Node, text: &str) -> (Option<T>, Vec<Misfit>) {
    let mut fitting = Fitting {
        text,
        misfits: Vec::new(),
        numbers: HashMap::new(),
    };
    fitting.doubles(root, "");
    for _ in 0..MOST {
        let error = match serde_path_to_error::deserialize::<_, T>(&*root) {
            Ok(value) => return (Some(value), fitting.misfits),
            Err(error) => error,
        };
        let reason = error.inner().to_string();
        if !fitting.mend(root, error.path(), &reason) {
            break;
        }
    }
    (None, fitting.misfits)
}

struct Fitting<'t> {
    text: &'t str,
    misfits: Vec<Misfit>,
    /// Why numbers and truth values did not fit that were then tried as the texts they were written as, by their paths.
    numbers: HashMap<String, String>,
}

impl Fitting<'_> {
    /// Notes names that are there twice, and takes the later ones out.
    fn doubles(&mut self, node: &mut Node, path: &str) {
        if let Node::Fields(fields) = node {
            let mut first = BTreeMap::<String, Place>::new();
            let mut kept = Vec::with_capacity(fields.len());
            for (key, field) in std::mem::take(fields) {
                let place = Place::of(key.referenced);
                if let Some(earlier) = first.get(&key.value) {
                    let path = match path {
                        "" => key.value.clone(),
                        above => format!("{above}.{}", key.value),
                    };
                    let line = earlier.line;
                    let message =
                        format!("given twice; expected it once, line {line} has it already");
                    self.note(Some(place), &path, &message);
                    continue;
                }
                first.insert(key.value.clone(), place);
                kept.push((key, field));
            }
            *fields = kept;
        }
        let mut position = 0;
        loop {
            let mut below = path.to_owned();
            node.write_step(position, &mut below);
            let Some(child) = node.child_mut(position) else {
                break;
            };
            self.doubles(&mut child.value, &below);
            position += 1;
        }
    }

    fn note(&mut self, place: Option<Place>, path: &str, message: &str) {
        self.misfits.push(Misfit {
            place,
            path: words::safe(path),
            message: words::safe(message),
        });
    }

    /// Does something about what does not fit; false if nothing can be done.
    fn mend(&mut self, root: &mut Node, path: &Path, reason: &str) -> bool {
        let Some(found) = Found::at(root, path) else {
            // The file as a whole. If what it lacks was taken out, that was said.
            if !self.follows("", reason) {
                self.note(None, "", &words::plain(reason, None));
            }
            return false;
        };
        let Found {
            parent,
            position,
            written,
        } = found;
        let key_place = parent.key_place(position);
        let Some(child) = parent.child_mut(position) else {
            return false;
        };
        if self.read_otherwise(child, &written, reason) {
            return true;
        }
        let place = match key_place {
            Some(key) if is_about_name(reason) => key,
            Some(key) if !matches!(child.value, Node::Scalar(_)) => key,
            _ => Place::of(child.referenced),
        };
        let value = match &child.value {
            Node::Scalar(value) => Some(value.clone()),
            Node::Items(_) | Node::Fields(_) => None,
        };
        parent.remove(position);
        if !self.follows(&written, reason) {
            let earlier = self.numbers.get(&written);
            let earlier = earlier.filter(|_| reason.starts_with("invalid type: string"));
            let message = words::plain(earlier.map_or(reason, |earlier| earlier), value.as_ref());
            // A name nobody knows may be a key in the wrong place.
            let path = match is_about_name(reason) {
                true => words::masked(&written),
                false => written,
            };
            self.note(Some(place), &path, &message);
        }
        true
    }

    /// Whether something is missing at `path` only because it was taken out.
    fn follows(&self, path: &str, reason: &str) -> bool {
        let name = reason.strip_prefix("missing field `");
        let Some(name) = name.and_then(|rest| rest.split('`').next()) else {
            return false;
        };
        let missing = match path {
            "" => name.to_owned(),
            above => format!("{above}.{name}"),
        };
        self.misfits.iter().any(|misfit| misfit.path == missing)
    }

    /// YAML has a number be a text where one is expected, and nothing be an empty list or section. False if it is
    /// neither, or was tried.
    fn read_otherwise(&mut self, node: &mut Spanned<Node>, path: &str, reason: &str) -> bool {
        let Node::Scalar(value) = &node.value else {
            return false;
        };
        let Some((_, expected)) = reason.split_once(", expected ") else {
            return false;
        };
        match value {
            Value::Null if expected == "a sequence" => {
                node.value = Node::Items(Vec::new());
                true
            }
            Value::Null if expected == "a map" || expected.starts_with("struct ") => {
                node.value = Node::nothing();
                true
            }
            Value::Number(_) | Value::Bool(_) if words::is_text(expected) => {
                self.numbers.insert(path.to_owned(), reason.to_owned());
                let written = source(node, self.text).unwrap_or_else(|| value.to_string());
                node.value = Node::Scalar(Value::String(written));
                true
            }
            _ => false,
        }
    }
}

/// A plain value as it was written: `1.10` as a number is another text.
fn source(node: &Spanned<Node>, text: &str) -> Option<String> {
    let span = node.referenced.span();
    let start = usize::try_from(span.byte_offset()?).ok()?;
    let end = start.checked_add(usize::try_from(span.byte_len()?).ok()?)?;
    let written = text.get(start..end)?.trim();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
    (!written.is_empty() && written.chars().all(is_plain)).then(|| written.to_owned())
}

fn is_about_name(reason: &str) -> bool {
    reason.starts_with("unknown field")
}

/// Where a deserializer stopped.
struct Found<'n> {
    parent: &'n mut Node,
    position: usize,
    /// The path as it is in the file.
    written: String,
}

impl<'n> Found<'n> {
    /// As far as `path` leads through the tree. Only names and numbers lead further down; a variant's name is the value
    /// itself.
    fn at(root: &'n mut Node, path: &Path) -> Option<Self> {
        let mut parent = root;
        let mut written = String::new();
        let mut segments = path.iter().peekable();
        loop {
            let position = parent.position(segments.next()?)?;
            parent.write_step(position, &mut written);
            let child = &parent.child(position)?.value;
            let goes_on = match segments.peek() {
                Some(segment @ (Segment::Seq { .. } | Segment::Map { .. })) => {
                    child.position(segment).is_some()
                }
                _ => false,
            };
            if !goes_on {
                return Some(Self {
                    parent,
                    position,
                    written,
                });
            }
            parent = &mut parent.child_mut(position)?.value;
        }
    }
}
