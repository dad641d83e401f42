//! The block with all keys, a line for each.

use serde_json::Value;

use super::keys::{bounds, brief, entries, entry, has_no_default, order, shown};
use super::{schema, yaml};

/// The block.
pub(crate) fn block(schema: &Value) -> String {
    let mut block = String::new();
    section(schema, &mut Vec::new(), &mut block);
    block
}

fn section(schema: &Value, path: &mut Vec<String>, block: &mut String) {
    let Some(keys) = schema::keys(schema) else {
        return;
    };
    let indent = "  ".repeat(path.len());
    let known = order(path);
    let mut was_large = false;
    for (name, key) in known.iter().filter_map(|name| keys.get_key_value(name)) {
        let (entries, is_section) = (entries(key), schema::keys(key).is_some());
        let is_list = ["array", "object"].map(Value::from).contains(&key["type"]);
        let is_large = is_section || is_list;
        if path.is_empty() && (is_large || was_large) {
            block.push('\n');
        }
        was_large = is_large;
        if entries.is_none() && !is_section {
            let setting = format!("{indent}{name}: {}", yaml::value(&shown(key)));
            line(&setting, &comment(key), block);
            continue;
        }
        line(&format!("{indent}{name}:"), &lower(&brief(key)), block);
        path.push(name.clone());
        match entries {
            None => section(key, path, block),
            Some((below, examples)) => {
                for (name, example) in examples {
                    block.push_str(&format!("{indent}  {}:\n", yaml::text(&name)));
                    path.push(name);
                    section(&entry(below, &example), path, block);
                    path.pop();
                }
            }
        }
        path.pop();
    }
}

fn line(setting: &str, comment: &str, block: &mut String) {
    block.push_str(&format!("{setting:<27} # {comment}\n"));
}

fn comment(schema: &Value) -> String {
    let brief = lower(&brief(schema));
    let comment = match (bounds(schema), schema["enum"].is_array()) {
        (Some(words), true) => format!("{words}: {brief}"),
        (Some(bounds), false) => format!("{brief}; {bounds}"),
        (None, _) => brief,
    };
    match has_no_default(schema) {
        true => format!("{comment}; no default"),
        false => comment,
    }
}

/// As it goes on in a comment, unless it begins with a name.
fn lower(text: &str) -> String {
    let mut letters = text.chars();
    let Some(first) = letters.next() else {
        return String::new();
    };
    let second = letters.clone().next();
    match second.is_some_and(|second| second.is_uppercase()) {
        true => text.to_owned(),
        false => first.to_lowercase().chain(letters).collect(),
    }
}
