//! `models:`: which upstreams serve a model, in which order, and what they call it.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Problem, Upstream};

/// An upstream for a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its position among all upstreams.
    pub upstream: u8,
    /// Its name, for those who read.
    name: String,
    /// What it calls the model, if that differs.
    pub model: Option<Box<str>>,
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let Some(model) = &self.model else {
            return serializer.serialize_str(&self.name);
        };
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("upstream", &self.name)?;
        map.serialize_entry("model", model)?;
        map.end()
    }
}

/// As it is written: a name, or a name and what the model is called there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetFile {
    upstream: String,
    model: Option<String>,
}

impl<'de> Deserialize<'de> for TargetFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TargetVisitor)
    }
}

struct TargetVisitor;

impl<'de> serde::de::Visitor<'de> for TargetVisitor {
    type Value = TargetFile;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the name of an upstream, or {upstream: NAME, model: NAME}")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<TargetFile, E> {
        Ok(TargetFile {
            upstream: name.to_owned(),
            model: None,
        })
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<TargetFile, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Both {
            upstream: String,
            model: Option<String>,
        }
        let both = Both::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
        Ok(TargetFile {
            upstream: both.upstream,
            model: both.model,
        })
    }
}

/// Which upstreams serve which models.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelMap {
    exact: BTreeMap<Box<str>, Box<[Target]>>,
    /// By their beginnings, the longest first.
    prefixes: Vec<(Box<str>, Box<[Target]>)>,
    /// All others.
    rest: Box<[Target]>,
    /// That is as the file says, and not all upstreams.
    says_rest: bool,
}

impl ModelMap {
    /// The upstreams for a model, in the order in which they are tried.
    pub fn of(&self, model: Option<&str>) -> &[Target] {
        let Some(model) = model else {
            return &self.rest;
        };
        let prefix = || {
            let mut prefixes = self.prefixes.iter();
            prefixes.find(|(prefix, _)| model.starts_with(&**prefix))
        };
        match self.exact.get(model) {
            Some(targets) => targets,
            None => prefix().map_or(&self.rest, |(_, targets)| targets),
        }
    }

    /// Whether it has to be known which model a request is for.
    pub fn is_by_model(&self) -> bool {
        let renames = self.rest.iter().any(|target| target.model.is_some());
        renames || !self.exact.is_empty() || !self.prefixes.is_empty()
    }
}

impl Serialize for ModelMap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let prefixes = self.prefixes.iter().map(|(prefix, targets)| {
            let pattern = format!("{prefix}*");
            (pattern, targets)
        });
        let exact = self.exact.iter();
        let exact = exact.map(|(model, targets)| (model.to_string(), targets));
        let rest = self.says_rest.then(|| ("*".to_owned(), &self.rest));
        serializer.collect_map(exact.chain(prefixes).chain(rest))
    }
}

/// Without `*`, a model that is not named can go to every upstream, in their order.
pub(super) fn checked<'a>(
    given: &BTreeMap<String, Vec<TargetFile>>,
    upstreams: impl Iterator<Item = &'a Upstream>,
    problems: &mut Vec<Problem>,
) -> ModelMap {
    let names: Vec<&str> = upstreams.map(|upstream| upstream.name.as_str()).collect();
    let number = |index: usize| u8::try_from(index).unwrap_or(u8::MAX);
    let mut map = ModelMap {
        rest: (names.iter().enumerate())
            .map(|(index, name)| Target {
                upstream: number(index),
                name: (*name).to_owned(),
                model: None,
            })
            .collect(),
        ..ModelMap::default()
    };
    for (pattern, targets) in given {
        let mut wrong = |message: String| {
            problems.push(Problem {
                field: format!("models.{pattern}").into(),
                message,
            });
        };
        if targets.is_empty() {
            wrong("names no upstream; expected at least one".to_owned());
        }
        let mut known = Vec::new();
        for target in targets {
            match names.iter().position(|name| *name == target.upstream) {
                Some(index) => known.push(Target {
                    upstream: number(index),
                    name: target.upstream.clone(),
                    model: target.model.as_deref().map(Into::into),
                }),
                None => wrong(format!(
                    "{:?} is no upstream; there are {}",
                    target.upstream,
                    names.join(", ")
                )),
            }
            let is_plain = |byte: &u8| byte.is_ascii_graphic() && !b"\"\\".contains(byte);
            if let Some(model) = &target.model
                && (model.is_empty() || !model.bytes().all(|byte| is_plain(&byte)))
            {
                wrong(format!("{model:?} can be no model's name"));
            }
        }
        let known = known.into_boxed_slice();
        match pattern.strip_suffix('*') {
            Some("") => {
                map.rest = known;
                map.says_rest = true;
            }
            Some(prefix) => map.prefixes.push((prefix.into(), known)),
            None => _ = map.exact.insert(pattern.as_str().into(), known),
        }
    }
    map.prefixes
        .sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
    map
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, ConfigFile};

    #[test]
    fn the_longest_pattern_that_fits_says_who_serves_a_model() {
        let file = ConfigFile::parse(
            "{upstreams: [{name: b, base_url: 'https://b/v1'}, {name: c, base_url: 'https://c/v1'}], \
             models: {gpt-4: [b], 'gpt-*': [c, {upstream: holysheep, model: x}], 'gpt-4*': [c]}}",
        );
        let config = Config::build(file.unwrap()).unwrap();
        let of = |model| {
            let targets = config.models.of(model).iter();
            let shown = targets.map(|target| format!("{}{:?}", target.upstream, target.model));
            shown.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(of(Some("gpt-4")), "1None");
        assert_eq!(of(Some("gpt-4o")), "2None");
        assert_eq!(of(Some("gpt-5")), "2None 0Some(\"x\")");
        assert_eq!(of(Some("claude")), "0None 1None 2None");
        assert_eq!(of(None), of(Some("claude")));
        assert!(config.models.is_by_model());
        let shown = serde_json::to_string(&config.models).unwrap();
        let expected =
            r#"{"gpt-4":["b"],"gpt-4*":["c"],"gpt-*":["c",{"upstream":"holysheep","model":"x"}]}"#;
        assert_eq!(shown, expected);
        let plain = Config::build(ConfigFile::default()).unwrap();
        assert!(!plain.models.is_by_model());
    }

    #[test]
    fn a_model_needs_upstreams_that_there_are() {
        let file = ConfigFile::parse(
            "models: {a: [nobody], b: [], c: [{upstream: holysheep, model: 'x y'}]}",
        );
        let error = Config::build(file.unwrap()).unwrap_err().to_string();
        assert!(
            error.contains("models.a: \"nobody\" is no upstream; there are holysheep"),
            "{error}"
        );
        assert!(error.contains("models.b: names no upstream"), "{error}");
        assert!(
            error.contains("models.c: \"x y\" can be no model's name"),
            "{error}"
        );
    }
}
