//! The image's bills of materials, of the proxy and of its kernel programs: that other programs can read them, and that
//! they name what was built in.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result};
use serde_json::Value;

use super::Problems;
use crate::command::output;
use crate::image::engine::Engine;
use crate::image::facts::mounted;
use crate::workspace::Workspace;

/// Each with what it is about, and where the dependencies are said.
const BILLS: [(&str, &str, &str); 2] = [
    ("sbom.cdx.json", "holysheep-proxy", "proxy/Cargo.toml"),
    ("sbom-ebpf.cdx.json", "proxy-ebpf", "proxy-ebpf/Cargo.toml"),
];

pub(super) fn check(workspace: &Workspace, engine: &Engine, tag: &str) -> Result<Problems> {
    let mut problems = Problems::new();
    for (name, subject, manifest) in BILLS {
        let text = mounted(engine, tag, |root| {
            let file = root.join("usr/share/doc/holysheep-proxy").join(name);
            fs::read_to_string(file).with_context(|| format!("the image has no {name}"))
        })?;
        let bill: Value =
            serde_json::from_str(&text).with_context(|| format!("{name} is no JSON"))?;
        for (field, expected) in [
            ("/bomFormat", "CycloneDX"),
            ("/metadata/component/name", subject),
            ("/metadata/component/version", env!("CARGO_PKG_VERSION")),
        ] {
            let found = bill.pointer(field).and_then(Value::as_str);
            if found != Some(expected) {
                problems.push(format!("{name}: {field} is {found:?}, not {expected}"));
            }
        }
        let listed = listed(&bill);
        let direct = direct(workspace, manifest)?;
        let (all, named) = (listed.len(), direct.len());
        println!("{name} lists {all} components; Cargo.toml names {named}.");
        for missing in direct.difference(&listed) {
            problems.push(format!("{name}: {missing} is missing"));
        }
        if direct.is_empty() {
            problems.push(format!("cargo tells of no dependencies of {manifest}"));
        }
    }
    Ok(problems)
}

/// Its components, as `NAME VERSION`.
fn listed(bill: &Value) -> BTreeSet<String> {
    let components = bill.get("components").and_then(Value::as_array);
    let text = |component: &Value, field: &str| Some(component.get(field)?.as_str()?.to_owned());
    components
        .into_iter()
        .flatten()
        .filter_map(|one| Some(format!("{} {}", text(one, "name")?, text(one, "version")?)))
        .collect()
}

/// What a Cargo.toml asks for, in the versions that are locked.
fn direct(workspace: &Workspace, manifest: &str) -> Result<BTreeSet<String>> {
    let mut cargo = workspace.cargo(["tree", "--locked", "--manifest-path", manifest]);
    cargo.args([
        "--depth", "1", "-e", "normal", "--prefix", "none", "--format", "{p}",
    ]);
    let tree = output(&mut cargo)?;
    Ok(tree.lines().skip(1).filter_map(package).collect())
}

/// `NAME vVERSION`, and more for crates that are not from the registry.
fn package(line: &str) -> Option<String> {
    let mut words = line.split(' ');
    let (name, version) = (words.next()?, words.next()?);
    Some(format!("{name} {}", version.strip_prefix('v')?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_read_from_cargos_tree() {
        assert_eq!(package("aya v0.14.0"), Some("aya 0.14.0".to_owned()));
        let path = "proxy-common v0.1.0 (/src/proxy-common)";
        assert_eq!(package(path), Some("proxy-common 0.1.0".to_owned()));
    }
}
