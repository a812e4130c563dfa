//! What a file of the sandbox holds: text, or something large or structured that is never spelled out in bytes.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::postgres::DumpImage;
use super::tree::Tree;

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// Text, byte for byte.
    Text(String),
    /// So many bytes that nobody looks into.
    Opaque {
        /// How many.
        bytes: u64,
        /// Their checksum.
        sha256: String,
    },
    /// A tar archive of a tree whose root is `/`.
    Tar(Box<Tree>),
    /// A PostgreSQL dump in custom format.
    Dump(Box<DumpImage>),
    /// Something that only the holder of a key can read.
    Sealed {
        /// Whose key.
        recipient: String,
        /// What it holds.
        of: Box<Content>,
    },
    /// The first bytes of something longer.
    Cut {
        /// What it was.
        of: Box<Content>,
        /// How much of it is left.
        bytes: u64,
    },
}

/// The SHA-256 of these bytes, in hex.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Content {
    /// How long the file is.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::Opaque { bytes, .. } | Self::Cut { bytes, .. } => *bytes,
            Self::Tar(tree) => {
                tree.walk("/").map(|(_, node)| 512 + node.bytes().div_ceil(512) * 512).sum::<u64>() + 1024
            }
            Self::Dump(dump) => dump.bytes(),
            Self::Sealed { of, .. } => of.bytes() + 200,
        }
    }

    /// The checksum of the file. Equal contents have equal ones.
    #[must_use]
    pub fn sha256(&self) -> String {
        match self {
            Self::Text(text) => sha256_hex(text.as_bytes()),
            Self::Opaque { sha256, .. } => sha256.clone(),
            Self::Cut { bytes: 0, .. } => sha256_hex(b""),
            Self::Cut { of, bytes } => match of.as_ref() {
                Self::Text(text) => sha256_hex(&text.as_bytes()[..text.len().min(*bytes as usize)]),
                other => sha256_hex(format!("the first {bytes} bytes of {}", other.sha256()).as_bytes()),
            },
            other => sha256_hex(serde_json::to_string(&other.plain()).unwrap_or_default().as_bytes()),
        }
    }

    /// The same content without times and ids of the files within: the checksum of an archive must not hang on when the
    /// sandbox was loaded.
    fn plain(&self) -> Self {
        match self {
            Self::Tar(tree) => Self::Tar(Box::new(tree.plain())),
            Self::Sealed { recipient, of } => Self::Sealed { recipient: recipient.clone(), of: Box::new(of.plain()) },
            other => other.clone(),
        }
    }

    /// Bytes that nobody looks into, told apart by a name.
    #[must_use]
    pub fn opaque(bytes: u64, name: &str) -> Self {
        Self::Opaque { bytes, sha256: sha256_hex(format!("{bytes} bytes of {name}").as_bytes()) }
    }

    /// The text, if that is what it is.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}
