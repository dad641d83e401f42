//! The API key from the environment, or the file that has it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use crate::config::{ConfigError, Problem, Secret};
use crate::upstream::keys;

/// Has the key itself.
const VARIABLE: &str = "HOLYSHEEP_API_KEY";
/// Names the file with the key.
pub(super) const FILE_VARIABLE: &str = "HOLYSHEEP_API_KEY_FILE";

/// The key, if the environment has it.
///
/// # Errors
/// If it is none.
pub(super) fn in_environment() -> Result<Option<Secret>, ConfigError> {
    let Some(text) = set(VARIABLE) else {
        return Ok(None);
    };
    Secret::new(text.into_vec()).map(Some).map_err(|error| {
        ConfigError::invalid(vec![Problem {
            field: VARIABLE.into(),
            message: format!("{error}; expected a key such as cr_…"),
        }])
    })
}

/// Whether a path comes from the environment and not from a flag.
pub(super) fn is_in_environment(path: &Path) -> bool {
    std::env::var_os(FILE_VARIABLE).is_some_and(|value| value == path.as_os_str())
}

/// What is wrong if the environment has a key and names a file as well.
pub(super) fn given_twice() -> ConfigError {
    ConfigError::invalid(vec![Problem {
        field: VARIABLE.into(),
        message: format!("set together with {FILE_VARIABLE}; unset one of the two"),
    }])
}

/// The key for commands whose flags name a file for some purpose only, or `is_given` one for all: then the environment's is not wanted.
///
/// # Errors
/// If there is one key too many, or one cannot be read.
pub(super) fn beside(is_given: bool) -> anyhow::Result<Option<Secret>> {
    if is_given {
        return Ok(None);
    }
    match (in_environment()?, set(FILE_VARIABLE)) {
        (Some(_), Some(_)) => Err(given_twice().into()),
        (key, None) => Ok(key),
        (None, Some(file)) => Ok(Some(keys::read_file(Path::new(&file))?)),
    }
}

fn set(variable: &str) -> Option<OsString> {
    std::env::var_os(variable).filter(|text| !text.is_empty())
}
