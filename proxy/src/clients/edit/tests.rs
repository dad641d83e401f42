//! Tests of `edit.rs`.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::config::ClientLimitsFile;

const SALT: &str = "00112233445566778899aabbccddeeff";
const HASH: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

fn key(id: &str) -> KeyFile {
    KeyFile {
        id: id.to_owned(),
        salt: SALT.to_owned(),
        hash: HASH.to_owned(),
        created: Some("2026-11-26".to_owned()),
    }
}

fn client(name: &str, id: &str) -> ClientFile {
    ClientFile {
        name: name.to_owned(),
        keys: vec![key(id)],
        models: None,
        routes: None,
        expires: None,
        disabled: false,
        limits: ClientLimitsFile::default(),
    }
}

/// A directory that is removed when dropped.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("clients-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn editor(&self) -> Editor {
        Editor::open(&self.0.join("clients.yaml")).unwrap()
    }

    fn write(&self, text: &str) {
        fs::write(self.0.join("clients.yaml"), text).unwrap();
    }

    fn text(&self) -> String {
        fs::read_to_string(self.0.join("clients.yaml")).unwrap()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _removed = fs::remove_dir_all(&self.0);
    }
}

/// The names of clients with the ids of their keys.
fn names(text: &str) -> Vec<(String, Vec<String>)> {
    let file = file::parse(text).unwrap();
    let ids = |client: &ClientFile| client.keys.iter().map(|key| key.id.clone()).collect();
    file.clients
        .iter()
        .map(|client| (client.name.clone(), ids(client)))
        .collect()
}

#[test]
fn a_file_grows_and_shrinks_again() {
    let directory = Directory::new("grows");
    let mut first = client("a", "A00000000001");
    first.models = Some(vec!["gpt-4.1".to_owned(), "deepseek-*".to_owned()]);
    first.routes = Some(vec!["/v1/chat/completions".to_owned()]);
    first.expires = Some("2027-01-31".to_owned());
    directory.editor().add(first.clone()).unwrap();
    let mode = fs::metadata(directory.0.join("clients.yaml"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(file::parse(&directory.text()).unwrap().clients, [first]);
    directory.editor().add(client("b", "B00000000001")).unwrap();
    directory.editor().add(client("a", "A00000000002")).unwrap();
    let two = |names: [&str; 2]| names.map(str::to_owned).to_vec();
    assert_eq!(
        names(&directory.text()),
        [
            ("a".to_owned(), two(["A00000000001", "A00000000002"])),
            ("b".to_owned(), vec!["B00000000001".to_owned()]),
        ]
    );
    directory.editor().remove("A00000000001").unwrap();
    directory.editor().remove("b").unwrap();
    assert_eq!(
        names(&directory.text()),
        [("a".to_owned(), vec!["A00000000002".to_owned()])]
    );
    directory.editor().remove("A00000000002").unwrap();
    assert_eq!(names(&directory.text()), [("a".to_owned(), vec![])]);
    directory.editor().add(client("a", "A00000000003")).unwrap();
    directory.editor().remove("a").unwrap();
    assert_eq!(names(&directory.text()), []);
    directory.editor().add(client("c", "C00000000001")).unwrap();
    assert_eq!(names(&directory.text()).len(), 1);
    let files = fs::read_dir(&directory.0).unwrap().count();
    assert_eq!(files, 1, "nothing is left beside it");
}

#[test]
fn comments_and_other_forms_stay_as_they_are() {
    let directory = Directory::new("comments");
    let text = format!(
        "# Ours.\nclients:\n# The first.\n- name: a # by name\n  disabled: true\n  keys:\n  - id: A00000000001\n    \
         salt: {SALT}\n    hash: {HASH}\n  # Old.\n  - {{id: A00000000002, salt: {SALT}, hash: {HASH}}}\n\n# The second.\n\
         - keys: []\n  name: b\n# The end.\n"
    );
    directory.write(&text);
    directory.editor().add(client("a", "A00000000003")).unwrap();
    directory.editor().add(client("b", "B00000000001")).unwrap();
    directory.editor().add(client("c", "C00000000001")).unwrap();
    directory.editor().remove("A00000000001").unwrap();
    let changed = directory.text();
    for comment in [
        "# Ours.",
        "# The first.",
        "# by name",
        "# Old.",
        "# The second.",
        "# The end.",
    ] {
        assert!(changed.contains(comment), "{changed}");
    }
    for name in [
        "A00000000002",
        "A00000000003",
        "B00000000001",
        "C00000000001",
    ] {
        directory.editor().remove(name).unwrap();
    }
    for name in ["a", "b", "c"] {
        directory.editor().remove(name).unwrap();
    }
    assert!(directory.text().contains("# The end.") && names(&directory.text()).is_empty());
}

#[test]
fn what_cannot_be_changed_by_lines_is_not_changed() {
    let directory = Directory::new("forms");
    for text in [
        "clients: [{name: a, keys: []}]\n".to_owned(),
        format!(
            "clients:\n- name: a\n  keys: [{{id: A00000000001, salt: {SALT}, hash: {HASH}}}]\n"
        ),
        format!(
            "{{\"clients\": [{{\"name\": \"a\", \"keys\": [{{\"id\": \"A00000000001\", \"salt\": \"{SALT}\", \"hash\": \"{HASH}\"}}]}}]}}"
        ),
    ] {
        directory.write(&text);
        let error = directory
            .editor()
            .add(client("a", "A00000000009"))
            .unwrap_err();
        assert!(matches!(error, EditError::Form { .. }), "{error}");
        assert_eq!(directory.text(), text);
    }
    directory.write("clients: [");
    assert!(matches!(
        directory.editor().remove("a"),
        Err(EditError::Clients(_))
    ));
    directory.write("clients: []");
    assert!(matches!(
        directory.editor().remove("a"),
        Err(EditError::NotFound(_))
    ));
    let bad = client("no name", "A00000000001");
    assert!(matches!(
        directory.editor().add(bad),
        Err(EditError::Clients(_))
    ));
    assert_eq!(directory.text(), "clients: []");
}

#[test]
fn a_file_keeps_its_permissions_and_a_link_its_target() {
    let directory = Directory::new("mode");
    let target = directory.0.join("real.yaml");
    fs::write(&target, "clients: []\n").unwrap();
    fs::set_permissions(&target, fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink("real.yaml", directory.0.join("clients.yaml")).unwrap();
    directory.editor().add(client("a", "A00000000001")).unwrap();
    assert!(directory.0.join("clients.yaml").is_symlink());
    let mode = fs::metadata(&target).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    assert_eq!(names(&fs::read_to_string(&target).unwrap()).len(), 1);
}
