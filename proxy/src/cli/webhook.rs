//! The webhook's secret from the environment, which goes before the file.

use std::os::unix::ffi::OsStringExt;

use crate::config::webhook::WebhookFile;
use crate::config::{ConfigError, Problem, Secret};

const SECRET: &str = "HOLYSHEEP_WEBHOOK_SECRET";
const SECRET_FILE: &str = "HOLYSHEEP_WEBHOOK_SECRET_FILE";

/// The variable that this field of the file comes from, if it does.
pub(super) fn origin(field: &str) -> Option<String> {
    let is_set = || std::env::var_os(SECRET_FILE).is_some_and(|text| !text.is_empty());
    (field == "webhook.secret_file" && is_set()).then(|| SECRET_FILE.to_owned())
}

/// Lays the environment over the file.
///
/// # Errors
/// If both are set, or the secret is none.
pub(super) fn environment(file: &mut WebhookFile) -> Result<(), ConfigError> {
    let get = |name| std::env::var_os(name).filter(|text| !text.is_empty());
    let wrong = |message: String| {
        ConfigError::invalid(vec![Problem {
            field: SECRET.into(),
            message,
        }])
    };
    match (get(SECRET), get(SECRET_FILE)) {
        (None, None) => {}
        (None, Some(path)) => file.secret_file = Some(path.into()),
        (Some(secret), None) => {
            let secret = Secret::new(secret.into_vec());
            file.secret = Some(secret.map_err(|error| wrong(error.to_string()))?);
            file.secret_file = None;
        }
        (Some(_), Some(_)) => {
            let message = format!("set together with {SECRET_FILE}; unset one of the two");
            return Err(wrong(message));
        }
    }
    Ok(())
}
