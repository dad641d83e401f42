//! Tests of `file.rs`.

use super::*;

const SALT: &str = "00112233445566778899aabbccddeeff";
const HASH: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// A key as it is written.
fn key(id: &str) -> String {
    format!("{{id: '{id}', salt: '{SALT}', hash: '{HASH}', created: 2026-11-26}}")
}

fn read(text: &str) -> Result<Vec<Entry>, String> {
    entries(Path::new("clients.yaml"), text).map_err(|error| error.to_string())
}

#[test]
fn a_client_is_what_the_file_says() {
    let text = format!(
        "clients:\n- name: team-a\n  keys: [{}, {}]\n  models: [gpt-4.1, 'deepseek-*']\n  \
         routes: [/v1/chat/completions, /v1/models]\n  expires: 2027-01-31\n  disabled: true\n\
         - {{name: b, keys: []}}",
        key("000000000001"),
        key("AbCdEfGhIjKl"),
    );
    let entries = read(&text).unwrap();
    let (first, second) = (&entries[0].client, &entries[1].client);
    assert_eq!((&*first.name, first.disabled), ("team-a", true));
    let ids: Vec<_> = first.keys.iter().map(|key| key.id.to_string()).collect();
    assert_eq!(ids, ["000000000001", "AbCdEfGhIjKl"]);
    assert_eq!(first.keys[0].created.as_deref(), Some("2026-11-26"));
    assert!(first.may_ask(b"gpt-4.1") && first.may_ask(b"deepseek-v3"));
    assert!(!first.may_ask(b"gpt-4.1-mini"));
    let routes = first.routes.templates().unwrap();
    assert_eq!(routes, ["/v1/chat/completions", "/v1/models"]);
    let end = humantime::format_rfc3339_seconds(first.expires.unwrap()).to_string();
    assert_eq!(end, "2027-02-01T00:00:00Z", "the day counts to its end");
    assert!(second.may_ask(b"anything") && second.routes == Routes::ALL);
    assert_eq!(second.expires, None);
    assert_eq!(
        entries[0].keys[1].to_hex(),
        (SALT.to_owned(), HASH.to_owned())
    );
}

#[test]
fn what_is_wrong_is_named_by_its_path() {
    let good = key("000000000001");
    for (text, path, reason) in [
        ("", "", "empty"),
        ("{}", "", "clients"),
        ("clients: [{name: a}]", "clients[0]", "keys"),
        (
            "clients: [{name: a, keys: [], limit: 1}]",
            "clients[0].limit",
            "unknown field",
        ),
        (
            "clients: [{name: a, keys: [], disabled: maybe}]",
            "clients[0].disabled",
            "true or false",
        ),
        (
            "clients: [{name: 'a b', keys: []}]",
            "clients[0].name",
            "letters",
        ),
        (
            "clients: [{name: anonymous, keys: []}]",
            "clients[0].name",
            "another",
        ),
        (
            "clients: [{name: a, keys: []}, {name: a, keys: []}]",
            "clients[1].name",
            "another",
        ),
        (
            "clients: [{name: a, keys: [], models: ['']}]",
            "clients[0].models[0]",
            "gpt-4.1",
        ),
        (
            "clients: [{name: a, keys: [], routes: [/v1]}]",
            "clients[0].routes[0]",
            "/v1/embeddings",
        ),
        (
            "clients: [{name: a, keys: [], expires: soon}]",
            "clients[0].expires",
            "2027-01-31",
        ),
        (
            "clients: [{name: a, keys: [{id: x, salt: y, hash: z}]}]",
            "clients[0].keys[0].hash",
            "64",
        ),
        (
            &format!("clients: [{{name: a, keys: [{good}, {good}]}}]"),
            "clients[0].keys[1].id",
            "another",
        ),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.contains("clients.yaml"), "{error}");
        assert!(
            error.contains(path) && error.contains(reason),
            "{text}: {error}"
        );
    }
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let error =
        read("clients: [{name: '', keys: [{id: x, salt: y, hash: z, created: w}]}]").unwrap_err();
    for field in [
        "name",
        "keys[0].id",
        "keys[0].salt",
        "keys[0].hash",
        "keys[0].created",
    ] {
        assert!(error.contains(&format!("clients[0].{field}: ")), "{error}");
    }
}

#[test]
fn no_message_has_a_secret_in_it() {
    let whole = format!("hs-000000000001-{}", "s".repeat(43));
    for text in [
        format!(
            "clients: [{{name: a, keys: [{{id: '{whole}', salt: '{SALT}', hash: '{HASH}'}}]}}]"
        ),
        format!("clients: [{{name: a, keys: [{{id: x, salt: '{HASH}', hash: '{whole}'}}]}}]"),
        format!("clients: [{{name: a, keys: [{{id: x, {HASH}: y}}]}}]"),
        format!("clients: [{{name: a, keys: ['{HASH}']}}]"),
        format!("clients: [{{name: a, keys: {whole}}}]"),
        format!("clients: [{{name: a, keys: [], disabled: {SALT}}}]"),
        format!("clients: [{{name: {whole}, keys: [], models: ['{HASH} ']}}]"),
        format!("clients: [{{name: a, keys: [], routes: ['{whole}'], expires: '{HASH}'}}]"),
        HASH.to_owned(),
        format!("clients:\n - {whole}\n  - {HASH}: ["),
    ] {
        let error = read(&text).unwrap_err();
        for secret in [&whole, SALT, HASH] {
            assert!(!error.contains(secret), "{error}");
        }
    }
    let entry = format!(
        "{:?}",
        read(&format!(
            "clients: [{{name: a, keys: [{}]}}]",
            key("000000000001")
        ))
        .unwrap()
    );
    let file = format!(
        "{:?}",
        parse(&format!(
            "clients: [{{name: a, keys: [{}]}}]",
            key("000000000001")
        ))
        .unwrap()
    );
    for shown in [entry, file] {
        assert!(!shown.contains(SALT) && !shown.contains(HASH), "{shown}");
    }
}

#[test]
fn a_moment_is_a_day_or_a_time() {
    for wrong in [
        "",
        "2027",
        "2027-13-01",
        "2027-01-31 12:00",
        "tomorrow",
        "9999-99-99",
        "9999-12-31",
        "1969-01-01",
    ] {
        assert!(moment(wrong).is_err(), "{wrong}");
    }
    let exact = moment("2027-01-31T12:00:00Z").unwrap();
    assert!(exact < moment("2027-01-31").unwrap());
}
