//! A file as `world.yaml` declares it.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

use super::postgres::Contents;
use crate::model::Value;

/// A file as `world.yaml` declares it: a text; nothing (`null`) for an empty folder; or a map.
#[derive(Clone, Debug, PartialEq)]
pub enum FileSeed {
    /// A file with this text.
    Text(String),
    /// An empty folder.
    Dir,
    /// Anything else.
    Map(Box<FileMap>),
}

/// A file with more than a text. Exactly one of `text`, `json`, `size`, `dump`, `dump_of`, `tar`, `tar_of`, `link`, `dir`.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileMap {
    /// Text. In a text, `{{sha256 PATH}}`, `{{bytes PATH}}`, `{{entries PATH}}` (of a dump or an archive) stand for what is known of
    /// another declared file of the host, `{{census SERVER DATABASE}}` for the census of a database with checksums, and
    /// `{{before 36h}}` for the time so long before `now`.
    #[serde(default)]
    pub text: Option<String>,
    /// A value, written as JSON. Its texts are filled in as `text` is; a text that is nothing but `{{bytes …}}`, `{{entries …}}` or
    /// `{{census …}}` becomes the number or the object.
    #[serde(default)]
    pub json: Option<Value>,
    /// So many bytes (`3GiB` or a number) that nobody looks into.
    #[serde(default)]
    pub size: Option<SizeSeed>,
    /// The checksum of a file declared by `size`.
    #[serde(default)]
    pub sha256: Option<String>,
    /// A PostgreSQL dump with these contents.
    #[serde(default)]
    pub dump: Option<DumpSeed>,
    /// A PostgreSQL dump of `SERVER/DATABASE`, as the world declares it.
    #[serde(default)]
    pub dump_of: Option<String>,
    /// A tar archive of these files.
    #[serde(default)]
    pub tar: Option<BTreeMap<String, FileSeed>>,
    /// A tar archive of `volume:NAME`, `container:NAME:/path` or a path of the host, as the world declares it.
    #[serde(default)]
    pub tar_of: Option<String>,
    /// Where a link points to.
    #[serde(default)]
    pub link: Option<String>,
    /// Whether it is a folder.
    #[serde(default)]
    pub dir: bool,
    /// Its permission bits, `"0600"`.
    #[serde(default)]
    pub mode: Option<String>,
    /// How long before `now` it was written, `36h`.
    #[serde(default)]
    pub age: Option<String>,
    /// Only so many bytes of it are left: a truncated file.
    #[serde(default)]
    pub cut: Option<SizeSeed>,
    /// It can only be read with the key of this recipient.
    #[serde(default)]
    pub sealed: Option<String>,
}

/// The contents of a dump.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DumpSeed {
    /// The database it was made of.
    pub database: String,
    /// Major version of the server that made it.
    #[serde(default = "seventeen")]
    pub major: u32,
    /// What it holds.
    #[serde(default)]
    pub contents: Contents,
}

fn seventeen() -> u32 {
    17
}

/// A size: a number of bytes, or a text like `3GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeSeed(pub u64);

impl<'de> Deserialize<'de> for SizeSeed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Size;
        impl Visitor<'_> for Size {
            type Value = SizeSeed;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size like 64KiB, or a number of bytes")
            }

            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<SizeSeed, E> {
                Ok(SizeSeed(bytes))
            }

            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<SizeSeed, E> {
                u64::try_from(bytes).map(SizeSeed).map_err(|_| E::custom("a size cannot be negative"))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<SizeSeed, E> {
                crate::model::amount::parse_size(text).map(SizeSeed).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Size)
    }
}

impl<'de> Deserialize<'de> for FileSeed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct File;
        impl<'de> Visitor<'de> for File {
            type Value = FileSeed;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "the text of a file, nothing for a folder, or a map with `text`, `json`, `size`, `dump`, `tar`, …",
                )
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<FileSeed, E> {
                Ok(FileSeed::Text(text.to_owned()))
            }

            fn visit_unit<E: de::Error>(self) -> Result<FileSeed, E> {
                Ok(FileSeed::Dir)
            }

            fn visit_none<E: de::Error>(self) -> Result<FileSeed, E> {
                Ok(FileSeed::Dir)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<FileSeed, A::Error> {
                FileMap::deserialize(de::value::MapAccessDeserializer::new(map)).map(|map| FileSeed::Map(Box::new(map)))
            }
        }
        deserializer.deserialize_any(File)
    }
}
