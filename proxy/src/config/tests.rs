//! Tests of `config.rs`.

use super::*;

fn build(yaml: &str) -> Result<Config, ConfigError> {
    Config::build(ConfigFile::parse(yaml).unwrap())
}

#[test]
fn nothing_given_is_a_working_configuration() {
    let config = build("").unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.auth, Auth::Open);
    assert_eq!(config.timeouts.first_byte.as_secs(), 60);
    assert_eq!(config.limits.body, 10 * 1024 * 1024);
}

#[test]
fn an_exposed_address_needs_a_word_on_auth() {
    let error = build("listen: 0.0.0.0:8080").unwrap_err().to_string();
    assert!(error.starts_with("auth: not set"), "{error}");
    assert!(build("listen: 0.0.0.0:8080\nauth: open").is_ok());
    let tls = "tls: {listen: '[::]:8443', certificate: c, key: k}";
    assert!(build(tls).is_err());
}

#[test]
fn a_listener_without_an_address_is_not_ignored() {
    let error = build("tls: {certificate: c, key: k}").unwrap_err();
    assert!(
        error.to_string().starts_with("tls.listen: missing"),
        "{error}"
    );
}

#[test]
fn limits_that_nothing_can_keep_are_refused() {
    let error = build("timeouts: {connect: 0s, drain: 0s}\nupstream: {idle_timeout: 0s}");
    let error = error.unwrap_err().to_string();
    for field in ["timeouts.connect: 0s", "upstream.idle_timeout: 0s"] {
        assert!(error.contains(field), "{field} in {error}");
    }
    assert!(!error.contains("drain"), "{error}");
}

#[test]
fn a_key_in_the_place_of_its_path_is_not_shown() {
    for key in ["cr_0123", "sk-0123", "0123456789abcdef0123456789abcdef"] {
        let error = build(&format!("upstream: {{api_key_file: {key}}}")).unwrap_err();
        let error = error.to_string();
        assert!(error.starts_with("upstream.api_key_file: looks like a key"));
        assert!(!error.contains("0123"), "{error}");
    }
    for path in ["/etc/holysheep/cr_key", "key.txt", "./cr_0123", "key"] {
        assert!(build(&format!("upstream: {{api_key_file: {path}}}")).is_ok());
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let error = build("workers: 0\nlimits: {headers: 1}\nupstream: {base_url: nonsense}")
        .unwrap_err()
        .to_string();
    for field in ["workers: 0", "limits.headers: 1", "upstream.base_url: "] {
        assert!(error.contains(field), "{field} in {error}");
    }
}
