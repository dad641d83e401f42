//! The hosts' congestion control: cubic, as on most nodes in the world, whatever this machine uses.
//!
//! A namespace can only be given an algorithm that the *host* lists in `tcp_allowed_congestion_control`. Where it does
//! not, the list is widened, the namespace set, and the list put back, all within a fraction of a millisecond. A file
//! below `/run` keeps other processes out meanwhile, and keeps the old list should we be killed: then the
//! next start puts it back.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};

use rustix::fs::{FlockOperation, flock};

use crate::{Error, Host};

const NAMESPACE: &str = "/proc/sys/net/ipv4/tcp_congestion_control";
const ALLOWED: &str = "/proc/sys/net/ipv4/tcp_allowed_congestion_control";
const KEPT: &str = "/run/holysheep-netlab.allowed";

/// Gives all new sockets of the hosts this congestion control.
pub(crate) fn set(hosts: [&Host; 2], name: &str) -> Result<(), Error> {
    let fail = |source| Error::CongestionControl {
        name: name.to_owned(),
        source,
    };
    // Somebody is at it, or was killed at it.
    if fs::metadata(KEPT).is_ok_and(|kept| kept.len() > 0) {
        drop(List::take().map_err(fail)?);
    }
    let result = hosts.iter().try_for_each(|host| set_in(host, name));
    match result {
        Err(Error::CongestionControl { ref source, .. })
            if source.kind() == io::ErrorKind::PermissionDenied =>
        {
            let mut list = List::take().map_err(fail)?;
            list.widen(name).map_err(fail)?;
            let result = hosts.iter().try_for_each(|host| set_in(host, name));
            list.restore().map_err(fail)?;
            result
        }
        result => result,
    }
}

fn set_in(host: &Host, name: &str) -> Result<(), Error> {
    let set = || {
        if fs::read_to_string(NAMESPACE)?.trim() == name {
            return Ok(());
        }
        fs::write(NAMESPACE, name)
    };
    host.run(set)?.map_err(|source| Error::CongestionControl {
        name: name.to_owned(),
        source,
    })
}

/// The host's list, ours alone while this lives.
struct List {
    /// Locked; empty but for the time in which the list is widened.
    kept: File,
}

impl List {
    fn take() -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let kept = options.open(KEPT)?;
        // Freed by the kernel when the file is closed, that is, also when we are killed.
        flock(&kept, FlockOperation::LockExclusive)?;
        let mut list = Self { kept };
        list.restore()?;
        Ok(list)
    }

    fn widen(&mut self, name: &str) -> io::Result<()> {
        let before = fs::read_to_string(ALLOWED)?;
        self.kept.rewind()?;
        self.kept.write_all(before.as_bytes())?;
        fs::write(ALLOWED, format!("{} {name}", before.trim()))
    }

    /// Puts back what the file keeps, ours or that of a process that was killed.
    fn restore(&mut self) -> io::Result<()> {
        let mut before = String::new();
        self.kept.rewind()?;
        self.kept.read_to_string(&mut before)?;
        if !before.trim().is_empty() {
            fs::write(ALLOWED, before.trim())?;
            self.kept.set_len(0)?;
        }
        Ok(())
    }
}

impl Drop for List {
    fn drop(&mut self) {
        // Does nothing after a restore that went well; else there is nobody to tell.
        let _ = self.restore();
    }
}
