//! What a file of the sandbox holds: text, or something large or structured that is never spelled out in bytes.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::postgres::DumpImage;
use super::tree::Tree;
use super::veil;

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
    /// What a plan has not looked at, or what only the run will know.
    Unseen(Unseen),
}

/// Contents that a plan does not know.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Unseen {
    /// How long it is, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Its checksum, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Where the live system has it, as long as the plan has not changed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Why it is not known.
    pub why: String,
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
            Self::Unseen(unseen) => unseen.bytes.unwrap_or(veil::UNKNOWN_BYTES),
        }
    }

    /// What nobody knows, for this reason.
    #[must_use]
    pub fn unseen(why: impl Into<String>) -> Self {
        Self::Unseen(Unseen { why: why.into(), ..Unseen::default() })
    }

    /// Text; unseen when a part of it stands for something that only the run will know.
    #[must_use]
    pub fn of_text(text: String) -> Self {
        match veil::marked(&text) {
            Some(why) => Self::unseen(why),
            None => Self::Text(text),
        }
    }

    /// Why it is not known whole, if it is not.
    #[must_use]
    pub fn why_unseen(&self) -> Option<&str> {
        match self {
            Self::Unseen(unseen) => Some(&unseen.why),
            Self::Tar(tree) => tree.walk("/").find_map(|(_, node)| node.content().and_then(Self::why_unseen)),
            Self::Dump(dump) => dump.contents.unseen.as_deref(),
            Self::Sealed { of, .. } | Self::Cut { of, .. } => of.why_unseen(),
            Self::Text(_) | Self::Opaque { .. } => None,
        }
    }

    /// The checksum of the file. Equal contents have equal ones.
    #[must_use]
    pub fn sha256(&self) -> String {
        if let Self::Unseen(Unseen { sha256: Some(sha256), .. }) = self {
            return sha256.clone();
        }
        if let Some(why) = self.why_unseen() {
            return veil::mark(why);
        }
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

    /// As [`Content::opaque`]; unseen when nobody knows how many they are.
    #[must_use]
    pub fn sized(bytes: u64, name: &str) -> Self {
        if bytes >= veil::UNKNOWN_BYTES {
            Self::unseen(format!("what is in {name}"))
        } else {
            Self::opaque(bytes, name)
        }
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
