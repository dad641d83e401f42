//! The configuration file's part of `/status`.

use serde::Serialize;

use crate::reload::State;

/// What is in force of the configuration file.
#[derive(Debug, Serialize)]
pub struct FileStatus {
    /// Where it is.
    pub file: String,
    /// The beginning of the SHA-256 of the text in force.
    pub hash: String,
    /// When that was read.
    pub read: Option<String>,
    /// Why the file as it is now cannot be used; the text before it stays in force.
    pub error: Option<String>,
    /// Changed fields that take effect after a restart only.
    pub needs_restart: Vec<String>,
}

impl FileStatus {
    pub(super) fn of(state: &State) -> Option<Self> {
        let (path, hash) = state.file.as_ref()?;
        Some(Self {
            file: path.display().to_string(),
            hash: hash.clone(),
            read: state
                .read
                .map(|at| humantime::format_rfc3339_seconds(at).to_string()),
            error: state.error.clone(),
            needs_restart: state.restart.clone(),
        })
    }

    /// For the status page.
    pub(super) fn in_words(&self) -> String {
        let mut words = format!("{} ({}", self.file, self.hash);
        if let Some(read) = &self.read {
            words.push_str(&format!(", read {read}"));
        }
        words.push(')');
        if let Some(error) = &self.error {
            words.push_str(&format!("; its new text cannot be used: {error}"));
        }
        if !self.needs_restart.is_empty() {
            let fields = self.needs_restart.join(", ");
            words.push_str(&format!("; needs a restart: {fields}"));
        }
        words
    }
}
