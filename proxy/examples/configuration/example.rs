//! The example of a configuration file: what is known of each key, and the key behind a `#`.

use serde_json::Value;

use super::keys::{bounds, entries, entry, has_no_default, order, shown};
use super::{schema, yaml};

/// What begins the example.
const HEAD: &str = "\
# yaml-language-server: $schema=holysheep-proxy.schema.json
#
# All settings of holysheep-proxy, with what they are unless set. Where there is no such value, an example stands there.
# To change a setting, take away the # before it. A section whose name has one goes as a whole.
#
# `holysheep-proxy config --check FILE` says what is wrong with a file, `holysheep-proxy config --schema` prints what the
# first line names, by which an editor completes and explains settings.
# Made of the types by `cargo run -p holysheep-proxy --example configuration`.
";

/// What contradicts other settings of the example, and can only be spoken of.
pub(crate) const APART: [&str; 3] = [
    // Beside `upstream.api_key_file`.
    "upstream.api_keys",
    // With `auth: open`.
    "clients.file",
    // With `scheme: standard`.
    "webhook.signature_header",
];
/// Characters of a line.
const WIDTH: usize = 110;

/// The whole file.
pub(crate) fn file(schema: &Value) -> String {
    let mut lines = Vec::new();
    open(schema, &mut Vec::new(), &mut lines);
    let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
    format!("{HEAD}{lines}")
}

/// The keys of a section that is there, each to be had by itself.
fn open(schema: &Value, path: &mut Vec<String>, lines: &mut Vec<String>) {
    let indent = "  ".repeat(path.len());
    each(schema, path, |name, key, path| {
        let mut about = vec![String::new()];
        about.extend(
            self::about(key)
                .iter()
                .map(|line| format!("{indent}# {line}")),
        );
        lines.append(&mut about);
        // Some keys of it need others.
        let is_whole = key.get("dependencies").is_some() || entries(key).is_some();
        if is_apart(path) {
            let setting = setting(name, key);
            lines.push(format!("{indent}# Such as: {setting}"));
        } else if !is_whole && schema::keys(key).is_some() {
            lines.push(format!("{indent}{name}:"));
            open(key, path, lines);
        } else {
            let mut whole = Vec::new();
            self::whole(name, key, path, &mut whole);
            lines.extend(whole.iter().map(|line| format!("{indent}#{line}")));
        }
    });
}

/// A key with all that is below it, as if it were in force.
fn whole(name: &str, schema: &Value, path: &mut Vec<String>, lines: &mut Vec<String>) {
    let entries = entries(schema);
    if entries.is_none() && schema::keys(schema).is_none() {
        lines.push(setting(name, schema));
        return;
    }
    lines.push(format!("{}:", yaml::text(name)));
    let mut below = Vec::new();
    match entries {
        None => each(schema, path, |name, key, path| {
            below.extend(about(key).iter().map(|line| format!("# {line}")));
            match is_apart(path) {
                true => below.push(format!("# Such as: {}", setting(name, key))),
                false => whole(name, key, path, &mut below),
            }
        }),
        Some((schema, examples)) => {
            for (name, example) in examples {
                path.push(name.clone());
                whole(&name, &entry(schema, &example), path, &mut below);
                path.pop();
            }
        }
    }
    lines.extend(below.iter().map(|line| format!("  {line}")));
}

/// Goes through the keys of a section in their order, with the path of each.
fn each(
    schema: &Value,
    path: &mut Vec<String>,
    mut see: impl FnMut(&str, &Value, &mut Vec<String>),
) {
    let Some(keys) = schema::keys(schema) else {
        return;
    };
    let known = order(path);
    for (name, key) in known.iter().filter_map(|name| keys.get_key_value(name)) {
        path.push(name.clone());
        see(name, key, path);
        path.pop();
    }
}

fn is_apart(path: &[String]) -> bool {
    APART.contains(&path.join(".").as_str())
}

fn setting(name: &str, schema: &Value) -> String {
    format!("{name}: {}", yaml::value(&shown(schema)))
}

/// What a key is for, in lines.
fn about(schema: &Value) -> Vec<String> {
    let text = schema["description"].as_str().unwrap_or_default();
    let mut paragraphs: Vec<String> = text
        .split("\n\n")
        .map(|text| text.replace('\n', " "))
        .collect();
    let facts = [
        bounds(schema)
            .filter(|_| !schema["enum"].is_array())
            .map(|bounds| format!(" {}.", capital(&bounds))),
        has_no_default(schema).then(|| " No default.".to_owned()),
    ];
    if let Some(first) = paragraphs.first_mut() {
        first.extend(facts.into_iter().flatten());
    }
    let words = schema["enum"].as_array().into_iter().flatten();
    let meanings = schema["enumDescriptions"].as_array().into_iter().flatten();
    let choice = words.zip(meanings);
    let choice = choice.map(|(word, meaning)| {
        format!(
            "- {}: {}",
            yaml::value(word),
            meaning.as_str().unwrap_or_default()
        )
    });
    paragraphs.extend(choice);
    paragraphs.iter().flat_map(|text| wrapped(text)).collect()
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).collect()
}

/// A text in lines.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.len() + 1 + word.len() > WIDTH {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}
