//! Tests of `toolchain.rs`.

use super::*;

#[test]
fn the_compilers_llvm_is_read() {
    assert_eq!(
        llvm_of("rustc 1.96.0\nrelease: 1.96.0\nLLVM version: 22.1.8\n"),
        Some(22)
    );
    assert_eq!(llvm_of("rustc 1.96.0\n"), None);
}

#[test]
fn the_way_out_names_both_ways() {
    let text = by_hand();
    assert!(
        text.contains("rustup toolchain install nightly --component rust-src"),
        "{text}"
    );
    assert!(
        text.contains("apt-get install --no-install-recommends rustc-web"),
        "{text}"
    );
}
