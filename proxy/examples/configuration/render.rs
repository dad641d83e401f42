//! The files that are made of the schema. `tests/it/configuration.rs` uses this file, too, and looks whether those in the
//! repository are still right.

use std::error::Error;
use std::fs;
use std::path::Path;

use super::{example, reference, schema};

/// The schema, from the repository's root.
pub(crate) const SCHEMA: &str = "deploy/configuration/holysheep-proxy.schema.json";
/// The example.
pub(crate) const EXAMPLE: &str = "deploy/configuration/holysheep-proxy.yaml";
/// What has a block with all keys.
pub(crate) const REFERENCE: &str = "docs/configuration.md";

/// What the block comes after.
const MARK: &str = "<!-- Made of the types by `cargo run -p holysheep-proxy --example configuration`. -->\n\n```yaml\n";
/// All files, and what they have to be. What is written by hand is read below `root`.
pub(crate) fn all(root: &Path) -> Result<[(&'static str, String); 3], Box<dyn Error>> {
    let schema = schema::all()?;
    let text = fs::read_to_string(root.join(REFERENCE))?;
    let (before, from) = text
        .split_once(MARK)
        .ok_or("there is no mark in the reference")?;
    let (_, after) = from.split_once("```").ok_or("the block has no end")?;
    let block = reference::block(&schema);
    let reference = format!("{before}{MARK}{block}```{after}");
    let example = example::file(&schema);
    let schema = format!("{}\n", serde_json::to_string_pretty(&schema)?);
    Ok([(SCHEMA, schema), (EXAMPLE, example), (REFERENCE, reference)])
}
