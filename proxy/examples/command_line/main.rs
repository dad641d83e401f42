//! `cargo run -p holysheep-proxy --example command_line`: writes the manual's pages and completions for shells.
//!
//! An example, so that what makes them is no part of the program.

mod render;

use std::io;
use std::path::Path;

fn main() -> io::Result<()> {
    render::all(&Path::new(env!("CARGO_MANIFEST_DIR")).join(render::PLACE))
}
