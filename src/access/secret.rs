//! Random secrets, their digests, and how they are compared.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::error::AccessError;
use crate::playbook::bundle::hex;

/// A secret of 256 random bits, in letters that cookies, forms and addresses take as they are.
///
/// # Errors
/// When the system has no random bits.
pub fn random() -> Result<String, AccessError> {
    let mut bits = [0_u8; 32];
    getrandom::fill(&mut bits).map_err(|error| AccessError::Chance(error.to_string()))?;
    Ok(URL_SAFE_NO_PAD.encode(bits))
}

/// SHA-256 in hexadecimal: enough for a secret that nobody chose.
pub(super) fn digest(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

/// Whether two texts are equal, in a time that depends on nothing but their lengths.
#[must_use]
pub fn same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    if one.len() != other.len() {
        return false;
    }
    // The fold is kept from ending early.
    let difference = one.iter().zip(other).fold(0_u8, |all, (a, b)| std::hint::black_box(all | (a ^ b)));
    std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn secrets_are_long_and_never_the_same() {
        let (one, other) = (random().expect("chance"), random().expect("chance"));
        assert_eq!(one.len(), 43);
        assert_ne!(one, other);
    }

    proptest! {
        #[test]
        fn texts_are_the_same_when_they_are_equal(one in ".{0,8}", other in ".{0,8}") {
            prop_assert_eq!(same(&one, &other), one == other);
            prop_assert!(same(&one, &one));
        }
    }
}
