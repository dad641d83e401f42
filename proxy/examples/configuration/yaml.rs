//! Values in YAML, on one line.

use serde_json::Value;

/// A value as a person would write it.
pub(crate) fn value(value: &Value) -> String {
    match value {
        Value::String(text) => self::text(text),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(self::value).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(fields) => {
            let fields = fields.iter();
            let fields: Vec<_> = fields
                .map(|(name, field)| format!("{}: {}", text(name), self::value(field)))
                .collect();
            format!("{{{}}}", fields.join(", "))
        }
        other => other.to_string(),
    }
}

/// A text, in quotes where YAML would make something else of it.
pub(crate) fn text(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/_.:-*".contains(c);
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric() || "/_".contains(c));
    let is_word = begins && text.chars().all(is_plain) && !text.ends_with(':');
    match is_word && text.parse::<f64>().is_err() {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "''")),
    }
}
