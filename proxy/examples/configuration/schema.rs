//! The schema of the configuration file, as schemars makes it of the types, in the form that editors take best: draft 7,
//! everything in its place, and the defaults that [`super::defaults`] finds.

use std::error::Error;

use holysheep_proxy::config::ConfigFile;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::defaults::Defaults;

/// The whole schema.
pub(crate) fn all() -> Result<Value, Box<dyn Error>> {
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let made = settings
        .into_generator()
        .into_root_schema_for::<ConfigFile>();
    let mut schema = made.to_value();
    tidy(&mut schema);
    Defaults::read()?.enter(&mut schema, "");
    schema["title"] = json!("holysheep-proxy");
    Ok(schema)
}

/// The keys of a section with those below it; none of a setting.
pub(crate) fn keys(schema: &Value) -> Option<&Map<String, Value>> {
    schema.get("properties").and_then(Value::as_object)
}

/// Takes out what a file has no use for, in a schema and in those within it.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Array(schemas) => schemas.iter_mut().for_each(tidy),
        Value::Object(fields) => {
            fields.values_mut().for_each(tidy);
            without_nothing(fields);
            choice(fields);
            // Names of Rust's types.
            if fields.get("format").is_some_and(Value::is_string) {
                fields.remove("format");
            }
            // A section of which everything is commented out is there, and nothing.
            if let Some(Value::Object(keys)) = fields.get_mut("properties") {
                let sections = keys.values_mut().filter(|key| is_section(key));
                sections.for_each(|section| section["type"] = json!(["object", "null"]));
            }
        }
        _ => {}
    }
}

fn is_section(schema: &Value) -> bool {
    keys(schema).is_some() && schema["type"] == "object"
}

/// A setting that has no value is no mistake to the proxy, but nothing that an editor should propose.
fn without_nothing(fields: &mut Map<String, Value>) {
    // The defaults of what reads the file, none of which are those of the proxy.
    let default = fields.get("default");
    let says_nothing = |default: &Value| *default == json!(null) || *default == json!([]);
    if default.is_some_and(|default| says_nothing(default) || *default == json!({})) {
        fields.remove("default");
    }
    if let Some(Value::Array(types)) = fields.get_mut("type") {
        types.retain(|name| name != "null");
        if let [one] = types.as_slice() {
            let one = one.clone();
            fields.insert("type".to_owned(), one);
        }
    }
    if let Some(Value::Array(either)) = fields.get_mut("anyOf") {
        let before = either.len();
        either.retain(|schema| *schema != json!({"type": "null"}));
        if either.len() < before
            && let [Value::Object(one)] = either.as_slice()
        {
            let one = one.clone();
            fields.remove("anyOf");
            for (name, value) in one {
                fields.entry(name).or_insert(value);
            }
        }
    }
}

/// Words to choose from, each with what it means, as editors show them.
fn choice(fields: &mut Map<String, Value>) {
    let Some(Value::Array(each)) = fields.get("oneOf") else {
        return;
    };
    let (words, others): (Vec<_>, Vec<_>) = each.iter().partition(|one| one.get("const").is_some());
    let of = |name: &str| -> Value { words.iter().map(|word| word[name].clone()).collect() };
    let choice =
        json!({"type": "string", "enum": of("const"), "enumDescriptions": of("description")});
    match (others.as_slice(), choice) {
        ([], Value::Object(choice)) => fields.extend(choice),
        (others, choice) => {
            let others = others.iter().map(|other| (*other).clone());
            let either: Value = std::iter::once(choice).chain(others).collect();
            fields.insert("anyOf".to_owned(), either);
        }
    }
    fields.remove("oneOf");
}
