//! What keeps a connection's window open while it idles.
//!
//! Linux starts over when a connection has sent nothing for a retransmission timeout
//! (`tcp_slow_start_after_idle_check` in include/net/tcp.h), unless the network namespace's setting says otherwise or the
//! congestion control looks after that itself. [`Means::find`] takes the best there is here:
//!
//! 1. Nothing is to be done: the setting is 0 already, or the congestion control in use does not start over.
//! 2. The setting, in a network namespace that is not the host's. It holds for all connections there, so it is 0 only while
//!    `upstream_window` sees no path lose anything ([`IdleWindows::follow`]), and goes back to what it was at the end.
//! 3. BBR, which `upstream_window` gives each connection over a path that loses nothing, and takes away again
//!    after a loss.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use proxy_common::{CONGESTION_NAME, CongestionName, NAME_STEADY, NAME_USUAL, NAMES};
use rustix::net::{AddressFamily, SocketType, sockopt};

use crate::config::{AfterIdle, Tcp};

/// Of the calling thread's network namespace.
const SETTING: &str = "/proc/sys/net/ipv4/tcp_slow_start_after_idle";
/// The congestion control of connections that do not choose.
const DEFAULT_CONGESTION: &str = "/proc/sys/net/ipv4/tcp_congestion_control";
/// A setting that only the first network namespace has, which is the host's.
const OF_THE_HOST: &str = "/proc/sys/net/core/netdev_budget";
/// A congestion control that does not start over.
const STEADY: &str = "bbr";

/// What keeps windows open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Means {
    /// The namespace's setting, which is 0 without our doing.
    System,
    /// The congestion control that connections have anyway.
    Congestion(String),
    /// The namespace's setting, which the proxy sets while no path loses anything.
    Setting,
    /// BBR, which connections get while their path loses nothing.
    Bbr,
    /// Nothing, and why.
    Nothing(Vec<String>),
}

impl Means {
    /// As in metrics and `/status`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Congestion(_) => "congestion_control",
            Self::Setting => "sysctl",
            Self::Bbr => "bbr",
            Self::Nothing(_) => "nothing",
        }
    }

    /// The best there is here for connections with this congestion control, the system's if there is none.
    fn find(congestion: Option<&str>) -> (Self, Option<Setting>) {
        match read(SETTING).as_deref() {
            Ok("0") => return (Self::System, None),
            Ok(_) => {}
            Err(error) => {
                let reason = format!("{SETTING}: {error}");
                return (Self::Nothing(vec![reason]), None);
            }
        }
        let present = usual(congestion);
        if present == STEADY {
            return (Self::Congestion(present), None);
        }
        let setting = Setting::open();
        let bbr = is_available(STEADY);
        match (setting, bbr) {
            (Ok(setting), _) => (Self::Setting, Some(setting)),
            (Err(_), Ok(())) => (Self::Bbr, None),
            (Err(first), Err(second)) => {
                let second = format!("the kernel gives no {STEADY}: {second}");
                (Self::Nothing(vec![first, second]), None)
            }
        }
    }
}

impl fmt::Display for Means {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => f.write_str("tcp_slow_start_after_idle is 0 here"),
            Self::Congestion(name) => write!(f, "{name} does not start over"),
            Self::Setting => {
                f.write_str("tcp_slow_start_after_idle is 0 while no path loses anything")
            }
            Self::Bbr => write!(f, "connections get {STEADY} while their path loses nothing"),
            Self::Nothing(reasons) => f.write_str(&reasons.join("; ")),
        }
    }
}

/// The means, and whether they are in force.
#[derive(Debug)]
pub struct IdleWindows {
    means: Means,
    setting: Option<Mutex<Setting>>,
}

impl IdleWindows {
    /// The best means for connections with these settings.
    pub(super) fn of(tcp: Option<&Tcp>) -> Self {
        match tcp {
            Some(tcp) if tcp.after_idle == AfterIdle::Auto => {
                let (means, setting) = Means::find(tcp.congestion_control.as_deref());
                Self {
                    means,
                    setting: setting.map(Mutex::new),
                }
            }
            _ => Self::none(vec![
                "upstream.tcp.after_idle leaves it to the system".to_owned(),
            ]),
        }
    }

    /// Nothing is done, for these reasons.
    pub(super) const fn none(reasons: Vec<String>) -> Self {
        Self {
            means: Means::Nothing(reasons),
            setting: None,
        }
    }

    /// Without the program that sees losses, only what the system does anyway is left.
    pub(super) fn without_program(self, reason: &str) -> Self {
        match self.means {
            Means::Setting | Means::Bbr => Self::none(vec![reason.to_owned()]),
            _ => self,
        }
    }

