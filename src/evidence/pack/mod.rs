//! The evidence of runs as one signed file, which can be checked by whoever has the file and the public key.

pub mod archive;
pub mod key;
pub mod make;
pub mod manifest;
pub mod verify;

#[cfg(test)]
pub(in crate::evidence) mod tests;
