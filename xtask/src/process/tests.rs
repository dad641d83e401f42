//! Tests of `process.rs`.

use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use rustix::process::getpgid;

use super::*;

fn shell(script: &str) -> Command {
    let mut command = bound_to_us("sh");
    command.args(["-c", script]).stdout(Stdio::piped());
    command
}

/// A group of one shell, which has said that it is ready.
fn group_of(script: &str) -> Group {
    let mut group = Group::new().unwrap();
    let script = format!("{script}; echo ready; while :; do sleep 0.05; done");
    group.start("child", &mut shell(&script)).unwrap();
    let ready = |line: Option<&str>| line.filter(|line| *line == "ready").map(drop);
    group.wait_for("the child", TERMINATE, ready).unwrap();
    group
}

#[test]
fn lines_come_before_the_end() {
    let mut group = Group::new().unwrap();
    group
        .start("child", &mut shell("echo one; exit 3"))
        .unwrap();
    let first = group.next(TERMINATE);
    assert!(matches!(first, Some(Event::Line { line, .. }) if line == "one"));
    let second = group.next(TERMINATE);
    assert!(matches!(second, Some(Event::Exited { status, .. }) if status.code() == Some(3)));
}

#[test]
fn waiting_ends_when_a_child_does() {
    let mut group = Group::new().unwrap();
    group.start("child", &mut shell("exit 1")).unwrap();
    let result = group.wait_for("an answer", TERMINATE, |_| None::<()>);
    let message = result.unwrap_err().to_string();
    assert!(message.starts_with("the child ended"), "{message}");
}

#[test]
fn children_are_terminated() {
    let mut group = group_of(":");
    group.end();
    assert!(group.running.is_empty());
}

#[test]
fn the_terminals_signals_are_ours_alone() {
    let group = group_of(":");
    let (_, child) = group.running[0];
    assert_eq!(getpgid(Some(child)).unwrap(), child);
    assert_ne!(getpgid(None).unwrap(), child);
}

#[test]
fn what_we_are_asked_is_passed_on_once() {
    for (signal, name) in [(Signal::INT, "INT"), (Signal::TERM, "TERM")] {
        let file = format!("xtask-signals-{name}-{}", std::process::id());
        let file = std::env::temp_dir().join(file);
        let note = |what: &str| format!("trap 'echo {what} >> {}' {what}", file.display());
        // It needs a moment to finish, in which nothing else may come.
        let script = format!(
            "{}; {}; trap 'sleep 0.2; exit' EXIT; trap 'echo {name} >> {}; exit' {name}",
            note("INT"),
            note("TERM"),
            file.display()
        );
        let mut group = group_of(&script);
        group.finish(signal);
        assert!(group.running.is_empty());
        let got = std::fs::read_to_string(&file).unwrap_or_default();
        let _gone = std::fs::remove_file(&file);
        assert_eq!(got, format!("{name}\n"));
    }
}

#[test]
fn children_do_not_outlive_us() {
    assert!(apt::has_program("setpriv"), "install util-linux");
    // To the kernel the parent is the thread that started the child.
    let parent = thread::spawn(|| group_of(":"));
    let mut orphaned = parent.join().unwrap();
    let end = orphaned.next(TERMINATE);
    assert!(matches!(end, Some(Event::Exited { status, .. }) if status.signal() == Some(15)));
}
