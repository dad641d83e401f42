//! Loud skips: a test that cannot run here must be seen not to have run.

use std::io::Write;

use crate::Error;

/// The network; or nothing, with a line `SKIPPED: …`, where this machine lacks what it needs.
///
/// The line goes to standard output past the capture of the test harness, so that it is seen, and counted by
/// `cargo xtask test`, although the test then passes.
///
/// # Panics
/// On any other error: that is a failure, not a lack.
#[must_use]
pub fn or_skip<T>(started: Result<T, Error>) -> Option<T> {
    match started {
        Ok(network) => Some(network),
        Err(error) if error.is_lack() => {
            let test = std::thread::current().name().unwrap_or("?").to_owned();
            // One write, so that lines of tests that run beside this one stay whole.
            let line = format!("\nSKIPPED: {test}: {error}\n");
            let _ = std::io::stdout().write_all(line.as_bytes());
            None
        }
        #[expect(
            clippy::panic,
            reason = "called by tests only, for which this is the way to fail"
        )]
        Err(error) => panic!("no emulated network: {error}"),
    }
}
