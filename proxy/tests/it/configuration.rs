//! What is made of the types of the configuration file: that it is theirs, and that schema, example and proxy are of one mind
//! about which files can be used.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use boon::{Compiler, SchemaIndex, Schemas};
use holysheep_proxy::config::file::{Size, Span};
use holysheep_proxy::config::{Config, document, shapes};
use serde_json::{Value, json};

#[path = "../../examples/configuration/defaults.rs"]
mod defaults;
#[path = "../../examples/configuration/example.rs"]
mod example;
#[path = "../../examples/configuration/keys.rs"]
mod keys;
#[path = "../../examples/configuration/reference.rs"]
mod reference;
#[path = "../../examples/configuration/render.rs"]
mod render;
#[path = "../../examples/configuration/schema.rs"]
mod schema;
#[path = "../../src/config/document/tests/wrong.rs"]
mod wrong;
#[path = "../../examples/configuration/yaml.rs"]
mod yaml;

/// Which of the wrong files the schema takes for right, by what is wrong with them.
const BEYOND: [&str; 14] = [
    // It depends on something else in the file, or on a flag or a variable.
    "auth",
    "clients.file",
    "clients.file",
    "upstream.min_idle",
    // A text that means too little.
    "upstream.tcp.max_window",
    // Likewise on something else.
    "upstream.api_keys[1].name",
    "upstreams[0].name",
    "models.gpt-4.1",
    "breaker.pause",
    "dns.max_ttl",
    "limits.per_client.burst",
    // Again a text.
    "probes.worker_limit",
    "webhook.secret_file",
    // A language of its own.
    "log.level",
];
/// What the proxy reads as the text it was written as, and the schema wants to have in quotes.
const NUMBERS: [&str; 2] = ["name: 1.10", "name: 007"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(place: &str) -> String {
    fs::read_to_string(root().join(place)).unwrap()
}

/// The schema in force, as editors have it.
struct Judge(Schemas, SchemaIndex);

impl Judge {
    fn new() -> Self {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        let schema = serde_json::from_str(&read(render::SCHEMA)).unwrap();
        compiler.add_resource("schema.json", schema).unwrap();
        let index = compiler.compile("schema.json", &mut schemas).unwrap();
        Self(schemas, index)
    }

    fn value(&self, value: &Value) -> Result<(), String> {
        let judged = self.0.validate(value, self.1);
        judged.map_err(|error| format!("{error:#}"))
    }

    /// Of a text, read as YAML 1.2 as editors do, where `off` is a word.
    fn text(&self, yaml: &str) -> Result<(), String> {
        let options = serde_saphyr::options! { strict_booleans: true };
        let value = serde_saphyr::from_str_with_options::<Value>(yaml, options);
        match value.map_err(|error| error.to_string())? {
            // Comments are all that is there.
            Value::Null => Ok(()),
            value => self.value(&value),
        }
    }
}

fn built(yaml: &str) -> Result<Config, String> {
    let built = document::build(Path::new("f.yaml"), yaml, Config::build);
    built.map_err(|error| error.to_string())
}

#[test]
fn schema_example_and_reference_are_those_of_the_types() {
    for (place, made) in render::all(&root()).unwrap() {
        assert!(
            read(place) == made,
            "{place} is not of these types: `cargo run -p holysheep-proxy --example configuration` makes it anew"
        );
    }
}

/// Visits the schema of each section and each setting, with its path.
fn visit(schema: &Value, path: &mut Vec<String>, see: &mut impl FnMut(&[String], &Value)) {
    see(path, schema);
    let below = schema::keys(schema).into_iter().flatten();
    let below = below.map(|(name, key)| (name.as_str(), key));
    let entries = schema
        .get("additionalProperties")
        .filter(|below| below.is_object());
    let items = schema.get("items").map(|items| ("[]", items));
    for (name, key) in below
        .chain(entries.map(|entries| ("/v1/files", entries)))
        .chain(items)
    {
        path.push(name.to_owned());
        visit(key, path, see);
        path.pop();
    }
}

#[test]
fn each_key_of_the_types_is_in_the_schema_and_explained() {
    let schema = schema::all().unwrap();
    let (mut settings, mut sections) = (0, 0);
    visit(&schema, &mut Vec::new(), &mut |path, schema| {
        let known: BTreeSet<_> = keys::order(path).into_iter().collect();
        let Some(keys) = schema::keys(schema) else {
            return;
        };
        sections += 1;
        let names: BTreeSet<_> = keys.keys().cloned().collect();
        let missing: Vec<_> = known.difference(&names).collect();
        // What upstreams beside the first cannot have.
        let expected: &[&str] = match path {
            [first, _] if first == "upstreams" => &["tcp"],
            _ => &[],
        };
        assert_eq!(missing, expected, "{path:?}");
        assert_eq!(schema["additionalProperties"], json!(false), "{path:?}");
        for (name, key) in keys {
            settings += 1;
            let is_shown = ["properties", "default", "examples"]
                .iter()
                .any(|word| key.get(word).is_some());
            // What may be there several times is shown as a whole.
            let is_one = !path
                .iter()
                .any(|step| step == "[]" || step.starts_with('/'));
            assert!(
                is_shown || !is_one,
                "{path:?} {name} has neither a default nor an example"
            );
            let description = key["description"].as_str().unwrap_or_default();
            assert!(
                description.ends_with('.') && !description.contains('['),
                "{path:?} {name}: {description}"
            );
        }
    });
    assert!(sections > 25 && settings > 140, "{sections} {settings}");
}

/// Sets all settings with a default to it.
fn defaults_of(schema: &Value) -> Value {
    let keys = schema::keys(schema).into_iter().flatten();
    let keys = keys.filter_map(|(name, key)| {
        let value = match schema::keys(key) {
            Some(_) => Some(defaults_of(key)),
            None => key.get("default").cloned(),
        };
        value.map(|value| (name.clone(), value))
    });
    Value::Object(keys.collect())
}

#[test]
fn what_is_called_a_default_is_one() {
    let mut all = defaults_of(&schema::all().unwrap());
    let mut least = json!({"webhook": {}, "traces": {}, "limits": {}});
    for file in [&mut all, &mut least] {
        file["webhook"]["secret_file"] = json!("s");
        file["webhook"]["forward_to"] = json!("http://h");
        file["traces"]["endpoint"] = json!("http://h");
        file["limits"]["redis"]["url"] = json!("redis://h");
    }
    _ = all["webhook"]
        .as_object_mut()
        .unwrap()
        .remove("signature_header");
    let count = all.to_string().matches("\":").count();
    assert!(count > 90, "{count} in {all}");
    let [all, least] = [all, least].map(|file| built(&file.to_string()).unwrap());
    let [shown, expected] = [&all, &least].map(|config| serde_json::to_value(config).unwrap());
    assert_eq!(shown, expected);
    assert_eq!(all.routes, least.routes);
}

/// The lines of the example, by what one takes the `#` from at once. What is explained has none.
fn units() -> (Vec<String>, Vec<Vec<usize>>) {
    let text = read(render::EXAMPLE);
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut units = Vec::<Vec<usize>>::new();
    for (number, line) in lines.iter().enumerate() {
        let Some(setting) = line.trim_start().strip_prefix('#') else {
            continue;
        };
        match setting.starts_with("  ") {
            true => units.last_mut().unwrap().push(number),
            false if setting.is_empty() || setting.starts_with(' ') => {}
            false => units.push(vec![number]),
        }
    }
    (lines, units)
}

fn uncommented(lines: &[String], units: &[&Vec<usize>]) -> String {
    let mut lines = lines.to_vec();
    for number in units.iter().copied().flatten() {
        lines[*number] = lines[*number].replacen('#', "", 1);
    }
    lines.join("\n")
}

#[test]
fn whatever_is_uncommented_in_the_example_can_be_used() {
    let judge = Judge::new();
    let check = |text: &str| {
        assert!(built(text).is_ok(), "{text}: {:?}", built(text).err());
        assert_eq!(judge.text(text), Ok(()), "{text}");
    };
    let (lines, units) = units();
    assert!(units.len() > 90, "{}", units.len());
    check(&lines.join("\n"));
    let all: Vec<_> = units.iter().collect();
    check(&uncommented(&lines, &all));
    // A burst is one of a rate.
    let needs = |unit: &Vec<usize>| {
        let line = &lines[unit[0]];
        let rate = match line.trim_start() {
            burst if burst.starts_with("#burst:") => "#requests_per_minute:",
            burst if burst.starts_with("#token_burst:") => "#tokens_per_minute:",
            _ => return None,
        };
        units
            .iter()
            .find(|unit| lines[unit[0]].trim_start().starts_with(rate))
    };
    for unit in &units {
        let some: Vec<_> = needs(unit).into_iter().chain([unit]).collect();
        check(&uncommented(&lines, &some));
    }
    let mut random = fastrand::Rng::with_seed(2);
    for _ in 0..100 {
        let some = units.iter().filter(|_| random.bool());
        let some: BTreeSet<_> = some
            .flat_map(|unit| needs(unit).into_iter().chain([unit]))
            .collect();
        check(&uncommented(&lines, &some.into_iter().collect::<Vec<_>>()));
    }
}

#[test]
fn all_that_can_be_shown_of_a_file_is_wrong_by_the_schema_too() {
    let judge = Judge::new();
    let accepted = wrong::FILES
        .iter()
        .filter(|(yaml, ..)| judge.text(yaml).is_ok());
    let accepted: Vec<_> = accepted.map(|(_, _, path, _)| *path).collect();
    assert_eq!(accepted, BEYOND);
}

/// What may be a configuration file: examples in documents, files of the chart, and texts in tests.
fn candidates(path: &Path, found: &mut Vec<String>) {
    if path.is_dir() {
        let entries = fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        entries.for_each(|path| candidates(&path, found));
        return;
    }
    let extension = path.extension().unwrap_or_default();
    let text = fs::read_to_string(path).unwrap_or_default();
    if extension == "md" {
        let blocks = text.split("```yaml\n").skip(1);
        found.extend(
            blocks
                .filter_map(|block| block.split("```").next())
                .map(str::to_owned),
        );
    } else if extension == "rs" {
        // Not a parser of Rust: what is no configuration is left out later.
        let literals = text
            .split('"')
            .map(|text| text.replace("\\n", "\n").replace("\\\n", ""));
        found.extend(literals);
    } else if extension == "yaml" {
        let blocks = text.split("\n  config.yaml: |\n").skip(1);
        let lines = |block: &str| -> Vec<String> {
            let lines = block.lines().map_while(|line| line.strip_prefix("    "));
            lines.map(str::to_owned).collect()
        };
        found.extend(blocks.map(|block| lines(block).join("\n")));
        found.push(text);
    }
}

#[test]
fn what_the_proxy_takes_is_right_by_the_schema() {
    let judge = Judge::new();
    let mut found = Vec::new();
    for place in [
        "docs",
        "README.md",
        "deploy",
        "proxy/tests",
        "proxy/src",
        "bench/src",
        "xtask/src",
    ] {
        candidates(&root().join(place), &mut found);
    }
    let good: BTreeSet<_> = found
        .into_iter()
        .filter(|text| !text.trim().is_empty() && built(text).is_ok())
        .collect();
    assert!(good.len() > 100, "{}", good.len());
    for text in good {
        let judged = judge.text(&text);
        let is_number = NUMBERS.iter().any(|number| text.contains(number));
        // A setting without a value is as if it were not there; an editor says that it is unfinished.
        let is_unfinished = judged
            .as_ref()
            .is_err_and(|why| why.contains("but got null"));
        assert!(
            is_number || is_unfinished || judged.is_ok(),
            "{text}: {judged:?}"
        );
    }
}

#[test]
fn patterns_are_those_of_what_reads_the_values() {
    let of = |pattern: &str| {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler
            .add_resource("p.json", json!({"pattern": pattern}))
            .unwrap();
        let index = compiler.compile("p.json", &mut schemas).unwrap();
        move |text: &str| schemas.validate(&json!(text), index).is_ok()
    };
    let (is_duration, is_size) = (of(shapes::DURATION), of(shapes::SIZE));
    let parts = [
        "0", "1", "12", "0.5", ".", " ", "s", "ms", "m", "min", "mins", "h", "hrs", "d", "days",
        "us", "µs", "ns", "w", "wk", "M", "y", "month", "K", "kb", "KiB", "MB", "MiB", "G", "b",
        "B", "-", "x",
    ];
    let mut random = fastrand::Rng::with_seed(3);
    let mut good = [0, 0];
    for _ in 0..20_000 {
        let parts = (0..random.usize(1..5)).map(|_| random.choice(parts).unwrap());
        let text: String = parts.collect();
        let duration = text.parse::<Span>();
        // Digits with gaps, and more than there is, are nobody's.
        let is_odd = text.contains(' ')
            || duration
                .as_ref()
                .is_err_and(|error| error.contains("too l"));
        assert!(
            is_odd || duration.is_ok() == is_duration(&text),
            "{text:?}: {duration:?}"
        );
        let size = serde_json::from_value::<Size>(json!(text));
        assert!(size.is_ok() == is_size(&text), "{text:?}: {size:?}");
        good[0] += u32::from(duration.is_ok());
        good[1] += u32::from(size.is_ok());
    }
    assert!(good.iter().all(|good| *good > 200), "{good:?}");
}
