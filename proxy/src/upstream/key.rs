//! The upstream key: read, kept, replaced when its file changes.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use zeroize::Zeroizing;

use crate::config::Secret;
use crate::config::secret::SecretError;

/// Where the current key is found. The previous one is wiped when its last
/// reader is done.
#[derive(Debug, Default)]
pub struct KeySlot(ArcSwapOption<Secret>);

impl KeySlot {
    /// Puts a key in place of the present one.
    pub fn set(&self, key: Secret) {
        self.0.store(Some(Arc::new(key)));
    }

    /// Calls `with` with the key, if there is one.
    pub fn with<R>(&self, with: impl FnOnce(Option<&Secret>) -> R) -> R {
        let guard = self.0.load();
        with(guard.as_deref())
    }
}

/// Why a key file gives no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It could not be read.
    #[error("the key file {path} cannot be read: {reason}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        reason: std::io::Error,
    },
    /// Its content is no key.
    #[error("the key file {path} holds no key: {reason}")]
    Content {
        /// The file.
        path: String,
        /// Why.
        reason: SecretError,
    },
}

/// Reads a key file.
///
/// # Errors
/// If it cannot be read or holds no key. The content is in no message.
pub fn read_file(path: &Path) -> Result<Secret, KeyFileError> {
    let shown = || path.display().to_string();
    let mut text = Zeroizing::new(std::fs::read(path).map_err(|reason| KeyFileError::Read {
        path: shown(),
        reason,
    })?);
    Secret::new(std::mem::take(&mut *text)).map_err(|reason| KeyFileError::Content {
        path: shown(),
        reason,
    })
}
