//! What a guest boots into: an archive with busybox, the modules, the tests and `init.sh`.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::packages::Kernel;
use super::suite::Suite;
use crate::workspace::Workspace;

const INIT: &str = include_str!("init.sh");

/// Where Debian's busybox-static puts it.
pub(crate) const BUSYBOX: &str = "/bin/busybox";

/// What Debian has as modules and tests may need, each after what it needs itself.
const MODULES: [&str; 10] = [
    "drivers/net/tun",
    "drivers/net/veth",
    "net/ipv4/inet_diag",
    "net/ipv4/tcp_diag",
    "net/ipv4/tcp_bbr",
    "net/tls/tls",
    "net/sched/sch_fq",
    "net/sched/sch_tbf",
    "net/sched/sch_ingress",
    "net/sched/cls_bpf",
];

/// Directories the init script mounts on or expects.
const DIRECTORIES: [&str; 9] = [
    "bin", "dev", "proc", "sys", "tmp", "run", "etc", "modules", "tests",
];

/// Packs the archive for a kernel.
pub(super) fn pack(
    workspace: &Workspace,
    kernel: &Kernel,
    suites: &[Suite],
    arguments: &[String],
) -> Result<PathBuf> {
    let scratch = workspace.scratch("xtask")?;
    let root = scratch.join("guest");
    if root.exists() {
        fs::remove_dir_all(&root)?;
    }
    for directory in DIRECTORIES {
        fs::create_dir_all(root.join(directory))?;
    }
    busybox(&root)?;
    for (index, module) in MODULES.iter().enumerate() {
        add_module(kernel, module, &root, index)?;
    }
    let mut list = String::new();
    for suite in suites {
        fs::copy(&suite.program, root.join("tests").join(suite.name))?;
        let arguments = match arguments {
            [] => suite.arguments.join(" "),
            given => given.join(" "),
        };
        list.push_str(&format!("{} {} {arguments}\n", suite.limit, suite.name));
    }
    fs::write(root.join("suites"), list)?;
    fs::write(
        root.join("etc/hosts"),
        "127.0.0.1 localhost\n::1 localhost\n",
    )?;
    let init = root.join("init");
    fs::write(&init, INIT)?;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755))?;
    archive(&root, &scratch.join("guest.cpio"))
}

/// busybox under the names of all its programs.
fn busybox(root: &Path) -> Result<()> {
    let bin = root.join("bin");
    fs::copy(BUSYBOX, bin.join("busybox"))
        .with_context(|| format!("cannot copy {BUSYBOX}; install busybox-static"))?;
    let output = Command::new(BUSYBOX).arg("--list").output()?;
    for name in String::from_utf8_lossy(&output.stdout).lines() {
        if name != "busybox" {
            std::os::unix::fs::symlink("busybox", bin.join(name))?;
        }
    }
    Ok(())
}

/// Adds a module, unpacked and numbered; a kernel that has it built in has no file.
fn add_module(kernel: &Kernel, module: &str, root: &Path, index: usize) -> Result<()> {
    let file = kernel.modules.join("kernel").join(format!("{module}.ko"));
    let name = module.rsplit('/').next().unwrap_or(module);
    let to = root.join("modules").join(format!("{index:02}-{name}.ko"));
    let packed = file.with_extension("ko.xz");
    if file.exists() {
        fs::copy(&file, &to)?;
    } else if packed.exists() {
        // busybox can, so that nothing more has to be installed.
        let unpacked = Command::new(BUSYBOX)
            .args(["xzcat"])
            .arg(&packed)
            .stdout(File::create(&to)?)
            .status()?;
        if !unpacked.success() {
            bail!("cannot unpack {}", packed.display());
        }
    }
    Ok(())
}

fn archive(root: &Path, archive: &Path) -> Result<PathBuf> {
    // Not compressed: reading is faster than unpacking in an emulated CPU.
    let mut cpio = Command::new("cpio")
        .args(["--quiet", "-o", "-0", "-H", "newc", "-R", "0:0"])
        .current_dir(root)
        .stdin(Stdio::piped())
        .stdout(File::create(archive)?)
        .spawn()
        .context("cannot start cpio")?;
    let mut names = Vec::new();
    list(root, Path::new(""), &mut names)?;
    let mut input = cpio.stdin.take().context("cpio takes no names")?;
    for name in names {
        write!(input, "{}\0", name.display())?;
    }
    drop(input);
    if !cpio.wait()?.success() {
        bail!("cpio failed; is the disk full?");
    }
    Ok(archive.to_path_buf())
}

/// Everything below a directory, each directory before what is in it.
fn list(root: &Path, below: &Path, names: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        let name = below.join(entry.file_name());
        names.push(name.clone());
        if entry.file_type()?.is_dir() {
            list(root, &name, names)?;
        }
    }
    Ok(())
}
