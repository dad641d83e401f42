//! What a deserializer says of what does not fit, in words for people who write files.

use serde_json::Value;

/// Names that are as much alike may be meant, as clap has it.
const ALIKE: f64 = 0.7;
/// What is as long and has no gap may be a key, a salt or a hash. A field's name is shorter.
const SUSPICIOUS: usize = 30;
/// What keys begin with.
const PREFIXES: [&str; 4] = ["cr_", "sk-", "hs-", "whsec_"];
/// Characters of a message: whoever gave more wants to read less.
const LONGEST: usize = 1000;

/// Whether a text is expected. A number can be read as one.
pub(super) fn is_text(expected: &str) -> bool {
    expected.ends_with("string") || expected == "string or map" || expected == "socket address"
}

/// What was found and what was expected.
pub(super) fn plain(reason: &str, value: Option<&Value>) -> String {
    let message = if let Some(rest) = reason.strip_prefix("unknown field `") {
        unknown(rest, "unknown field")
    } else if let Some(rest) = reason.strip_prefix("unknown variant `") {
        let given = rest.split('`').next().unwrap_or_default();
        unknown(rest, &format!("got {given:?}"))
    } else if let Some(rest) = reason.strip_prefix("invalid type: ") {
        mismatch(rest)
    } else if let Some(rest) = reason.strip_prefix("invalid value: ") {
        mismatch(rest)
    } else if reason == "invalid socket address syntax" {
        let given = value.map(Value::to_string).unwrap_or_default();
        format!("got {given}, expected an address and a port such as 127.0.0.1:8080")
    } else {
        reason.to_owned()
    };
    masked(&message)
}

/// `rest` is what follows the first backtick of: unknown field \`NAME\`, expected one of \`THIS\`, \`THAT\`.
fn unknown(rest: &str, found: &str) -> String {
    let Some((given, expected)) = rest.rsplit_once("`, expected ") else {
        return format!("{found}; expected none at all");
    };
    let known = || expected.split('`').skip(1).step_by(2);
    let alike = known().map(|name| (strsim::jaro(given, name), name));
    let nearest = alike.max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest.filter(|(alike, _)| *alike >= ALIKE) {
        Some((_, name)) => format!("{found}; did you mean `{name}`?"),
        None => format!("{found}, expected {expected}"),
    }
}

/// `rest` is `string "many", expected usize`.
fn mismatch(rest: &str) -> String {
    let Some((given, expected)) = rest.rsplit_once(", expected ") else {
        return rest.to_owned();
    };
    let kinds = ["string ", "integer ", "floating point ", "boolean "];
    let bare = kinds.iter().find_map(|kind| given.strip_prefix(kind));
    let given = match (bare, given) {
        (Some(bare), _) => bare.trim_matches('`'),
        (None, "map") => "fields",
        (None, "sequence") => "a list",
        (None, "null" | "unit value") => "nothing",
        (None, other) => other,
    };
    let expected = match expected {
        "usize" | "u64" | "u32" | "u16" | "u8" => "a whole number",
        "f64" | "f32" => "a number",
        "a boolean" => "true or false",
        "a string" | "string or map" => "a text",
        "path string" => "a path",
        "socket address" => "an address and a port such as 127.0.0.1:8080",
        "a sequence" => "a list",
        "a map" => "fields with values",
        other if other.starts_with("struct ") => "fields with values",
        other => other,
    };
    format!("got {given}, expected {expected}")
}

/// A text without what may be a secret.
pub(super) fn masked(text: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "_+=-".contains(c);
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(is_part) {
        let (before, from) = rest.split_at(start);
        let (word, after) = from.split_at(from.find(|c| !is_part(c)).unwrap_or(from.len()));
        masked.push_str(before);
        masked.push_str(if word.len() < SUSPICIOUS { word } else { "…" });
        rest = after;
    }
    masked.push_str(rest);
    masked
}

/// One line of a bearable length, without what begins as a key does.
pub(super) fn safe(text: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(is_part) {
        let (before, from) = rest.split_at(start);
        let (word, after) = from.split_at(from.find(|c| !is_part(c)).unwrap_or(from.len()));
        safe.push_str(before);
        let is_key = PREFIXES.iter().any(|prefix| word.starts_with(prefix));
        safe.push_str(if is_key { "…" } else { word });
        rest = after;
    }
    safe.push_str(rest);
    if safe.chars().count() > LONGEST {
        safe = safe.chars().take(LONGEST).chain(['…']).collect();
    }
    safe.replace(char::is_control, "�")
}
