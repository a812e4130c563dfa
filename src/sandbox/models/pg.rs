//! PostgreSQL in the world.

use serde_json::json;

use crate::model::Value;
use crate::sandbox::postgres::Contents;

/// The census of a database.
#[must_use]
pub fn census(contents: &Contents, checksums: bool) -> Value {
    let tables: Vec<Value> = contents
        .tables
        .iter()
        .map(|(name, table)| {
            let mut entry = json!({ "name": name, "rows": table.rows });
            if checksums {
                entry["checksum"] = json!(table.checksum);
            }
            entry
        })
        .collect();
    let mut census =
        json!({ "tables": tables, "large_objects": contents.large_objects, "extensions": contents.extensions });
    if checksums {
        census["large_objects_checksum"] =
            json!(super::super::content::sha256_hex(format!("{} large objects", contents.large_objects).as_bytes()));
    }
    census
}
