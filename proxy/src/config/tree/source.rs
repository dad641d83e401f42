//! Deserializes types from the nodes of a tree.
//!
//! Like `serde_json`'s own values, but for one thing: a list is no section. `timeouts: [1s, 2s]` would set the first two.

use serde::de::value::{Error, MapAccessDeserializer, MapDeserializer, SeqDeserializer};
use serde::de::{Deserializer, Error as _, IntoDeserializer, Unexpected, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::Value;

use super::node::Node;

impl<'de> IntoDeserializer<'de> for &'de Node {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Node::Scalar(value) => scalar(value, visitor),
            Node::Items(items) => {
                let items = items.iter().map(|(_, item)| &item.value);
                visitor.visit_seq(SeqDeserializer::new(items))
            }
            Node::Fields(fields) => {
                let fields = fields.iter();
                let fields = fields.map(|(key, field)| (key.value.as_str(), &field.value));
                visitor.visit_map(MapDeserializer::new(fields))
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.is_null() {
            true => visitor.visit_none(),
            false => visitor.visit_some(self),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self {
            Node::Items(_) => Err(Error::invalid_type(Unexpected::Seq, &visitor)),
            Node::Scalar(_) | Node::Fields(_) => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self {
            Node::Scalar(Value::String(name)) => {
                visitor.visit_enum(name.as_str().into_deserializer())
            }
            Node::Fields(fields) if fields.len() == 1 => {
                let fields = fields.iter();
                let fields = fields.map(|(key, field)| (key.value.as_str(), &field.value));
                visitor.visit_enum(MapAccessDeserializer::new(MapDeserializer::new(fields)))
            }
            Node::Fields(_) => Err(Error::invalid_type(Unexpected::Map, &ONE)),
            Node::Items(_) => Err(Error::invalid_type(Unexpected::Seq, &ONE)),
            Node::Scalar(value) => Err(Error::invalid_type(unexpected(value), &ONE)),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

/// What stands for one of several.
const ONE: &str = "string or map";

fn scalar<'de, V: Visitor<'de>>(value: &'de Value, visitor: V) -> Result<V::Value, Error> {
    match value {
        Value::Bool(value) => visitor.visit_bool(*value),
        Value::String(text) => visitor.visit_borrowed_str(text),
        Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
            (Some(number), _, _) => visitor.visit_u64(number),
            (None, Some(number), _) => visitor.visit_i64(number),
            (None, None, number) => visitor.visit_f64(number.unwrap_or(f64::NAN)),
        },
        // A scalar is neither a list nor an object.
        Value::Null | Value::Array(_) | Value::Object(_) => visitor.visit_unit(),
    }
}

fn unexpected(value: &Value) -> Unexpected<'_> {
    match value {
        Value::Bool(value) => Unexpected::Bool(*value),
        Value::String(text) => Unexpected::Str(text),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => Unexpected::Unsigned(number),
            (None, Some(number)) => Unexpected::Signed(number),
            (None, None) => Unexpected::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::Null | Value::Array(_) | Value::Object(_) => Unexpected::Unit,
    }
}
