//! Embeds the kernel programs, if there are any: the object named by `HOLYSHEEP_EBPF_OBJECT`, or else the one
//! `cargo xtask build-ebpf` has left in the target directory, or else none. The library sees which by
//! `cfg(holysheep_ebpf)`; nothing is looked up when the proxy runs.
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Names an object built elsewhere.
const VARIABLE: &str = "HOLYSHEEP_EBPF_OBJECT";
/// Below the target directory; `xtask/src/build_ebpf.rs` writes it.
const BUILT: &str = "bpf/holysheep-proxy.bpf.o";
/// Beside it: the program that steers probes, embedded as well.
const STEERING: &str = "probe-steering.bpf.o";
/// Beside it, too: a program for the tests of the kernel side, which the proxy itself does not embed.
const FOREIGN: &str = "foreign.bpf.o";

fn main() -> Result<(), String> {
    println!("cargo::rustc-check-cfg=cfg(holysheep_ebpf, holysheep_ebpf_foreign)");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    let Some(object) = object()? else {
        return Ok(());
    };
    embed(&object, "proxy.bpf.o")?;
    embed(&object.with_file_name(STEERING), STEERING)?;
    println!("cargo::rustc-cfg=holysheep_ebpf");
    let foreign = object.with_file_name(FOREIGN);
    if foreign.is_file() {
        embed(&foreign, FOREIGN)?;
        println!("cargo::rustc-cfg=holysheep_ebpf_foreign");
    }
    Ok(())
}

/// Makes a copy, so that what is embedded cannot change while the compiler runs.
fn embed(object: &Path, name: &str) -> Result<(), String> {
    let bytes =
        fs::read(object).map_err(|error| format!("cannot read {}: {error}", object.display()))?;
    if !bytes.starts_with(b"\x7fELF") {
        return Err(format!("{} is no ELF object", object.display()));
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets no OUT_DIR")?);
    fs::write(out.join(name), bytes).map_err(|error| error.to_string())
}

fn object() -> Result<Option<PathBuf>, String> {
    if let Some(named) = env::var_os(VARIABLE).filter(|named| !named.is_empty()) {
        let named = PathBuf::from(named);
        if named.is_relative() {
            return Err(format!(
                "{VARIABLE} is {}: give the whole path",
                named.display()
            ));
        }
        println!("cargo::rerun-if-changed={}", named.display());
        return Ok(Some(named));
    }
    let Some(target) = target_directory() else {
        return Ok(None);
    };
    let built = target.join(BUILT);
    // The directory is watched: cargo would take a file that does not exist for one that has changed every time.
    if let Some(directory) = built.parent() {
        fs::create_dir_all(directory).map_err(|error| error.to_string())?;
        println!("cargo::rerun-if-changed={}", directory.display());
    }
    if !built.is_file() {
        return Ok(None);
    }
    if is_older_than_sources(&built).unwrap_or(false) {
        println!(
            "cargo::warning=the kernel programs in the target directory are older than their sources; \
             `cargo xtask build-ebpf` builds them again"
        );
    }
    Ok(Some(built))
}

/// Where this build puts its results. Ours are in `<target>/<profile>/build/<package>/out`, or the same below
/// `<target>/<triple>` if cargo was told the machine to build for.
fn target_directory() -> Option<PathBuf> {
    let out = PathBuf::from(env::var_os("OUT_DIR")?);
    let above = out.ancestors().nth(4)?;
    let triple = env::var_os("TARGET")?;
    let target = match above.file_name() {
        Some(name) if name == triple => above.parent()?,
        _ => above,
    };
    Some(target.to_path_buf())
}

fn is_older_than_sources(built: &Path) -> io::Result<bool> {
    let built = fs::metadata(built)?.modified()?;
    for directory in ["../proxy-ebpf/src", "../proxy-common/src"] {
        println!("cargo::rerun-if-changed={directory}");
        for entry in fs::read_dir(directory)? {
            if entry?.metadata()?.modified()? > built {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
