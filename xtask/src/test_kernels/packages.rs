//! Debian's kernels: the newest of each series, unpacked below the target directory, never installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::apt;
use crate::workspace::Workspace;

/// Kernels of one stable series.
pub(super) struct Series {
    pub(super) name: &'static str,
    /// What its packages' names begin with; then a number that grows comes.
    prefix: &'static str,
}

/// Those of Debian 12 and 13; most clusters have something between them. The small kernels for virtual machines.
pub(super) const SERIES: [Series; 2] = [
    Series {
        name: "6.1",
        prefix: "linux-image-6.1.0-",
    },
    Series {
        name: "6.12",
        prefix: "linux-image-6.12.",
    },
];

const SUFFIX: &str = "-cloud-amd64";

/// A kernel to boot.
pub(super) struct Kernel {
    /// As `uname -r` gives it.
    pub(super) release: String,
    pub(super) image: PathBuf,
    /// Where its modules are.
    pub(super) modules: PathBuf,
}

impl Series {
    /// The number in a package's name, if it is one of this series.
    fn number(&self, package: &str) -> Option<u32> {
        let middle = package.strip_prefix(self.prefix)?.strip_suffix(SUFFIX)?;
        // Backports have the distribution after it: `117+deb12`.
        let (number, distribution) = middle.split_once('+').unwrap_or((middle, "deb"));
        let number = number.parse().ok()?;
        distribution.starts_with("deb").then_some(number)
    }

    fn newest(&self, packages: impl Iterator<Item = String>) -> Option<String> {
        packages
            .filter_map(|package| Some((self.number(&package)?, package)))
            .max()
            .map(|(_, package)| package)
    }
}

/// The newest kernel there is; one from an earlier run where nothing can be downloaded.
pub(super) fn kernel(workspace: &Workspace, series: &Series) -> Result<Kernel> {
    let directory = workspace.scratch("kernels")?;
    let unpacked = fs::read_dir(&directory)?
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned());
    let unpacked = series.newest(unpacked);
    let offered = offered(series);
    let kernel = |package: &str| Kernel::in_package(&directory.join(package));
    match (unpacked, offered) {
        (Some(unpacked), Ok(offered)) if unpacked == offered => kernel(&unpacked),
        (None, Ok(offered)) => kernel(&download(&directory, offered)?),
        (Some(unpacked), Ok(offered)) => match download(&directory, offered) {
            Ok(offered) => kernel(&offered),
            Err(error) => {
                println!("{error:#}\nTaking {unpacked}, which is there.");
                kernel(&unpacked)
            }
        },
        (Some(unpacked), Err(_)) => kernel(&unpacked),
        (None, Err(error)) => Err(error),
    }
}

/// The newest package of the series in apt's lists, which are fetched if there are none.
fn offered(series: &Series) -> Result<String> {
    if !apt::has_program("apt-get") {
        bail!("its package comes from Debian, and there is no apt-get here");
    }
    let known = || -> Result<Option<String>> {
        let mut list = Command::new("apt-cache");
        let output = list.args(["pkgnames", series.prefix]).output()?;
        let names = String::from_utf8_lossy(&output.stdout);
        Ok(series.newest(names.lines().map(str::to_owned)))
    };
    if let Some(package) = known()? {
        return Ok(package);
    }
    apt::update()?;
    known()?.with_context(|| format!("Debian has no {}*{SUFFIX} for this machine", series.prefix))
}

fn download(directory: &Path, package: String) -> Result<String> {
    println!(
        "Downloading {package} and unpacking it below the target directory; it is not installed."
    );
    apt::unpack(&package, directory)?;
    Ok(package)
}

impl Kernel {
    fn in_package(root: &Path) -> Result<Self> {
        let boot = root.join("boot");
        let names = fs::read_dir(&boot)
            .with_context(|| format!("cannot read {}; remove it", boot.display()))?;
        let mut releases = names.flatten().filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            Some(name.strip_prefix("vmlinuz-")?.to_owned())
        });
        let release = releases
            .next()
            .with_context(|| format!("{} has no kernel; remove its directory", boot.display()))?;
        // Below /usr where Debian has merged the two.
        let modules = ["lib", "usr/lib"].map(|lib| root.join(lib).join("modules").join(&release));
        let modules = modules.into_iter().find(|modules| modules.is_dir());
        Ok(Self {
            image: boot.join(format!("vmlinuz-{release}")),
            modules: modules.context("the kernel's package has no modules")?,
            release,
        })
    }
}

#[cfg(test)]
mod tests;
