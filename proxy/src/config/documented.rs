//! Holds `docs/configuration.md` against the types: each key of the file there exists, none is missing, and what it calls
//! defaults are the defaults.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Config, ConfigFile, differences, tree};

/// What cannot be said together with the rest of the file there.
const APART: [&str; 3] = [
    // Beside `upstream.api_key_file`.
    "upstream.api_keys",
    // With `auth: open`.
    "clients.file",
    // With `scheme: standard`.
    "webhook.signature_header",
];

fn documented() -> &'static str {
    let text = include_str!("../../../docs/configuration.md");
    let (_, from) = text.split_once("\n## File\n").unwrap();
    let (_, block) = from.split_once("```yaml\n").unwrap();
    block.split_once("```").unwrap().0
}

fn value() -> (Value, tree::Tree) {
    let reading = tree::read::<Value>(documented()).unwrap();
    assert_eq!(reading.misfits, []);
    (reading.value.unwrap(), reading.tree)
}

/// Visits each section and each setting, with its path.
fn visit(value: &Value, path: &str, see: &mut impl FnMut(&str, &Value)) {
    see(path, value);
    for (key, child) in value.as_object().into_iter().flatten() {
        let below = match path {
            "" => key.clone(),
            above => format!("{above}.{key}"),
        };
        visit(child, &below, see);
    }
}

/// Takes out the settings for which this holds.
fn without(value: &Value, path: &str, out: &impl Fn(&str) -> bool) -> Value {
    let Some(fields) = value.as_object().filter(|fields| !fields.is_empty()) else {
        return value.clone();
    };
    let fields = fields.iter().filter_map(|(key, child)| {
        let below = match path {
            "" => key.clone(),
            above => format!("{above}.{key}"),
        };
        let is_setting = child.as_object().is_none_or(serde_json::Map::is_empty);
        let child = (!is_setting || !out(&below)).then(|| without(child, &below, out))?;
        let is_left = is_setting || child.as_object().is_some_and(|fields| !fields.is_empty());
        is_left.then(|| (key.clone(), child))
    });
    Value::Object(fields.collect())
}

fn built(value: Value) -> Config {
    let file: ConfigFile = serde_json::from_value(value).unwrap();
    Config::build(file).unwrap()
}

#[test]
fn what_is_called_a_default_is_one() {
    let (value, tree) = value();
    let comment = |path: &str| {
        let line = tree.find(path).0.unwrap().line;
        let line = documented().lines().nth(usize::try_from(line).unwrap() - 1);
        let (_, comment) = line.unwrap().split_once(" #").unwrap_or_default();
        comment.to_lowercase()
    };
    let mut defaults = BTreeSet::new();
    visit(&value, "", &mut |path, setting| {
        let is_setting = setting.as_object().is_none_or(serde_json::Map::is_empty);
        let own = if path.is_empty() {
            String::new()
        } else {
            comment(path)
        };
        let says = [
            "no default",
            "default:",
            "default none",
            "the default",
            "unless",
        ];
        let is_other = says.iter().any(|words| own.contains(words));
        // Paths have dots in their names, so each beginning may be one of a section.
        let mut above = path.match_indices('.').map(|(at, _)| &path[..at]);
        let is_example =
            above.any(|above| tree.find(above).1 == above && comment(above).contains("no default"));
        if is_setting && !is_other && !is_example {
            defaults.insert(path.to_owned());
        }
    });
    assert!(defaults.len() > 60, "{defaults:?}");
    let is_apart = |path: &str| APART.contains(&path);
    let all = built(without(&value, "", &is_apart));
    let others = built(without(&value, "", &|path| {
        is_apart(path) || defaults.contains(path)
    }));
    assert_eq!(differences(&others, &all), [""; 0]);
}

#[test]
fn each_key_is_documented_and_each_documented_key_exists() {
    let (value, _) = value();
    let reading = tree::read::<ConfigFile>(documented()).unwrap();
    assert_eq!(reading.misfits, []);
    // A type names its keys when it is given one it does not know.
    let mut types = BTreeMap::<String, BTreeSet<String>>::new();
    visit(&value, "", &mut |path, section| {
        let Some(keys) = section.as_object() else {
            return;
        };
        let mut file = value.clone();
        let pointer = pointer(&value, path);
        let section = file.pointer_mut(&pointer).unwrap();
        section
            .as_object_mut()
            .unwrap()
            .insert("?".to_owned(), Value::Null);
        let Err(error) = serde_json::from_value::<ConfigFile>(file) else {
            return;
        };
        let error = error.to_string();
        if let Some(known) = error.strip_prefix("unknown field `?`, expected ") {
            let documented = types.entry(known.to_owned()).or_default();
            documented.extend(keys.keys().cloned());
        }
    });
    assert!(types.len() > 20, "{types:?}");
    for (known, documented) in types {
        for key in known.split('`').skip(1).step_by(2) {
            assert!(
                documented.contains(key),
                "{key} is not documented beside {documented:?}"
            );
        }
    }
}

/// A path as `serde_json` has it.
fn pointer(value: &Value, path: &str) -> String {
    let mut pointer = String::new();
    let (mut node, mut rest) = (value, path);
    while !rest.is_empty() {
        let fields = node.as_object().unwrap();
        let key = fields.keys().filter(|key| {
            let after = rest.strip_prefix(key.as_str());
            after.is_some_and(|after| after.is_empty() || after.starts_with('.'))
        });
        let key = key.max_by_key(|key| key.len()).unwrap();
        pointer.push('/');
        pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
        node = &fields[key.as_str()];
        rest = rest[key.len()..].trim_start_matches('.');
    }
    pointer
}
