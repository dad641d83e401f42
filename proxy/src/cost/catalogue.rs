//! Which model has which price: those built in, and what the configuration says instead or besides.

use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::built_in::MODELS;
use super::price::Price;
use crate::by_name::ByName;

/// A model with a price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// What it is called in metrics and bills.
    #[serde(skip)]
    pub name: Box<str>,
    /// What it costs.
    #[serde(flatten)]
    pub price: Price,
    /// Other names of it in requests and answers.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub aliases: Box<[Box<str>]>,
    /// Where the price is from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Box<str>>,
    /// The day for which that is known, as `2026-11-26`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date: Option<Box<str>>,
}

/// All models with a price. A copy is the same catalogue.
#[derive(Clone, Debug)]
pub struct Catalogue(Arc<Models>);

#[derive(Debug)]
struct Models {
    entries: Vec<Entry>,
    /// By every name they have.
    by_name: ByName<usize>,
}

/// The one that comes with the program.
impl Default for Catalogue {
    fn default() -> Self {
        Self::with(Vec::new())
    }
}

impl Catalogue {
    /// The built-in one with entries of one's own, which go before: by their names and aliases, those built in are not
    /// known any more. No name may be in two of them.
    pub fn with(own: Vec<Entry>) -> Self {
        let built_in = MODELS.iter().map(|model| Entry {
            name: model.name.into(),
            price: model.price,
            aliases: model.aliases.iter().map(|alias| (*alias).into()).collect(),
            source: Some(model.source.into()),
            date: Some(model.date.into()),
        });
        let replaced = |entry: &Entry| own.iter().any(|own| own.name == entry.name);
        let mut entries: Vec<_> = built_in.filter(|entry| !replaced(entry)).collect();
        entries.extend(own);
        let mut by_name = ByName::default();
        for (index, entry) in entries.iter().enumerate() {
            for name in std::iter::once(&entry.name).chain(&entry.aliases) {
                by_name.insert(name.clone(), index);
            }
        }
        Self(Arc::new(Models { entries, by_name }))
    }

    /// The entry of a model, by any of its names.
    #[inline]
    pub fn find(&self, model: &str) -> Option<&Entry> {
        let index = *self.0.by_name.get(model)?;
        self.0.entries.get(index)
    }

    /// That of the model that answered, or else of the one that was asked for.
    #[inline]
    pub fn find_either(&self, answered: Option<&str>, asked: Option<&str>) -> Option<&Entry> {
        let answered = answered.and_then(|model| self.find(model));
        answered.or_else(|| self.find(asked?))
    }

    /// All of them, those built in first.
    pub fn entries(&self) -> &[Entry] {
        &self.0.entries
    }
}

impl Serialize for Catalogue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.entries().iter().map(|entry| (&entry.name, entry)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_articles_models_have_the_articles_output_prices() {
        let catalogue = Catalogue::default();
        for (model, output) in [
            ("gpt-4.1", "8"),
            ("claude-sonnet-4.5", "15"),
            ("gemini-2.5-flash", "2.5"),
            ("deepseek-v3.2", "0.42"),
        ] {
            let entry = catalogue.find(model).unwrap();
            assert_eq!(entry.price.output.dollars().to_string(), output, "{model}");
        }
    }

    #[test]
    fn each_price_says_where_it_is_from_and_no_name_is_twice() {
        let catalogue = Catalogue::default();
        let mut names = 0;
        for entry in catalogue.entries() {
            assert!(entry.source.as_ref().unwrap().starts_with("https://"));
            assert_eq!(entry.date.as_ref().unwrap().len(), "2026-11-26".len());
            names += 1 + entry.aliases.len();
        }
        assert_eq!(catalogue.0.by_name.len(), names);
    }

    #[test]
    fn the_model_that_answered_goes_before_the_one_that_was_asked_for() {
        let catalogue = Catalogue::default();
        let name = |answered, asked| {
            let entry = catalogue.find_either(answered, asked);
            entry.map(|entry| entry.name.to_string())
        };
        let dated = "claude-sonnet-4-5-20250929";
        assert_eq!(
            name(Some(dated), Some("gpt-4.1")).as_deref(),
            Some("claude-sonnet-4.5")
        );
        assert_eq!(name(Some("x"), Some("gpt-4.1")).as_deref(), Some("gpt-4.1"));
        assert_eq!(name(None, Some("gpt-4.1-mini")), None);
        assert_eq!(name(None, None), None);
    }
}
