//! `prices:`: what models cost, besides and instead of what is built in.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::{Problem, decimal};
use crate::cost::price::Rate;
use crate::cost::{Amount, Catalogue, Entry, Price};

/// Models that can be given: each is a label of metrics.
pub(super) const MAX_MODELS: usize = 1_000;
/// Bytes of a model's name.
pub(super) const MAX_NAME: usize = 200;

/// `prices.MODEL:`, in dollars for a million tokens.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PriceFile {
    /// Price of what is asked.
    pub input: Dollars,
    /// Price of what is answered.
    pub output: Dollars,
    /// Price of the input that upstream had in its cache; as `input` unless set.
    pub cached_input: Option<Dollars>,
    /// Price of the input that it has put there; as `input` unless set.
    pub cache_write: Option<Dollars>,
    /// Price of the input that it keeps there for an hour; as `cache_write` unless set.
    pub cache_write_1h: Option<Dollars>,
    /// Other names of the model in requests and answers.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Where the price is from, for those who read /config.
    pub source: Option<String>,
    /// The day for which that is known; likewise.
    #[schemars(regex(pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"))]
    pub date: Option<String>,
}

/// Dollars for a million tokens, as a number or a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dollars(Rate);

impl Dollars {
    fn read<E: serde::de::Error>(text: &str) -> Result<Self, E> {
        let amount = text.parse::<Amount>().ok().and_then(Rate::per_million);
        amount.map(Self).ok_or_else(|| {
            E::custom(format!(
                "{text:?} is no price; expected dollars for a million tokens, such as 0.28, with at most six decimals"
            ))
        })
    }
}

impl<'de> Deserialize<'de> for Dollars {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = decimal::text(deserializer, "dollars for a million tokens, such as 0.28")?;
        Self::read(&text)
    }
}

impl PriceFile {
    fn entry(&self, name: &str) -> Entry {
        let rate = |dollars: Option<Dollars>| dollars.map(|dollars| dollars.0);
        Entry {
            name: name.into(),
            price: Price {
                input: self.input.0,
                cached_input: rate(self.cached_input),
                cache_write: rate(self.cache_write),
                cache_write_1h: rate(self.cache_write_1h),
                output: self.output.0,
            },
            aliases: (self.aliases.iter())
                .map(|alias| alias.as_str().into())
                .collect(),
            source: self.source.as_deref().map(Into::into),
            date: self.date.as_deref().map(Into::into),
        }
    }
}

/// The catalogue with what is given in it.
pub(crate) fn checked(
    given: &BTreeMap<String, PriceFile>,
    problems: &mut Vec<Problem>,
) -> Catalogue {
    let mut wrong = |field: String, message: String| {
        problems.push(Problem {
            field: field.into(),
            message,
        });
    };
    if given.len() > MAX_MODELS {
        let count = given.len();
        wrong(
            "prices".to_owned(),
            format!("{count} models; expected at most {MAX_MODELS}"),
        );
    }
    let mut aliases = BTreeSet::new();
    for (name, price) in given {
        if !is_name(name) {
            wrong(format!("prices.{name}"), no_name(name));
        }
        for (index, alias) in price.aliases.iter().enumerate() {
            let field = format!("prices.{name}.aliases[{index}]");
            if !is_name(alias) {
                wrong(field, no_name(alias));
            } else if given.contains_key(alias) || !aliases.insert(alias) {
                wrong(field, format!("{alias:?} is the name of another"));
            }
        }
        if let Some(date) = price.date.as_deref().filter(|date| !is_date(date)) {
            let message = format!("{date:?} is no date; expected such as 2026-11-26");
            wrong(format!("prices.{name}.date"), message);
        }
    }
    let entries = given.iter().map(|(name, price)| price.entry(name));
    Catalogue::with(entries.collect())
}

fn is_name(name: &str) -> bool {
    let is_control = name.chars().any(char::is_control);
    !name.trim().is_empty() && name.len() <= MAX_NAME && !is_control
}

fn no_name(name: &str) -> String {
    format!("{name:?} can be no model's name")
}

fn is_date(date: &str) -> bool {
    let midnight = format!("{date}T00:00:00Z");
    date.len() == 10 && humantime::parse_rfc3339(&midnight).is_ok()
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, ConfigFile};

    fn build(text: &str) -> Result<Config, String> {
        let file = ConfigFile::parse(text)?;
        Config::build(file).map_err(|error| error.to_string())
    }

    #[test]
    fn models_are_added_and_replaced() {
        let config = build(
            "prices: {gpt-4.1-mini: {input: 0.40, cached_input: '0.10', output: 1.6, aliases: [mini], \
             source: 'https://example.test', date: 2026-11-26}, \
             claude-sonnet-4-5: {input: 2, output: 10}, gpt-4.1: {input: 1.0e-1, output: 0}}",
        )
        .unwrap();
        let prices = config.prices;
        let shown = |model: &str| {
            let entry = prices.find(model).unwrap();
            let output = entry.price.output.dollars();
            (entry.name.to_string(), output.to_string())
        };
        assert_eq!(shown("mini"), ("gpt-4.1-mini".into(), "1.6".into()));
        assert_eq!(shown("gpt-4.1"), ("gpt-4.1".into(), "0".into()));
        // A name of one's own goes before what is built in.
        assert_eq!(
            shown("claude-sonnet-4-5"),
            ("claude-sonnet-4-5".into(), "10".into())
        );
        assert_eq!(
            shown("claude-sonnet-4.5"),
            ("claude-sonnet-4.5".into(), "15".into())
        );
        // With the entry that was replaced its other names are gone, too.
        assert!(prices.find("gpt-4.1-2025-04-14").is_none());
        let text = serde_json::to_string(&prices).unwrap();
        assert!(
            text.contains(
                r#""gpt-4.1-mini":{"input":0.4,"cached_input":0.1,"output":1.6,"aliases":["mini"],"source":"https://example.test","date":"2026-11-26"}"#
            ),
            "{text}"
        );
    }

    #[test]
    fn what_is_no_price_is_told_with_its_field() {
        for (text, expected) in [
            (
                "{m: {input: -1, output: 1}}",
                "prices.m.input: \"-1\" is no price",
            ),
            (
                "{m: {input: 1, output: 0.0000001}}",
                "prices.m.output: \"0.0000001\" is no price",
            ),
            (
                "{m: {input: 1, output: cheap}}",
                "prices.m.output: \"cheap\" is no price",
            ),
            ("{m: {input: 1}}", "prices.m: missing field `output`"),
            (
                "{m: {input: 1, output: 1, cash: 1}}",
                "prices.m.cash: unknown field",
            ),
            (
                "{m: {input: 1, output: 1, date: tomorrow}}",
                "prices.m.date: \"tomorrow\" is no date",
            ),
            (
                "{m: {input: 1, output: 1, date: 2026-13-01}}",
                "prices.m.date: \"2026-13-01\" is no date",
            ),
            (
                "{m: {input: 1, output: 1, aliases: [n]}, n: {input: 1, output: 1}}",
                "prices.m.aliases[0]: \"n\" is the name of another",
            ),
            (
                "{m: {input: 1, output: 1, aliases: [a, a]}}",
                "prices.m.aliases[1]: \"a\" is the name of another",
            ),
            (
                "{'': {input: 1, output: 1}}",
                "prices.: \"\" can be no model's name",
            ),
        ] {
            let error = build(&format!("prices: {text}")).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
