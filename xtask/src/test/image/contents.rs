//! What is in the image: nothing but what is expected, under the names and settings users rely on.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use object::elf::{FileHeader64, PT_INTERP};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, Object, ObjectSection};

use super::Problems;
use crate::command::output;
use crate::image::LIMIT;
use crate::image::engine::Engine;
use crate::image::facts::{Facts, megabytes, mounted};
use crate::workspace::Workspace;

const PROGRAM: &str = "usr/bin/holysheep-proxy";

/// All files and their modes.
const FILES: [(&str, u32); 6] = [
    (PROGRAM, 0o755),
    ("usr/share/doc/holysheep-proxy/LICENSE-APACHE", 0o644),
    ("usr/share/doc/holysheep-proxy/LICENSE-MIT", 0o644),
    ("usr/share/doc/holysheep-proxy/THIRD-PARTY.gz", 0o644),
    ("usr/share/doc/holysheep-proxy/sbom-ebpf.cdx.json", 0o644),
    ("usr/share/doc/holysheep-proxy/sbom.cdx.json", 0o644),
];

/// What `podman image inspect` has to answer.
const SETTINGS: [(&str, &str); 15] = [
    ("{{.Config.User}}", "101:101"),
    ("{{.Config.Entrypoint}}", "[/usr/bin/holysheep-proxy]"),
    ("{{.Config.Cmd}}", "[serve]"),
    ("{{.Config.StopSignal}}", "SIGTERM"),
    (
        "{{range $port, $_ := .Config.ExposedPorts}}{{$port}} {{end}}",
        "8080/tcp 8081/tcp 8443/tcp 9090/tcp",
    ),
    (
        "{{range .Config.Env}}{{.}} {{end}}",
        "PATH=/usr/bin PROXY_MODE=production HOLYSHEEP_LISTEN=0.0.0.0:8080 HOLYSHEEP_ADMIN_LISTEN=0.0.0.0:9090",
    ),
    ("{{len .Config.Labels}}", "8"),
    (
        r#"{{index .Config.Labels "org.opencontainers.image.title"}}"#,
        "holysheep-proxy",
    ),
    (
        r#"{{index .Config.Labels "org.opencontainers.image.version"}}"#,
        env!("CARGO_PKG_VERSION"),
    ),
    (
        r#"{{index .Config.Labels "org.opencontainers.image.licenses"}}"#,
        "MIT OR Apache-2.0",
    ),
    // Their values differ; that they are there does not.
    (
        r#"{{ne "" (index .Config.Labels "org.opencontainers.image.description")}}"#,
        "true",
    ),
    (
        r#"{{ne "" (index .Config.Labels "org.opencontainers.image.revision")}}"#,
        "true",
    ),
    (
        r#"{{ne "" (index .Config.Labels "org.opencontainers.image.created")}}"#,
        "true",
    ),
    (
        r#"{{ne "" (index .Config.Labels "org.opencontainers.image.source")}}"#,
        "true",
    ),
    ("{{.Os}}", "linux"),
];

/// Nothing is missing, nothing else is there, all belongs to root, and it is small.
pub(super) fn files(facts: &Facts) -> Problems {
    let mut problems = Problems::new();
    for file in &facts.files {
        let path = file.path.display();
        let expected = FILES.iter().find(|(name, _)| Path::new(name) == file.path);
        match expected {
            None => problems.push(format!("/{path} does not belong there")),
            Some((_, mode)) if file.mode != *mode || file.owner != (0, 0) => {
                let (mode, owner) = (file.mode, file.owner);
                problems.push(format!("/{path} has mode {mode:o} and owner {owner:?}"));
            }
            Some(_) if file.size == 0 => problems.push(format!("/{path} is empty")),
            Some(_) => {}
        }
    }
    for (name, _) in FILES {
        if !facts.files.iter().any(|file| file.path == Path::new(name)) {
            problems.push(format!("/{name} is missing"));
        }
    }
    if facts.size() > LIMIT {
        let (size, limit) = (megabytes(facts.size()), megabytes(LIMIT));
        problems.push(format!("{size} is more than {limit}"));
    }
    problems
}

/// User, ports, environment, labels.
pub(super) fn settings(engine: &Engine, tag: &str) -> Result<Problems> {
    let mut problems = Problems::new();
    for (question, expected) in SETTINGS {
        let mut podman = engine.podman();
        let answer = output(podman.args(["image", "inspect", "--format", question, tag]))?;
        if answer.trim() != expected {
            problems.push(format!("{question} is {answer}, not {expected}"));
        }
    }
    Ok(problems)
}

/// It asks for no libraries, carries no debugging information, and names no directory of this machine.
pub(super) fn program(workspace: &Workspace, engine: &Engine, tag: &str) -> Result<Problems> {
    let bytes = mounted(engine, tag, |root| {
        fs::read(root.join(PROGRAM)).context("the image has no program")
    })?;
    let mut problems = Problems::new();
    let header = FileHeader64::<Endianness>::parse(&*bytes)?;
    let endian = header.endian()?;
    let segments = header.program_headers(endian, &*bytes)?;
    if segments
        .iter()
        .any(|segment| segment.p_type(endian) == PT_INTERP)
    {
        problems.push("the program wants a loader of libraries".to_owned());
    }
    let file = object::read::elf::ElfFile64::<Endianness>::parse(&*bytes)?;
    for section in file.sections() {
        let name = section.name().unwrap_or_default();
        if name.starts_with(".debug") || name == ".symtab" {
            problems.push(format!("the program is not stripped: {name}"));
        }
    }
    let mut directories = vec![workspace.root().to_path_buf()];
    directories.extend(std::env::var_os("HOME").map(Into::into));
    for directory in directories {
        // Where somebody's home is the root of all there is nothing to look for.
        let name = directory.join("");
        let name = name.as_os_str().as_encoded_bytes();
        if name.len() > 1 && bytes.windows(name.len()).any(|part| part == name) {
            problems.push(format!("the program names {}", directory.display()));
        }
    }
    Ok(problems)
}
