//! `holysheep-proxy client`: a key is made, let in, shown once, and taken back.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

use crate::harness::program::{command, text};
use crate::harness::{CHAT, Directory, QUESTION, Rig, eventually};

fn client(file: &Path, args: &[&str]) -> Output {
    let mut command = command(["client"]);
    command.args(args).env("HOLYSHEEP_CLIENTS_FILE", file);
    command.output().unwrap()
}

#[track_caller]
fn succeeds(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    text(&output.stdout)
}

#[test]
fn a_key_is_made_let_in_and_taken_back() {
    let rig = Rig::builder().clients(&[]).start();
    rig.wait_watching();
    let file = rig.directory.path("clients.yaml");
    let added = client(&file, &["add", "team-a"]);
    let key = succeeds(&added);
    let key = key.strip_suffix('\n').unwrap();
    assert!(
        key.starts_with("hs-") && key.len() == 59 && !key.contains('\n'),
        "{key}"
    );
    let told = text(&added.stderr);
    assert!(told.contains("once") && !told.contains(key), "{told}");
    let written = std::fs::read_to_string(&file).unwrap();
    assert!(!written.contains(&key[16..]), "{written}");
    let ask = |key: &str| {
        let fields = [("x-api-key", key)];
        let mut client = rig.client();
        client
            .request("POST", CHAT, &fields, QUESTION.as_bytes())
            .status
    };
    eventually(|| ask(key) == 200);
    let again = client(&file, &["add", "team-a"]);
    let second = succeeds(&again);
    eventually(|| ask(second.trim()) == 200);
    assert_eq!(ask(key), 200);
    assert!(text(&again.stderr).contains("go on working"));
    succeeds(&client(&file, &["remove", &key[3..15]]));
    eventually(|| ask(key) == 401);
    assert_eq!(ask(second.trim()), 200);
    succeeds(&client(&file, &["remove", "team-a"]));
    eventually(|| ask(second.trim()) == 401);
}

#[test]
fn a_file_is_made_for_its_owner_and_listed_without_secrets() {
    let directory = Directory::new();
    let file = directory.path("new.yaml");
    let args = [
        "add",
        "a",
        "--file",
        file.to_str().unwrap(),
        "--expires",
        "90d",
    ];
    let lists = [
        "--model",
        "gpt-*",
        "--model",
        "cheap",
        "--route",
        "/v1/chat/completions",
    ];
    let key = succeeds(&client(
        Path::new("/none/such"),
        &[&args[..], &lists].concat(),
    ));
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    succeeds(&client(&file, &["add", "b", "--expires", "2026-01-31"]));
    let listed = succeeds(&client(&file, &["list"]));
    let lines: Vec<_> = listed.lines().collect();
    assert_eq!(lines.len(), 3, "{listed}");
    for (line, words) in [
        (
            lines[1],
            &[
                "a ",
                "active",
                &key[3..15],
                "gpt-*,cheap",
                "/v1/chat/completions",
            ][..],
        ),
        (
            lines[2],
            &["b ", "expired", "2026-02-01T00:00:00Z", "all"][..],
        ),
    ] {
        assert!(words.iter().all(|word| line.contains(word)), "{listed}");
    }
    let written = std::fs::read_to_string(&file).unwrap();
    let hashes = written.split('"').filter(|word| word.len() >= 32);
    let hashes: Vec<_> = hashes.collect();
    assert_eq!(hashes.len(), 4);
    assert!(hashes.iter().all(|hash| !listed.contains(hash)), "{listed}");
}

#[test]
fn what_cannot_be_done_is_said_and_changes_nothing() {
    let directory = Directory::new();
    let file = directory.path("clients.yaml");
    succeeds(&client(&file, &["add", "a"]));
    let before = std::fs::read_to_string(&file).unwrap();
    for (args, why) in [
        (&["add", "a", "--model", "x"][..], "is in the file"),
        (&["add", "no name"], "clients[1].name"),
        (&["add", "anonymous"], "clients[1].name"),
        (&["add", "b", "--route", "/v1"], "clients[1].routes[0]"),
        (&["add", "b", "--model", ""], "clients[1].models[0]"),
        (&["add", "b", "--expires", "soon"], "2027-01-31"),
        (&["remove", "b"], "no client and no key b"),
    ] {
        let output = client(&file, args);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(text(&output.stderr).contains(why), "{output:?}");
        assert!(output.stdout.is_empty(), "no key without its client");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), before);
    directory.write("clients.yaml", "clients: [{name: a}]");
    for args in [&["add", "b"][..], &["list"], &["remove", "a"]] {
        let output = client(&file, args);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(text(&output.stderr).contains("clients[0]"), "{output:?}");
    }
    let output = client(Path::new("/none/such/file"), &["add", "b"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

#[test]
fn those_who_add_at_the_same_time_all_get_in() {
    let directory = Directory::new();
    let file = directory.path("clients.yaml");
    std::thread::scope(|scope| {
        for number in 0..8 {
            let file = &file;
            scope.spawn(move || succeeds(&client(file, &["add", &format!("c{number}")])));
        }
    });
    let listed = succeeds(&client(&file, &["list"]));
    assert_eq!(listed.lines().count(), 9, "{listed}");
}

#[test]
fn the_configuration_wants_the_file_if_and_only_if_it_is_used() {
    let directory = Directory::new();
    let good = directory.write("good.yaml", "clients: []");
    let bad = directory.write("bad.yaml", "clients: [{name: a}]");
    let none = directory.path("none.yaml");
    for (auth, file, why) in [
        ("clients", None, "clients.file: missing"),
        ("open", Some(&good), "clients.file: set, but not used"),
        (
            "passthrough",
            Some(&good),
            "clients.file: set, but not used",
        ),
        ("clients", Some(&bad), "clients[0]: missing field `keys`"),
        ("clients", Some(&none), "cannot be read"),
    ] {
        let mut command = command(["serve", "--listen=127.0.0.1:0", "--ebpf=off"]);
        command.args(["--admin-listen=127.0.0.1:0", "--auth", auth]);
        command.env("HOLYSHEEP_API_KEY", "cr_x");
        if let Some(file) = file {
            command.arg("--clients-file").arg(file);
        }
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(text(&output.stderr).contains(why), "{why}: {output:?}");
    }
}

#[test]
fn check_reads_the_file_and_says_who_is_let_in() {
    let directory = Directory::new();
    let file = directory.path("clients.yaml");
    let check = || {
        let mut command = command([
            "check",
            "--admin-listen=127.0.0.1:1",
            "--ebpf=off",
            "--auth=clients",
        ]);
        command.args(["--upstream", "http://127.0.0.1:9/v1"]);
        command
            .env("HOLYSHEEP_API_KEY", "cr_x")
            .arg("--clients-file")
            .arg(&file);
        text(&command.output().unwrap().stdout)
    };
    assert!(check().contains("FAIL  clients "), "{}", check());
    directory.write("clients.yaml", "clients: []");
    assert!(
        check().contains("warn  clients      0 in the file, 0 let in"),
        "{}",
        check()
    );
    succeeds(&client(&file, &["add", "soon", "--expires", "3d"]));
    assert!(check().contains("in two weeks expire: soon"), "{}", check());
    succeeds(&client(&file, &["remove", "soon"]));
    succeeds(&client(&file, &["add", "good", "--expires", "300d"]));
    assert!(
        check().contains("pass  clients      1 in the file, 1 let in"),
        "{}",
        check()
    );
}
