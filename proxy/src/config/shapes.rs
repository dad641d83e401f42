//! What values look like that are more than a text or a number, for the schema of the file: patterns, and words for whoever
//! missed one.
//!
//! Patterns keep to what editors, Rust and Go read in the same way. They are part of no program: `examples/configuration`
//! makes the schema, and [`crate::cli`] prints what came out.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use super::client_limits::{Budget, MOST_USD};
use super::dns::Server;
use super::file::{Size, Span};
use super::models::TargetFile;
use super::prices::{Dollars, MAX_MODELS, MAX_NAME};
use super::probes::ProbeSource;
use super::tcp::{InitialWindow, MOST_SEGMENTS};
use crate::route::ROUTES;

/// A number of bytes.
pub const SIZE: &str = "^([0-9]+(\\.[0-9]*)?|\\.[0-9]+) *([kKmMgGtTpPeE][iI]?[bB]?|[bB])$|^[0-9]+$";
/// One duration or several in a row, in humantime's units.
pub const DURATION: &str = "^0$|^ *([0-9]+(\\.[0-9]+)? *(n(anos|sec|s)|u(sec|s)|µs|m(illis|sec|s|in(ute)?s?|onths?)?|M|\
                            s(ec(ond)?s?)?|h((ou)?rs?)?|d(ays?)?|w(eeks?|ks?)?|y(ears?|rs?)?) *)+$";
const ADDRESS: &str = "^([0-9]{1,3}(\\.[0-9]{1,3}){3}|\\[[0-9a-fA-F:.]+\\]):[0-9]{1,5}$";
const SERVER: &str = "^([0-9]{1,3}(\\.[0-9]{1,3}){3}(:[0-9]{1,5})?|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*|\\[[0-9a-fA-F:.]+\\]:[0-9]{1,5})$";
const SOURCE: &str = "^(node|[0-9]{1,3}(\\.[0-9]{1,3}){3}(/[1-9][0-9]?)?|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*(/[1-9][0-9]{0,2})?)$";
const URL: &str = "^https?://[^@/?#\\s]+(/[^?#\\s]*)?$";
const URL_WITH_QUERY: &str = "^https?://[^@/?#\\s]+([/?]\\S*)?$";
const REDIS: &str = "^(rediss?|valkeys?|redis\\+unix|valkey\\+unix|unix)://\\S+$";
const MONEY: &str = "^[0-9]+(\\.[0-9]*)?([eE][-+]?[0-9]+)?$";

/// Upstreams beside the first have to say what they are called and where they are, and nothing of windows.
pub(super) fn further_upstreams(schema: &mut Schema) {
    schema.insert("maxItems".to_owned(), json!(15));
    if let Some(items) = schema.pointer_mut("/items").and_then(Value::as_object_mut) {
        items.insert("required".to_owned(), json!(["name", "base_url"]));
        let properties = items.get_mut("properties").and_then(Value::as_object_mut);
        _ = properties.map(|properties| properties.remove("tcp"));
    }
}

/// Each model has one upstream at least.
pub(super) fn models(schema: &mut Schema) {
    if let Some(targets) = schema.pointer_mut("/additionalProperties") {
        targets["minItems"] = json!(1);
    }
}

/// Models are labels of metrics.
pub(super) fn prices(schema: &mut Schema) {
    schema.insert("maxProperties".to_owned(), json!(MAX_MODELS));
    let names = json!({"minLength": 1, "maxLength": MAX_NAME});
    schema.insert("propertyNames".to_owned(), names);
}

