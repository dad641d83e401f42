//! What is in a compiled object: its programs with their length, its maps with their size.

use std::fmt::Write;

use anyhow::{Context, Result};
use object::elf::FileHeader64;
use object::read::elf::{ElfFile64, ElfSymbol};
use object::{Endianness, Object, ObjectSection, ObjectSymbol, SymbolKind};

/// Bytes of an instruction.
const INSTRUCTION: u64 = 8;
/// Where aya's macros put the definitions of maps.
const MAPS: &str = "maps";
/// Functions that programs call, and no programs themselves.
const SHARED: &str = ".text";

type File<'data> = ElfFile64<'data, Endianness>;
type Symbol<'data, 'file> = ElfSymbol<'data, 'file, FileHeader64<Endianness>>;

/// Two tables for a person. Counts are of what is in the object; what the verifier looks at is in the kernel tests.
pub(super) fn describe(object: &[u8]) -> Result<String> {
    let file = File::parse(object).context("the compiler's result is no ELF object")?;
    let mut text = String::new();
    for (name, section, instructions) in programs(&file) {
        writeln!(
            text,
            "  program  {name:<18} {section:<20} {instructions:>5} instructions"
        )?;
    }
    for (name, map) in maps(&file) {
        writeln!(text, "  map      {name:<18} {map}")?;
    }
    Ok(text)
}

fn programs<'a>(file: &'a File<'a>) -> Vec<(&'a str, &'a str, u64)> {
    let program = |symbol: Symbol<'a, 'a>| {
        if symbol.kind() != SymbolKind::Text || symbol.size() == 0 {
            return None;
        }
        let section = file
            .section_by_index(symbol.section_index()?)
            .ok()?
            .name()
            .ok()?;
        Some((symbol.name().ok()?, section, symbol.size() / INSTRUCTION))
    };
    let mut programs: Vec<_> = file.symbols().filter_map(program).collect();
    programs.retain(|(_, section, _)| *section != SHARED);
    programs.sort_unstable();
    programs
}

fn maps<'a>(file: &'a File<'a>) -> Vec<(&'a str, String)> {
    let Some(section) = file.section_by_name(MAPS) else {
        return Vec::new();
    };
    let data = section.data().unwrap_or_default();
    let map = |symbol: Symbol<'a, 'a>| {
        if symbol.section_index() != Some(section.index()) || symbol.size() == 0 {
            return None;
        }
        let definition = data.get(usize::try_from(symbol.address()).ok()?..)?;
        Some((symbol.name().ok()?, map(definition)?))
    };
    let mut maps: Vec<_> = file.symbols().filter_map(map).collect();
    maps.sort_unstable();
    maps
}

/// A `bpf_map_def`: type, size of a key, size of a value, entries, each 32 bits.
fn map(definition: &[u8]) -> Option<String> {
    let mut words = definition.chunks_exact(4).map(|word| match word {
        [a, b, c, d] => u32::from_le_bytes([*a, *b, *c, *d]),
        _ => 0,
    });
    let (kind, _, value, entries) = (words.next()?, words.next()?, words.next()?, words.next()?);
    // From `enum bpf_map_type` in linux/bpf.h; those in use.
    Some(match kind {
        2 => format!("array of {entries}, {value} bytes each"),
        6 => format!("array of {entries} per CPU, {value} bytes each"),
        11 => format!("prefixes, up to {entries}, {value} bytes each"),
        15 => format!("sockets, {entries}"),
        27 => format!("ring buffer, {entries} bytes"),
        other => format!("type {other}, {entries} entries of {value} bytes"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_maps_definition_is_read() {
        let words = [6u32, 4, 416, 513, 0, 0, 0];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(map(&bytes).unwrap(), "array of 513 per CPU, 416 bytes each");
        assert_eq!(map(&bytes[..12]), None);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        assert!(describe(b"#!/bin/sh").is_err());
    }
}
