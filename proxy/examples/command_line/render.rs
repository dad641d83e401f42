//! The manual's pages and completions for shells, from the command line itself. `tests/it/command_line.rs` uses this file, too,
//! and looks whether those in the repository are still right.

use std::fs;
use std::io;
use std::path::Path;

use clap_complete::Shell;

/// Where they are, from this crate.
pub(crate) const PLACE: &str = "../deploy/command-line";

/// Writes all of them into a directory.
pub(crate) fn all(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let command = holysheep_proxy::cli::command();
    for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
        clap_complete::generate_to(shell, &mut command.clone(), command.get_name(), directory)?;
    }
    clap_mangen::generate_to(command, directory)
}
