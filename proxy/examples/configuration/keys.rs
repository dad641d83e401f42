//! What is said of each key, for those who read it in a file.

use holysheep_proxy::config::ConfigFile;
use serde_json::{Value, json};

use super::schema::keys;
use super::yaml;

/// The keys of a section in the order of its type, which tells them when it is given one it does not know.
pub(crate) fn order(path: &[String]) -> Vec<String> {
    let inner = json!({"?": null});
    let file = path
        .iter()
        .rev()
        .fold(inner, |inner, step| match step.as_str() {
            "[]" => json!([inner]),
            name => json!({name: inner}),
        });
    let error = serde_json::from_value::<ConfigFile>(file)
        .err()
        .map(|error| error.to_string());
    let known = error
        .as_deref()
        .and_then(|error| error.strip_prefix("unknown field `?`, expected "));
    let names = known.unwrap_or_default().split('`').skip(1).step_by(2);
    names.map(str::to_owned).collect()
}

/// What a key is unless it is set, or else an example.
pub(crate) fn shown(schema: &Value) -> Value {
    let default = schema
        .get("default")
        .or_else(|| schema.pointer("/examples/0"));
    let nothing = || match schema["type"].as_str() {
        Some("array") => json!([]),
        _ => json!({}),
    };
    default.cloned().unwrap_or_else(nothing)
}

/// The first paragraph of what a key is for, on one line.
pub(crate) fn brief(schema: &Value) -> String {
    let text = schema["description"].as_str().unwrap_or_default();
    let first = text
        .split("\n\n")
        .next()
        .unwrap_or_default()
        .replace('\n', " ");
    first.trim_end_matches('.').to_owned()
}

/// More is no bound that anybody meets.
const FAR: u64 = 1_000_000;

/// The least and the most of a number, or the words there are. Where a text does as well, words say it better.
pub(crate) fn bounds(schema: &Value) -> Option<String> {
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<_> = words.iter().map(yaml::value).collect();
        return Some(words.join(" | "));
    }
    let of = |name: &str| {
        schema[name]
            .as_u64()
            .filter(|_| schema.get("pattern").is_none())
    };
    match (of("minimum")?, of("maximum").filter(|most| *most < FAR)) {
        (least, Some(most)) => Some(format!("{least} to {most}")),
        (0, None) => None,
        (least, None) => Some(format!("at least {least}")),
    }
}

/// A map of sections under names of one's own, with examples of them.
pub(crate) fn entries(schema: &Value) -> Option<(&Value, Vec<(String, Value)>)> {
    let below = schema
        .get("additionalProperties")
        .filter(|below| keys(below).is_some())?;
    let examples = schema.pointer("/examples/0")?.as_object()?;
    let examples = examples
        .iter()
        .map(|(name, entry)| (name.clone(), entry.clone()));
    Some((below, examples.collect()))
}

/// An entry's schema in which what the example says is the value of each key, and nothing else is there.
pub(crate) fn entry(below: &Value, example: &Value) -> Value {
    let mut schema = below.clone();
    if let Some(Value::Object(fields)) = schema.get_mut("properties") {
        fields.retain(|name, _| example.get(name).is_some());
        for (name, field) in fields {
            field["examples"] = json!([example[name]]);
            _ = field.as_object_mut().map(|field| field.remove("default"));
        }
    }
    schema
}

/// Whether what is shown is an example, and there is nothing that stands for it.
pub(crate) fn has_no_default(schema: &Value) -> bool {
    let is_example = schema.get("default").is_none() && schema.get("examples").is_some();
    is_example && !brief(schema).contains("unless set")
}
