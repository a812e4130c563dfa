//! The keys of evidence: a store signs with its own, whoever checks has the public half.

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use sha2::{Digest as _, Sha256};

use crate::playbook::bundle::hex;

/// What stands before the digits of a public key.
const PREFIX: &str = "muster-ed25519:";

/// Signs.
pub struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// The key of this seed.
    ///
    /// # Errors
    /// When the seed makes no key.
    pub fn of(seed: &[u8; 32]) -> Result<Self, String> {
        Ed25519KeyPair::from_seed_unchecked(seed).map(Self).map_err(|error| format!("the seed makes no key: {error}"))
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(bytes)
    }

    /// Signs a text, said to be of this purpose: a signature for one purpose is none for another.
    #[must_use]
    pub fn sign(&self, purpose: &str, text: &[u8]) -> String {
        hex(self.0.sign(&message(purpose, text)).as_ref())
    }
}

/// Checks signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// The key in a text that [`PublicKey::to_string`] made.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.trim().strip_prefix(PREFIX)?;
        bytes(digits)?.try_into().ok().map(Self)
    }

    /// What two people read to each other to know that they have the same key: 32 hex digits in groups of four.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let digits = hex(&Sha256::digest(self.0)[..16]);
        digits.as_bytes().chunks(4).map(String::from_utf8_lossy).collect::<Vec<_>>().join(" ")
    }

    /// Whether a signature is of this text and purpose.
    #[must_use]
    pub fn has_signed(&self, purpose: &str, text: &[u8], signature: &str) -> bool {
        let Some(signature) = bytes(signature) else { return false };
        UnparsedPublicKey::new(&ED25519, self.0).verify(&message(purpose, text), &signature).is_ok()
    }
}

impl std::fmt::Display for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{PREFIX}{}", hex(&self.0))
    }
}

fn message(purpose: &str, text: &[u8]) -> Vec<u8> {
    [purpose.as_bytes(), b"\0", text].concat()
}

/// The bytes of lowercase hex digits.
fn bytes(digits: &str) -> Option<Vec<u8>> {
    if digits.len() % 2 == 1 || !digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return None;
    }
    digits.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}
