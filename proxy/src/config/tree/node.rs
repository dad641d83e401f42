//! The nodes of a file's tree, and the steps of a path through them.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};
use serde_path_to_error::Segment;
use serde_saphyr::Spanned;

use super::Place;

/// A value of the file.
#[derive(Debug)]
pub(super) enum Node {
    /// A text, a number, a truth value, or nothing.
    Scalar(Value),
    /// With the numbers the items have in the file, which stay when some are taken out.
    Items(Vec<(usize, Spanned<Self>)>),
    /// In their order.
    Fields(Vec<(Spanned<String>, Spanned<Self>)>),
}

impl Node {
    /// What an empty file is.
    pub(super) const fn nothing() -> Self {
        Self::Fields(Vec::new())
    }

    pub(super) const fn is_null(&self) -> bool {
        matches!(self, Self::Scalar(Value::Null))
    }

    pub(super) fn child(&self, position: usize) -> Option<&Spanned<Self>> {
        match self {
            Self::Items(items) => items.get(position).map(|(_, item)| item),
            Self::Fields(fields) => fields.get(position).map(|(_, field)| field),
            Self::Scalar(_) => None,
        }
    }

    pub(super) fn child_mut(&mut self, position: usize) -> Option<&mut Spanned<Self>> {
        match self {
            Self::Items(items) => items.get_mut(position).map(|(_, item)| item),
            Self::Fields(fields) => fields.get_mut(position).map(|(_, field)| field),
            Self::Scalar(_) => None,
        }
    }

    pub(super) fn remove(&mut self, position: usize) {
        match self {
            Self::Items(items) if position < items.len() => drop(items.remove(position)),
            Self::Fields(fields) if position < fields.len() => drop(fields.remove(position)),
            _ => {}
        }
    }

    /// The place of a field's name.
    pub(super) fn key_place(&self, position: usize) -> Option<Place> {
        match self {
            Self::Fields(fields) => {
                let key = fields.get(position).map(|(key, _)| key.referenced);
                key.map(Place::of)
            }
            Self::Items(_) | Self::Scalar(_) => None,
        }
    }

    /// Which child a deserializer means.
    pub(super) fn position(&self, segment: &Segment) -> Option<usize> {
        match (self, segment) {
            (Self::Items(items), Segment::Seq { index }) => {
                (*index < items.len()).then_some(*index)
            }
            (Self::Fields(fields), Segment::Map { key }) => {
                fields.iter().position(|(name, _)| name.value == *key)
            }
            _ => None,
        }
    }

    /// The child that a written path leads to first, and what is left of the path. Names may have dots in them.
    pub(super) fn step<'p>(&self, path: &'p str) -> Option<(usize, &'p str)> {
        match self {
            Self::Items(items) => {
                let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
                let index = index.parse::<usize>().ok()?;
                let rest = rest.strip_prefix('.').unwrap_or(rest);
                (index < items.len()).then_some((index, rest))
            }
            Self::Fields(fields) => {
                let steps = fields
                    .iter()
                    .enumerate()
                    .filter_map(|(position, (key, _))| {
                        let rest = path.strip_prefix(key.value.as_str())?;
                        match rest.strip_prefix('.') {
                            Some(rest) => Some((position, rest)),
                            None if rest.is_empty() || rest.starts_with('[') => {
                                Some((position, rest))
                            }
                            None => None,
                        }
                    });
                steps.min_by_key(|(_, rest)| rest.len())
            }
            Self::Scalar(_) => None,
        }
    }

    /// Writes a step as it is in the file.
    pub(super) fn write_step(&self, position: usize, path: &mut String) {
        match self {
            Self::Items(items) => {
                if let Some((index, _)) = items.get(position) {
                    path.push_str(&format!("[{index}]"));
                }
            }
            Self::Fields(fields) => {
                if let Some((key, _)) = fields.get(position) {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(&key.value);
                }
            }
            Self::Scalar(_) => {}
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Bool(value)))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(Value::from(value)))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Scalar(Value::from(value)))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Node, E> {
        let number = Number::from_f64(value).map_or(Value::Null, Value::Number);
        Ok(Node::Scalar(number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Scalar(Value::from(value)))
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_none<E: Error>(self) -> Result<Node, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push((items.len(), item));
        }
        Ok(Node::Items(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = access.next_entry()? {
            fields.push(field);
        }
        Ok(Node::Fields(fields))
    }
}
