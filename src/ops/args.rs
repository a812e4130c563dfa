//! Argument types that several families share: periods of time, and texts that may be secrets.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::secrets::Secrets;
use crate::model::amount::{format_duration, parse_duration};
use crate::model::fault::OpError;
use crate::model::{Value, secret};

/// A period of time: text like `90s`, or whole milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period(pub Duration);

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Period;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a duration like \"90s\", or milliseconds")
            }

            fn visit_u64<E: de::Error>(self, millis: u64) -> Result<Period, E> {
                Ok(Period(Duration::from_millis(millis)))
            }

            fn visit_i64<E: de::Error>(self, millis: i64) -> Result<Period, E> {
                u64::try_from(millis)
                    .map(|millis| Period(Duration::from_millis(millis)))
                    .map_err(|_| E::custom("a duration cannot be negative"))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Period, E> {
                parse_duration(text).map(Period).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format_duration(self.0))
    }
}

impl JsonSchema for Period {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer"], "description": "text like `90s`, or milliseconds" })
    }

    fn inline_schema() -> bool {
        true
    }
}

/// A text, or the handle of a secret whose contents are that text. Only [`Confidential::reveal`] has the contents.
#[derive(Clone, Debug, PartialEq)]
pub struct Confidential(Value);

impl Confidential {
    /// A text, or a handle.
    #[must_use]
    pub fn of(value: Value) -> Self {
        Self(value)
    }

    /// The text, if it is no secret.
    #[must_use]
    pub fn plain(&self) -> Option<&str> {
        self.0.as_str()
    }

    /// The text itself, or the contents of the secret.
    ///
    /// # Errors
    /// Credentials, when the secret's source is not there.
    pub fn reveal(&self, secrets: &Secrets) -> Result<String, OpError> {
        match &self.0 {
            Value::String(text) => Ok(text.clone()),
            handle => secrets.resolve(handle),
        }
    }
}

/// The contents of a map of texts and secrets: an environment, headers.
///
/// # Errors
/// Credentials, when a secret's source is not there.
pub fn reveal_all(
    map: &BTreeMap<String, Confidential>,
    secrets: &Secrets,
) -> Result<BTreeMap<String, String>, OpError> {
    map.iter().map(|(name, value)| Ok((name.clone(), value.reveal(secrets)?))).collect()
}

impl<'de> Deserialize<'de> for Confidential {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        if value.is_string() || secret::is_handle(&value) {
            Ok(Self(value))
        } else {
            Err(de::Error::custom("expected a text or a secret"))
        }
    }
}

impl Serialize for Confidential {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl JsonSchema for Confidential {
    fn schema_name() -> Cow<'static, str> {
        "Confidential".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "string" },
                { "type": "object", "required": ["$secret"], "properties": { "$secret": { "type": "object" } } },
            ],
            "description": "a text, or a secret",
        })
    }

    fn inline_schema() -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_period_reads_text_and_milliseconds_and_nothing_else() {
        for (value, millis) in [(json!("1m30s"), 90_000), (json!(250), 250)] {
            assert_eq!(Period::deserialize(&value).unwrap().0, Duration::from_millis(millis));
        }
        for wrong in [json!("90"), json!(-1), json!(true), json!(null)] {
            assert!(Period::deserialize(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_confidential_argument_is_a_text_or_a_handle() {
        assert!(Confidential::deserialize(json!("plain")).is_ok());
        assert!(Confidential::deserialize(json!({"$secret": {"provider": "env", "name": "X"}})).is_ok());
        assert!(Confidential::deserialize(json!({"other": 1})).is_err());
    }
}
