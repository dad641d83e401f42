//! Tests of `document.rs`: what is said of files that cannot be used.

mod wrong;

use super::*;
use crate::config::{Config, ConfigFile};

fn built(yaml: &str) -> Result<Config, ConfigError> {
    build(Path::new("f.yaml"), yaml, |file: ConfigFile| {
        Config::build(file)
    })
}

fn lines(yaml: &str) -> Vec<String> {
    let error = built(yaml).expect_err(yaml).to_string();
    error.lines().map(str::to_owned).collect()
}

#[test]
fn each_fault_has_its_line_its_path_and_its_remedy() {
    for (yaml, line, path, remedy) in wrong::FILES {
        let lines = lines(yaml);
        let [found] = lines.as_slice() else {
            panic!("{yaml}: {lines:?}");
        };
        let place = match line {
            0 => "f.yaml: ".to_owned(),
            line => format!("f.yaml:{line}:"),
        };
        assert!(found.starts_with(&place), "{yaml}: {found}");
        assert!(found.contains(&format!(" {path}: ")), "{yaml}: {found}");
        assert!(found.contains(remedy), "{yaml}: {found}");
    }
}

#[test]
fn all_faults_are_told_at_once_in_the_order_of_the_file() {
    let found = lines(
        "workers: many\n\
         timeouts:\n  conect: 1s\n  idle: 0s\n\
         upstreams:\n  - min_idle: x\n    name: a\n    base_url: http://a\n  - 7\n  - {name: b}\n\
         limits: {headers: 1}\n",
    );
    let expected = [
        "f.yaml:1:10: workers: got \"many\", expected a whole number",
        "f.yaml:3:3: timeouts.conect: unknown field; did you mean `connect`?",
        "f.yaml:4:9: timeouts.idle: 0s would end everything at once; expected such as 10s",
        "f.yaml:6:15: upstreams[0].min_idle: got \"x\", expected a whole number",
        "f.yaml:9:5: upstreams[1]: got 7, expected fields with values",
        "f.yaml:10:5: upstreams[2].base_url: missing; expected such as https://api.openai.com/v1",
        "f.yaml:11:19: limits.headers: 1 is out of range; expected 1 KiB to 1 MiB",
    ];
    assert_eq!(found, expected);
}

#[test]
fn what_follows_from_another_fault_is_not_told() {
    for yaml in [
        "auth: clinets\nclients: {file: c}",
        "listen: 0.0.0.0:80\nauth: opne",
        "tls: {listen: x, certificate: c, key: k}",
        "upstreams: [{name: [], base_url: 'http://a'}]\nmodels: {a: [b]}",
        "dns: {min_ttl: soon, max_ttl: 500ms}",
        "prices: {m: {input: cheap, output: 1}}",
    ] {
        assert_eq!(lines(yaml).len(), 1, "{:?}", lines(yaml));
    }
}

#[test]
fn nothing_that_may_be_a_key_is_shown() {
    let long = "Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5MA";
    for yaml in [
        "workers: cr_secret".to_owned(),
        "auth: cr_secret".to_owned(),
        "cr_secret: 1".to_owned(),
        "upstream: {api_key: cr_secret}".to_owned(),
        "upstream: {cr_secret: {a: b}}".to_owned(),
        "upstream: cr_secret".to_owned(),
        "upstream: {api_key_file: cr_secret}".to_owned(),
        "workers: 1\ncr_secret: 1\ncr_secret: 2".to_owned(),
        "upstream:\n  api_key: cr_secret\n  - broken".to_owned(),
        "log: {format: whsec_secret}".to_owned(),
        format!("ebpf: {long}secret"),
        format!("{long}secret: x"),
    ] {
        let error = lines(&yaml).join("\n");
        assert!(
            !error.contains("secret") || error.contains("secret_file"),
            "{error}"
        );
        assert!(!error.contains(long), "{error}");
    }
}

#[test]
fn what_cannot_be_read_is_told_with_its_place_and_its_remedy() {
    let deep = format!("a: {}{}", "[".repeat(100), "]".repeat(100));
    for (yaml, place, words) in [
        ("listen: [", "f.yaml:", "no YAML: "),
        ("- listen", "f.yaml: ", "fields"),
        ("just words", "f.yaml: ", "fields"),
        ("timeouts:\n\tconnect: 1s", "f.yaml:2:", "expected spaces"),
        (
            "dns:\n  timeout: &t 2s\n  min_ttl: *t",
            "f.yaml:3:",
            "an alias",
        ),
        (
            "models:\n  *: [holysheep]",
            "f.yaml:2:",
            "quotes around a text",
        ),
        ("dns: {<<: {timeout: 1s}}", "f.yaml:1:", "merges nothing"),
        ("workers: 1\n---\nworkers: 2", "f.yaml:", "second document"),
        (deep.as_str(), "f.yaml:1:", "at most 32 levels"),
    ] {
        let lines = lines(yaml);
        assert!(
            lines.len() == 1 && lines[0].starts_with(place),
            "{yaml}: {lines:?}"
        );
        assert!(lines[0].contains(words), "{yaml}: {lines:?}");
    }
}

#[test]
fn what_has_no_value_is_as_if_it_were_not_there() {
    for yaml in ["", "# nothing\n", "tls:\ndns:\nupstreams:\nworkers:\n"] {
        assert!(built(yaml).is_ok(), "{yaml}: {:?}", built(yaml));
    }
}

#[test]
fn a_number_is_the_text_it_was_written_as() {
    let name = |yaml: &str| built(yaml).unwrap().upstream.name;
    assert_eq!(name("upstream: {name: 1.10}"), "1.10");
    assert_eq!(name("upstream:\n  name: 007 # agent\n"), "007");
    assert_eq!(name("upstream: {name: off}"), "off");
}

/// What a person, an editor or a broken disk may make of a file.
#[test]
fn whatever_is_written_is_used_or_refused() {
    let seed = include_str!("../../../../docs/configuration.md");
    let seed = seed.split("```yaml\n").nth(1).unwrap();
    let seed: Vec<&str> = seed.split("```").next().unwrap().lines().collect();
    let odd = [
        "*", "&a ", "\t", ": ", "- ", "{", "]", "'", "\"", "|", "\u{fe}", "-1", "1e99", "~",
        "<<: x",
    ];
    let mut random = fastrand::Rng::with_seed(10);
    for _ in 0..1_500 {
        let start = random.usize(..seed.len());
        let end = random.usize(start..seed.len()).min(start + 12);
        let mut text = seed[start..=end].join("\n");
        for _ in 0..random.usize(1..4) {
            let places: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
            let at = places
                .get(random.usize(..places.len().max(1)))
                .copied()
                .unwrap_or(0);
            match random.bool() {
                true => text.insert_str(at, random.choice(odd).unwrap()),
                false => text.truncate(at),
            }
        }
        if let Err(error) = built(&text) {
            let error = error.to_string();
            assert!(!error.is_empty(), "{text}");
            for line in error.lines() {
                assert!(line.starts_with("f.yaml:"), "{line} of {text}");
            }
        }
    }
}