    /// The means.
    pub const fn means(&self) -> &Means {
        &self.means
    }

    /// Whether the means depend on what the paths lose, so that [`Self::follow`] has to be called every
    /// now and then.
    pub const fn is_followed(&self) -> bool {
        self.setting.is_some()
    }

    /// Sets the namespace's setting, if it is the means: 0 while paths are steady, what it was otherwise.
    ///
    /// # Errors
    /// The kernel's; nothing has changed then.
    pub fn follow(&self, steady: bool) -> io::Result<()> {
        match &self.setting {
            Some(setting) => locked(setting).set(steady),
            None => Ok(()),
        }
    }

    /// Puts the setting back and leaves it alone while another process may find out what it is without this one's doing.
    ///
    /// # Errors
    /// The kernel's.
    pub fn lend(&self, is_lent: bool) -> io::Result<()> {
        let Some(setting) = &self.setting else {
            return Ok(());
        };
        let mut setting = locked(setting);
        setting.is_lent = is_lent;
        setting.set(false)
    }

    /// Whether windows are kept now. With BBR that differs from connection to connection: `None`.
    pub fn are_kept(&self) -> Option<bool> {
        match (&self.means, &self.setting) {
            (Means::System | Means::Congestion(_), _) => Some(true),
            (Means::Bbr, _) => None,
            (_, Some(setting)) => Some(locked(setting).is_ours),
            _ => Some(false),
        }
    }
}

impl Drop for IdleWindows {
    fn drop(&mut self) {
        if let Err(error) = self.follow(false) {
            tracing::warn!("{SETTING} stays 0: {error}");
        }
    }
}

fn locked(setting: &Mutex<Setting>) -> MutexGuard<'_, Setting> {
    setting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The setting of a namespace that is ours to change.
#[derive(Debug)]
struct Setting {
    file: File,
    /// What it was before.
    before: String,
    /// Whether it is 0 by our doing.
    is_ours: bool,
    /// Whether it is another process' affair.
    is_lent: bool,
}

impl Setting {
    /// Opens it for writing; says why that cannot be.
    fn open() -> Result<Self, String> {
        if Path::new(OF_THE_HOST).exists() {
            return Err("this is the host's network".to_owned());
        }
        let before = read(SETTING).map_err(|error| format!("{SETTING}: {error}"))?;
        let file = OpenOptions::new().write(true).open(SETTING);
        let file = file.map_err(|error| format!("{SETTING} cannot be changed: {error}"))?;
        Ok(Self {
            file,
            before,
            is_ours: false,
            is_lent: false,
        })
    }

    fn set(&mut self, ours: bool) -> io::Result<()> {
        let ours = ours && !self.is_lent;
        if ours != self.is_ours {
            let value = if ours { "0" } else { &self.before };
            self.file.write_all_at(value.as_bytes(), 0)?;
            self.is_ours = ours;
        }
        Ok(())
    }
}

/// The names `upstream_window` has to know, each with its number.
pub(super) fn names(congestion: Option<&str>) -> [(u32, CongestionName); NAMES as usize] {
    [
        (NAME_STEADY, name(STEADY)),
        (NAME_USUAL, name(&usual(congestion))),
    ]
}

/// The congestion control of connections: the one that was chosen, or the system's.
fn usual(congestion: Option<&str>) -> String {
    let chosen = congestion.map(str::to_owned);
    let usual = chosen.or_else(|| read(DEFAULT_CONGESTION).ok());
    usual.unwrap_or_default()
}

fn name(text: &str) -> CongestionName {
    let mut name = [0; CONGESTION_NAME];
    // One is left for the zero.
    let bytes = text.bytes().take(CONGESTION_NAME - 1);
    name.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
    name
}

/// Whether this process could give a socket this congestion control; loads the kernel's module, where that is allowed.
///
/// # Errors
/// Why not.
pub fn is_available(congestion: &str) -> io::Result<()> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
    Ok(sockopt::set_tcp_congestion(socket.as_fd(), congestion)?)
}

fn read(path: &str) -> io::Result<String> {
    Ok(fs::read_to_string(path)?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_with_a_zero() {
        assert_eq!(&name("bbr")[..4], b"bbr\0");
        assert_eq!(name("a_name_that_is_too_long")[CONGESTION_NAME - 1], 0);
    }

    #[test]
    fn without_the_program_nothing_of_ours_is_left() {
        let of = |means| IdleWindows {
            means,
            setting: None,
        };
        let ours = of(Means::Bbr).without_program("off");
        assert_eq!(*ours.means(), Means::Nothing(vec!["off".to_owned()]));
        assert_eq!(ours.are_kept(), Some(false));
        let system = of(Means::System).without_program("off");
        assert_eq!(system.are_kept(), Some(true));
    }
}
