//! Family `rand`: identifiers. A replay sees the same.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::context::ReadContext;
use super::files::hex;
use super::spec::{self, Effect, OpEntry, Operation, Read};
use super::time::NoArgs;
use crate::model::fault::OpError;

/// Letters and digits that nobody mistakes for each other: no `i l o u`.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The entries of the family.
#[must_use]
pub fn entries() -> Vec<OpEntry> {
    vec![spec::read::<Id>(), spec::read::<Uuid>(), spec::read::<Hex>()]
}

fn random<const N: usize>() -> Result<[u8; N], OpError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| OpError::transient(format!("cannot get randomness: {e}")))?;
    Ok(bytes)
}

/// `rand.id`.
pub struct Id;

/// How long an identifier is wanted.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdArgs {
    /// How many letters, 1 to 64.
    #[serde(default = "eight")]
    #[schemars(range(min = 1, max = 64))]
    pub length: usize,
}

fn eight() -> usize {
    8
}

impl Operation for Id {
    const NAME: &'static str = "rand.id";
    const EFFECT: Effect = Effect::Value;
    const DOC: &'static str = "a random identifier of lowercase letters and digits, for names";
    const PERMISSION: &'static str = "none";
    const TYPICAL: Duration = Duration::ZERO;
    type Args = IdArgs;
    type Output = String;

    fn resource(_: &IdArgs) -> String {
        "rand".into()
    }
}

impl Read for Id {
    fn read(_: &ReadContext<'_>, args: IdArgs) -> Result<String, OpError> {
        if !(1..=64).contains(&args.length) {
            return Err(OpError::refused(format!("cannot make an id of {} letters: 1 to 64 can be", args.length)));
        }
        let bytes = random::<64>()?;
        Ok(bytes.iter().take(args.length).map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect())
    }
}

/// `rand.uuid`.
pub struct Uuid;

impl Operation for Uuid {
    const NAME: &'static str = "rand.uuid";
    const EFFECT: Effect = Effect::Value;
    const DOC: &'static str = "a random UUID (version 4)";
    const PERMISSION: &'static str = "none";
    const TYPICAL: Duration = Duration::ZERO;
    type Args = NoArgs;
    type Output = String;

    fn resource(_: &NoArgs) -> String {
        "rand".into()
    }
}

impl Read for Uuid {
    fn read(_: &ReadContext<'_>, _: NoArgs) -> Result<String, OpError> {
        let mut bytes = random::<16>()?;
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let text = hex(&bytes);
        Ok([&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-"))
    }
}

/// `rand.hex`.
pub struct Hex;

/// How many random bytes are wanted.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HexArgs {
    /// How many bytes, 1 to 1024; each is two digits.
    #[schemars(range(min = 1, max = 1024))]
    pub bytes: usize,
}

impl Operation for Hex {
    const NAME: &'static str = "rand.hex";
    const EFFECT: Effect = Effect::Value;
    const DOC: &'static str = "random bytes in hex; not for secrets, since it stands in the journal";
    const PERMISSION: &'static str = "none";
    const TYPICAL: Duration = Duration::ZERO;
    type Args = HexArgs;
    type Output = String;

    fn resource(_: &HexArgs) -> String {
        "rand".into()
    }
}

impl Read for Hex {
    fn read(_: &ReadContext<'_>, args: HexArgs) -> Result<String, OpError> {
        if !(1..=1024).contains(&args.bytes) {
            return Err(OpError::refused(format!("cannot make {} random bytes: 1 to 1024 can be", args.bytes)));
        }
        Ok(hex(&random::<1024>()?[..args.bytes]))
    }
}
