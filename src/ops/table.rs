//! The table itself, put together from the families.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::spec::OpEntry;

/// All operations, by full name.
#[must_use]
pub fn table() -> &'static BTreeMap<&'static str, OpEntry> {
    static TABLE: OnceLock<BTreeMap<&'static str, OpEntry>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let families = [
            super::ask::entries(),
            super::aws::entries(),
            super::docker::entries(),
            super::exec::entries(),
            super::fs::entries(),
            super::helm::entries(),
            super::http::entries(),
            super::k8s::entries(),
            super::log::entries(),
            super::pg::entries(),
            super::rand::entries(),
            super::time::entries(),
        ];
        families.into_iter().flatten().map(|entry| (entry.name, entry)).collect()
    })
}

/// The entry of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static OpEntry> {
    table().get(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Value;
    use crate::ops::spec::{Backend, Effect};

    /// Names that a Rhai script cannot use as a field.
    const RESERVED: &str = "if else switch for in while loop do until return throw try catch let const fn private import export \
                            as global this is var static shared goto exit match case public new use with module package super \
                            thread go yield async await null nil void default undef call curry Fn eval type_of print debug";

    /// Visits every field of a schema: its path, and its own schema.
    fn fields(schema: &Value, path: &str, visit: &mut dyn FnMut(&str, &str, &Value)) {
        match schema {
            Value::Object(object) => {
                for (name, inner) in object {
                    match (name.as_str(), inner) {
                        ("properties", Value::Object(properties)) => {
                            for (field, inner) in properties {
                                visit(path, field, inner);
                                fields(inner, &format!("{path}.{field}"), visit);
                            }
                        }
                        ("default" | "enum" | "const", _) => {}
                        _ => fields(inner, path, visit),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| fields(item, path, visit)),
            _ => {}
        }
    }

    #[test]
    fn every_field_has_a_doc_and_a_name_that_scripts_can_write() {
        let reserved: Vec<&str> = RESERVED.split_whitespace().collect();
        for entry in table().values() {
            for (schema, what) in [((entry.args_schema)(), "argument"), ((entry.output_schema)(), "result")] {
                fields(&schema, entry.name, &mut |path, field, inner| {
                    // The inside of a handle is no business of scripts.
                    if field == "$secret" {
                        return;
                    }
                    assert!(!reserved.contains(&field), "{what} {path}.{field} is a reserved word");
                    let documented = inner.get("description").is_some_and(|doc| !doc.as_str().unwrap_or("").is_empty());
                    assert!(documented, "{what} {path}.{field} has no doc");
                });
            }
            assert!(!reserved.contains(&entry.function()) && !reserved.contains(&entry.family()), "{}", entry.name);
            assert!(!entry.doc.is_empty() && !entry.permission.is_empty(), "{}", entry.name);
        }
    }

    #[test]
    fn arguments_have_no_unknown_fields() {
        for entry in table().values() {
            let error = (entry.check_args)(&serde_json::json!({ "no_such_argument": 1 })).unwrap_err();
            assert!(error.contains("no_such_argument"), "{}: {error}", entry.name);
        }
    }

    #[test]
    fn an_effect_is_performed_by_the_backend_of_its_kind() {
        for entry in table().values() {
            let fits = match entry.backend {
                Backend::Write(_) => entry.effect.writes(),
                Backend::Read(_) => matches!(entry.effect, Effect::Read | Effect::Value),
                Backend::Wait(_) => entry.effect == Effect::Wait,
                Backend::Engine => matches!(entry.effect, Effect::Wait | Effect::Ask | Effect::Log),
            };
            assert!(fits, "{} says {:?}", entry.name, entry.effect);
        }
    }

    #[test]
    fn every_undo_that_is_spoken_of_is_an_operation() {
        let families: std::collections::BTreeSet<&str> = table().values().map(OpEntry::family).collect();
        for entry in table().values() {
            let Backend::Write(write) = &entry.backend else { continue };
            for word in write.undo_doc.split(|c: char| !matches!(c, 'a'..='z' | '_' | '.')) {
                let is_name =
                    word.trim_matches('.').split_once('.').is_some_and(|(family, _)| families.contains(family));
                assert!(!is_name || find(word.trim_matches('.')).is_some(), "{}: {}", entry.name, write.undo_doc);
            }
            assert!(!write.undo_doc.is_empty(), "{}", entry.name);
            assert!(!write.probe_doc.is_empty(), "{}", entry.name);
        }
    }
}
