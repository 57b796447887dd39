//! A JSON value by its shape alone: what inference needs of it, with the fields in the order of the file.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// One value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum JsonValue {
    Null,
    Boolean,
    /// Within 64 bits.
    Integer,
    /// Beyond them, but not beyond unsigned 64 bits.
    Unsigned,
    /// With a fraction or an exponent, or larger.
    Number,
    Text,
    Array(Vec<JsonValue>),
    Object(Vec<(String, JsonValue)>),
}

impl<'de> Deserialize<'de> for JsonValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShapeVisitor)
    }
}

struct ShapeVisitor;

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = JsonValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<JsonValue, E> {
        Ok(JsonValue::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<JsonValue, E> {
        Ok(JsonValue::Boolean)
    }

    fn visit_i64<E>(self, _: i64) -> Result<JsonValue, E> {
        Ok(JsonValue::Integer)
    }

    fn visit_u64<E>(self, value: u64) -> Result<JsonValue, E> {
        Ok(match i64::try_from(value) {
            Ok(_) => JsonValue::Integer,
            Err(_) => JsonValue::Unsigned,
        })
    }

    fn visit_f64<E>(self, _: f64) -> Result<JsonValue, E> {
        Ok(JsonValue::Number)
    }

    fn visit_str<E>(self, _: &str) -> Result<JsonValue, E> {
        Ok(JsonValue::Text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<JsonValue, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = items.next_element()? {
            values.push(value);
        }
        Ok(JsonValue::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<JsonValue, A::Error> {
        let mut values = Vec::new();
        while let Some(field) = fields.next_entry()? {
            values.push(field);
        }
        Ok(JsonValue::Object(values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_order() {
        let value: JsonValue =
            serde_json::from_str(r#"{"z":1,"a":[null,true,"x"],"m":{"n":0.5,"k":18446744073709551615}}"#)
                .unwrap();
        let field = |name: &str, value| (name.to_owned(), value);
        let inner = vec![field("n", JsonValue::Number), field("k", JsonValue::Unsigned)];
        let items = vec![JsonValue::Null, JsonValue::Boolean, JsonValue::Text];
        let expected = vec![
            field("z", JsonValue::Integer),
            field("a", JsonValue::Array(items)),
            field("m", JsonValue::Object(inner)),
        ];
        assert_eq!(value, JsonValue::Object(expected));
    }
}
