//! How long a call is taken to last on a live system: sizes over throughputs where the size is known, otherwise what the operation
//! usually takes. The only place where such figures stand.

use std::time::Duration;

use crate::model::Value;
use crate::ops::OpEntry;
use crate::sandbox::veil::UNKNOWN_BYTES;

/// Bytes a second that `pg_dump -Fc` takes out of a database: one core compresses.
const DUMP: u64 = 40_000_000;
/// Bytes a second of the dump's file that `pg_restore` puts into a database, with its indices.
const RESTORE: u64 = 8_000_000;
/// Bytes a second that one disk copies, packs or unpacks.
const COPY: u64 = 150_000_000;
/// Bytes a second that one core sums.
const SUM: u64 = 400_000_000;

/// How long an effect takes whose before-image is this.
pub(super) fn of_effect(op: &OpEntry, before: &Value) -> Duration {
    let size = |field: &str| before.get(field).and_then(Value::as_u64).filter(|bytes| *bytes < UNKNOWN_BYTES);
    let (bytes, rate) = match op.name {
        "pg.dump" => (size("bytes"), DUMP),
        "pg.restore" => (size("bytes"), RESTORE),
        "fs.copy" | "fs.archive" | "fs.unpack" => (size("source_bytes"), COPY),
        _ => (None, COPY),
    };
    bytes.map_or(op.typical, |bytes| at_rate(bytes, rate))
}

/// How long a read takes that answered this.
pub(super) fn of_read(op: &OpEntry, result: &Value) -> Duration {
    let bytes = result.get("bytes").and_then(Value::as_u64).filter(|bytes| *bytes < UNKNOWN_BYTES);
    match (op.name, bytes) {
        ("fs.sha256" | "fs.hash_tree" | "pg.check_dump" | "fs.tar_list", Some(bytes)) => at_rate(bytes, SUM),
        _ => Duration::ZERO,
    }
}

fn at_rate(bytes: u64, rate: u64) -> Duration {
    Duration::from_millis(bytes.saturating_mul(1000) / rate)
}
