//! Puts a new file in place of an old one, at once and as a whole: for the file of clients and for what clients have cost.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Writes `content` into a new file beside `path`, to the disk, and gives it that name. It keeps the old one's permissions,
/// and is for its owner alone if there was none. Whoever calls this keeps others from it meanwhile.
///
/// # Errors
/// If one of these steps fails. The old file is still there then, unless it was the last one, writing the directory to the disk.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(OsStr::new(&format!(".{}.new", std::process::id())));
    let new = path.with_file_name(name);
    let replaced = write(path, &new, content);
    if replaced.is_err() {
        // What matters is the error before.
        let _ = fs::remove_file(&new);
    }
    replaced
}

fn write(path: &Path, new: &Path, content: &[u8]) -> io::Result<()> {
    // One that a killed process with this number has left. A link that somebody put there must not be followed.
    match fs::remove_file(new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(new)?;
    file.write_all(content)?;
    if let Ok(old) = fs::metadata(path) {
        let mode = old.permissions().mode() & 0o777;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
    }
    file.sync_all()?;
    fs::rename(new, path)?;
    // The name is in the directory, which is another file.
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}
