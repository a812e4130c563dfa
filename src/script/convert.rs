//! Between Rhai's values and ours. Total in one direction, and refusing what has no meaning outside a script in the other.

use rhai::{Dynamic, EvalAltResult, Map};

use super::unknown::Unknown;
use crate::model::Value;
use crate::model::unknown::UNKNOWN_KEY;

/// A value as scripts see it. An object `{"$unknown": why, …}` becomes an [`Unknown`].
pub fn to_dynamic(value: &Value) -> Dynamic {
    match value {
        Value::Null => Dynamic::UNIT,
        Value::Bool(b) => Dynamic::from_bool(*b),
        Value::Number(n) => match (n.as_i64(), n.as_f64()) {
            (Some(int), _) => Dynamic::from_int(int),
            (None, Some(float)) => Dynamic::from_float(float),
            (None, None) => Dynamic::from(n.to_string()),
        },
        Value::String(text) => Dynamic::from(text.clone()),
        Value::Array(items) => Dynamic::from_array(items.iter().map(to_dynamic).collect()),
        Value::Object(fields) => {
            if fields.contains_key(UNKNOWN_KEY)
                && let Some(unknown) = Unknown::of(value)
            {
                return Dynamic::from(unknown);
            }
            Dynamic::from_map(
                fields.iter().map(|(key, value)| (key.as_str().into(), to_dynamic(value))).collect::<Map>(),
            )
        }
    }
}

/// A script's value as ours. Closures, and anything else that has no meaning outside the script, are refused, with the
/// path to them.
///
/// # Errors
/// A sentence that names the path and the type.
pub fn to_value(dynamic: &Dynamic) -> Result<Value, String> {
    convert(dynamic, &mut String::new())
}

fn convert(dynamic: &Dynamic, path: &mut String) -> Result<Value, String> {
    if dynamic.is_unit() {
        return Ok(Value::Null);
    }
    if let Ok(b) = dynamic.as_bool() {
        return Ok(Value::Bool(b));
    }
    if let Ok(int) = dynamic.as_int() {
        return Ok(Value::from(int));
    }
    if let Ok(float) = dynamic.as_float() {
        return serde_json::Number::from_f64(float)
            .map(Value::Number)
            .ok_or_else(|| format!("the number{} is not finite", at(path)));
    }
    if let Ok(c) = dynamic.as_char() {
        return Ok(Value::from(c.to_string()));
    }
    if let Ok(text) = dynamic.as_immutable_string_ref() {
        return Ok(Value::from(text.as_str()));
    }
    if let Ok(items) = dynamic.as_array_ref() {
        let mut list = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let length = path.len();
            path.push_str(&format!("[{index}]"));
            list.push(convert(item, path)?);
            path.truncate(length);
        }
        return Ok(Value::Array(list));
    }
    if let Ok(fields) = dynamic.as_map_ref() {
        let mut object = serde_json::Map::new();
        for (key, item) in fields.iter() {
            let length = path.len();
            path.push('.');
            path.push_str(key);
            object.insert(key.to_string(), convert(item, path)?);
            path.truncate(length);
        }
        return Ok(Value::Object(object));
    }
    if let Some(unknown) = dynamic.read_lock::<Unknown>() {
        return Ok(unknown.to_value());
    }
    let kind = if dynamic.is_fnptr() { "a closure" } else { dynamic.type_name() };
    Err(format!("{kind}{} cannot leave a script", at(path)))
}

fn at(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!(" at `{}`", path.trim_start_matches('.')) }
}

/// `parse_json(text)`.
pub(super) fn parse_json(text: &str) -> Result<Dynamic, Box<EvalAltResult>> {
    serde_json::from_str::<Value>(text)
        .map(|value| to_dynamic(&value))
        .map_err(|e| format!("this text is not JSON: {e}").into())
}

/// `to_json(value)`. Of something that holds an unknown, the text is unknown.
pub(super) fn to_json(value: Dynamic) -> Result<Dynamic, Box<EvalAltResult>> {
    let json = to_value(&value)?.to_string();
    Ok(match super::unknown::within(&value) {
        Some(unknown) => {
            Dynamic::from(unknown.derived(&format!("to_json({json})"), crate::model::unknown::Shape::Text))
        }
        None => Dynamic::from(json),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1e9f64..1e9).prop_map(Value::from),
            "[^$]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-z]{1,4}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_value_survives_the_way_into_a_script_and_back(value in any_value()) {
            prop_assert_eq!(to_value(&to_dynamic(&value)), Ok(value));
        }
    }

    #[test]
    fn a_closure_is_refused_with_its_path() {
        let dynamic = super::super::dialect::engine().eval::<Dynamic>("#{a: [1, || 2]}").expect("it evaluates");
        assert_eq!(to_value(&dynamic), Err("a closure at `a[1]` cannot leave a script".to_owned()));
    }

    #[test]
    fn an_unknown_stays_one() {
        let value =
            json!({"bytes": {"$unknown": "the size of the dump", "source": "steps.dump.bytes", "shape": "int"}});
        assert_eq!(to_value(&to_dynamic(&value)), Ok(value));
    }
}
