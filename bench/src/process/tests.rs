//! Tests of `process.rs`.

use super::*;

#[test]
fn child_is_pinned_and_ends_with_its_guard() {
    let cpu = allowed_cpus().unwrap()[0];
    let process = Process::spawn(Command::new("sleep").arg("60"), Some(cpu)).unwrap();
    let id = process.id();
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    assert!(
        status.contains(&format!("Cpus_allowed_list:\t{cpu}\n")),
        "{status}"
    );
    drop(process);
    assert!(!std::path::Path::new(&format!("/proc/{id}")).exists());
}