/// Paths are those of the table of routes, and not every request may be sent twice.
pub(super) fn routes(schema: &mut Schema) {
    let paths = ROUTES.each_ref().map(|route| route.template);
    schema.insert("propertyNames".to_owned(), json!({"enum": paths}));
    let never = json!({
        "pattern": "^[^1-9]*$",
        "patternErrorMessage": "Asking twice would be paid for twice, or do its work twice",
    });
    // All are there: editors propose what they find here.
    let each = ROUTES.iter().map(|route| {
        let treatment = match route.is_repeatable() {
            true => json!({}),
            false => json!({"properties": {"hedge_after": never}}),
        };
        (route.template.to_owned(), treatment)
    });
    let each: Map<String, Value> = each.collect();
    schema.insert("allOf".to_owned(), json!([{"properties": each}]));
}

/// A text of a pattern; `expected` is what an editor says of another one.
fn text(pattern: &str, expected: &str) -> Schema {
    json_schema!({
        "type": "string",
        "pattern": pattern,
        "patternErrorMessage": format!("Expected {expected}"),
    })
}

/// Gives a type, or what stands for one, its schema. It has no name of its own there.
macro_rules! shapes {
    ($($name:ty => $schema:expr;)*) => {$(
        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    )*};
}

/// Stands for an address and a port.
pub(super) struct Address;
/// Stands for a duration that is not zero.
pub(super) struct Positive;
/// Stands for a URL without a query.
pub(super) struct Url;
/// Stands for a URL that may have one.
pub(super) struct UrlWithQuery;
/// Stands for the URL of a Redis.
pub(super) struct RedisUrl;
/// Stands for a share of all: 0 to 1.
pub(super) struct Share;

shapes! {
    Address => text(ADDRESS, "an address and a port, such as 127.0.0.1:8080");
    Server => text(SERVER, "an address such as 10.96.0.10, 10.96.0.10:5353, fd00::a or [fd00::a]:5353");
    ProbeSource => text(SOURCE, "node, an address, or a network such as 10.0.0.0/8");
    Url => text(URL, "a URL such as https://api.holysheep.ai/v1");
    UrlWithQuery => text(URL_WITH_QUERY, "a URL such as http://billing.shop.svc.cluster.local:8080/payments");
    RedisUrl => text(REDIS, "such as redis://redis.cache:6379 or rediss://10.0.0.5:6380/1");
    Span => text(DURATION, "a duration such as 10s, 500ms or 5m");
    Positive => positive();
    Size => json_schema!({
        "type": ["string", "integer"],
        "pattern": SIZE,
        "patternErrorMessage": "Expected a size such as 10MB or 32KiB, or a number of bytes",
        "minimum": 0,
    });
    Share => json_schema!({"type": "number", "minimum": 0, "maximum": 1});
    Budget => money(&json!(MOST_USD), "US dollars such as 12.50");
    Dollars => money(&Value::Null, "dollars for a million tokens, such as 0.28");
    InitialWindow => json_schema!({
        "anyOf": [{"enum": ["auto", "off"]}, {"type": "integer", "minimum": 1, "maximum": MOST_SEGMENTS}],
    });
    TargetFile => json_schema!({
        "anyOf": [
            {"type": "string", "description": "The name of an upstream."},
            {
                "type": "object",
                "additionalProperties": false,
                "required": ["upstream"],
                "properties": {
                    "upstream": {"type": "string", "description": "The name of an upstream."},
                    "model": {
                        "type": ["string", "null"],
                        "description": "What the model is called there, if that differs.",
                        "pattern": "^[!#-\\[\\]-~]+$",
                    },
                },
            },
        ],
    });
}

fn positive() -> Schema {
    let mut schema = text(DURATION, "a duration such as 10s, 500ms or 5m");
    let zero = "0s would end everything at once; expected such as 10s";
    let is_some = json!({"pattern": "[1-9]", "patternErrorMessage": zero});
    schema.insert("allOf".to_owned(), json!([is_some]));
    schema
}

fn money(most: &Value, expected: &str) -> Schema {
    let mut schema = text(MONEY, expected);
    schema.insert("type".to_owned(), json!(["number", "string"]));
    schema.insert("minimum".to_owned(), json!(0));
    if !most.is_null() {
        schema.insert("maximum".to_owned(), most.clone());
    }
    schema
}
