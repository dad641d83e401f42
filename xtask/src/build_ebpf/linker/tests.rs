//! Tests of `linker.rs`.

use super::*;

#[test]
fn the_linkers_llvm_is_in_the_name_of_its_library() {
    let debian = "\tlinux-vdso.so.1 (0x7f)\n\tlibLLVM.so.22.1 => /lib/x86_64-linux-gnu/libLLVM.so.22.1 (0x7f)\n";
    assert_eq!(llvm_of(debian), Some(22));
    assert_eq!(
        llvm_of("\tlibLLVM-18.so.1 => /usr/lib/libLLVM-18.so.1 (0x7f)\n"),
        Some(18)
    );
    assert_eq!(llvm_of("\tlibc.so.6 => /lib/libc.so.6 (0x7f)\n"), None);
}

#[test]
fn an_older_linker_does_not_fit() {
    assert!(fits(Some(22), 22) && fits(Some(23), 22) && fits(None, 22));
    assert!(!fits(Some(21), 22));
}

#[test]
fn the_image_is_built_with_the_same_linker() {
    let script = include_str!("../../../../deploy/docker/tools.sh");
    assert!(script.contains(&format!("\nbpf_linker={VERSION}\n")));
}
