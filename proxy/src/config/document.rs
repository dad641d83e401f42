//! A file with settings: read, built and checked, with the place in it of everything that is wrong.
//!
//! [`super::tree`] knows where things stand, [`super::Config::build`] and its like know which values can be used; here
//! the two meet, so that somebody who corrects a file sees everything at once.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::tree::{self, Misfit, Place, Tree};
use super::{ConfigError, Problem};

/// A problem, and where its setting comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where from.
    pub origin: Origin,
    /// What is wrong.
    pub problem: Problem,
}

/// Where a setting comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From a file or from nowhere.
    Unknown,
    /// From this flag or variable.
    Given(Cow<'static, str>),
    /// From this file.
    File(PathBuf, Option<Place>),
}

impl From<Problem> for Found {
    fn from(problem: Problem) -> Self {
        Self {
            origin: Origin::Unknown,
            problem,
        }
    }
}

/// `FILE:LINE:COLUMN: path: message`, or as much of it as there is.
impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Unknown => {}
            Origin::Given(name) => write!(f, "{name}: ")?,
            Origin::File(path, None) => write!(f, "{}: ", path.display())?,
            Origin::File(path, Some(place)) => write!(f, "{}:{place}: ", path.display())?,
        }
        let Problem { field, message } = &self.problem;
        if !field.is_empty() {
            write!(f, "{field}: ")?;
        }
        f.write_str(message)
    }
}

/// Reads the text of the file at `path`, and has `build` make something of what is in it.
///
/// # Errors
/// All that does not fit, and all that `build` finds in the rest, in the order of the file. What can have come from the
/// absence of something that does not fit is left for the next time.
pub fn build<F: DeserializeOwned, T>(
    path: &Path,
    text: &str,
    build: impl FnOnce(F) -> Result<T, ConfigError>,
) -> Result<T, ConfigError> {
    let reading = match tree::read::<F>(text) {
        Ok(reading) => reading,
        Err(misfit) => return Err(ConfigError::Invalid(vec![in_file(path, misfit)])),
    };
    let tree::Reading {
        value,
        misfits,
        tree,
    } = reading;
    let problems = match value.map(build) {
        Some(Ok(built)) if misfits.is_empty() => return Ok(built),
        Some(Err(ConfigError::Invalid(problems))) => problems,
        Some(Err(other)) if misfits.is_empty() => return Err(other),
        Some(Ok(_) | Err(_)) | None => Vec::new(),
    };
    let own = problems.into_iter();
    let own = own.map(|found| located(path, &tree, found));
    let own = own.filter(|found| !misfits.iter().any(|misfit| follows(&found.problem, misfit)));
    let mut all: Vec<_> = own.collect();
    all.extend(misfits.iter().cloned().map(|misfit| in_file(path, misfit)));
    all.sort_by_key(|found| match found.origin {
        Origin::File(_, place) => place,
        Origin::Unknown | Origin::Given(_) => None,
    });
    Err(ConfigError::Invalid(all))
}

fn in_file(path: &Path, misfit: Misfit) -> Found {
    Found {
        origin: Origin::File(path.to_owned(), misfit.place),
        problem: Problem {
            field: misfit.path.into(),
            message: misfit.message,
        },
    }
}

fn located(path: &Path, tree: &Tree, mut found: Found) -> Found {
    if found.origin == Origin::Unknown {
        let (place, field) = tree.find(&found.problem.field);
        found.problem.field = field.into();
        found.origin = Origin::File(path.to_owned(), place);
    }
    found
}

/// Whether a problem may be there only because of what did not fit: it is about the same field, speaks of it, or looks
/// for an upstream by a name that could not be read.
fn follows(problem: &Problem, misfit: &Misfit) -> bool {
    let (field, other) = (problem.field.as_ref(), misfit.path.as_str());
    let is_within = |inner: &str, outer: &str| {
        let rest = inner.strip_prefix(outer);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    // As `auth: clients` or as limits.per_client.usd_per_day; a word alone may mean something else.
    let spoken = match other.contains(['.', '[']) {
        true => other.to_owned(),
        false => format!("`{other}: "),
    };
    is_within(field, other)
        || problem.message.contains(&spoken)
        || (other.starts_with("upstream") && field.starts_with("models"))
}

#[cfg(test)]
mod tests;
