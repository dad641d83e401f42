//! `cargo run -p holysheep-proxy --example configuration`: writes what is made of the types of the configuration file.
//!
//! That is its schema, the example of it, and the block with all keys in `docs/configuration.md`. An example, so that what
//! makes them is no part of the program, but for the schema, which `holysheep-proxy config --schema` prints.

mod defaults;
mod example;
mod keys;
mod reference;
mod render;
mod schema;
mod yaml;

use std::error::Error;
use std::fs;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (place, text) in render::all(&root)? {
        fs::write(root.join(place), text)?;
    }
    Ok(())
}
