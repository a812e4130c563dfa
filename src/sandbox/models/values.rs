//! Time and chance in the world: as live, but from the world's clock and seed.

use serde_json::json;

use super::{Call, Model};
use crate::model::fault::OpError;
use crate::model::{Timestamp, Value};
use crate::sandbox::World;
use crate::sandbox::content::sha256_hex;

pub(super) fn models() -> Vec<(&'static str, Model)> {
    vec![
        ("time.now", Model::Read(now)),
        ("time.age", Model::Read(age)),
        ("rand.id", Model::Read(id)),
        ("rand.hex", Model::Read(hex)),
        ("rand.uuid", Model::Read(uuid)),
    ]
}

fn now(_: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    Ok(json!({ "utc": call.now.to_string(), "unix_ms": call.now.as_millisecond() }))
}

fn age(_: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let at: Timestamp = call.get("at")?;
    Ok(json!({ "ms": call.now.as_millisecond() - at.as_millisecond() }))
}

/// So many hex digits that depend on the seed and on how often chance was asked.
fn draw(world: &mut World, digits: usize) -> String {
    let mut text = String::new();
    while text.len() < digits {
        world.drawn += 1;
        text.push_str(&sha256_hex(format!("{} {}", world.seed, world.drawn).as_bytes()));
    }
    text.truncate(digits);
    text
}

fn id(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let length: usize = call.maybe("length").unwrap_or(8);
    if !(1..=64).contains(&length) {
        return Err(OpError::refused(format!("cannot make an id of {length} letters: 1 to 64 can be")));
    }
    // Two hex digits a letter, of which five bits count.
    let letters = draw(world, 2 * length);
    let text: String = letters
        .as_bytes()
        .chunks(2)
        .filter_map(|pair| u32::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .filter_map(|byte| "0123456789abcdefghjkmnpqrstvwxyz".chars().nth((byte % 32) as usize))
        .collect();
    Ok(json!(text))
}

fn hex(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let bytes: usize = call.get("bytes")?;
    if !(1..=1024).contains(&bytes) {
        return Err(OpError::refused(format!("cannot make {bytes} random bytes: 1 to 1024 can be")));
    }
    Ok(json!(draw(world, 2 * bytes)))
}

fn uuid(world: &mut World, _: &Call<'_>) -> Result<Value, OpError> {
    let text = draw(world, 32);
    Ok(json!(
        [&text[..8], &text[8..12], &format!("4{}", &text[13..16]), &format!("8{}", &text[17..20]), &text[20..]]
            .join("-")
    ))
}
