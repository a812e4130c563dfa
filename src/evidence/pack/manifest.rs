//! What a signed file says of itself: its members by digest, the runs in it, and who signed.

use serde::{Deserialize, Serialize};

use super::archive;
use super::key::{PublicKey, SigningKey};
use crate::journal::memory::digest_of;
use crate::model::{RunId, Timestamp};

/// The name of the member that says what the others are.
pub const MANIFEST: &str = "manifest.json";

/// The name of the member that signs the manifest.
pub const SIGNATURE: &str = "signature.json";

/// The version of the form.
pub const FORMAT: u32 = 1;

/// What a file is for. A signature for one purpose is none for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// To be read.
    Evidence,
    /// To be gone on with elsewhere.
    Handover,
}

impl Purpose {
    fn signed_as(self) -> &'static str {
        match self {
            Self::Evidence => "muster evidence pack",
            Self::Handover => "muster run on its way",
        }
    }
}

/// What is in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// What it is for.
    pub purpose: Purpose,
    /// The muster that made it: its reports can be made again by the same.
    pub made_by: String,
    /// The period, when it is of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<Span>,
    /// The runs in it, oldest first.
    pub runs: Vec<PackedRun>,
    /// Every other member but the signature, in order.
    pub members: Vec<Member>,
}

/// A period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// From here on.
    pub since: Timestamp,
    /// Up to here.
    pub until: Timestamp,
    /// Only runs of this playbook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub playbook: Option<String>,
}

/// A run in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackedRun {
    /// The run.
    pub run: RunId,
    /// How many records its journal has.
    pub records: u64,
    /// The hash after the last, in hex.
    pub hash: String,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// How many bytes it has.
    pub bytes: u64,
    /// Their SHA-256, in hex.
    pub sha256: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    algorithm: String,
    public_key: String,
    signature: String,
}

const ALGORITHM: &str = "ed25519";

/// Why a file is not what it says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotSo(pub String);

fn json(value: &impl Serialize) -> Vec<u8> {
    // Plain structs with text keys; no field serialises by code that can fail.
    let mut bytes = serde_json::to_vec_pretty(value).expect("plain data with text keys");
    bytes.push(b'\n');
    bytes
}

/// Members in order, to be put into a file.
pub type Members = Vec<(String, Vec<u8>)>;

/// Puts members into a signed file. What the manifest says of them is filled in here.
///
/// # Errors
/// When a member cannot be written under its name.
pub fn seal(mut manifest: Manifest, members: &Members, key: &SigningKey) -> Result<Vec<u8>, NotSo> {
    let member = |(name, content): &(String, Vec<u8>)| Member {
        name: name.clone(),
        bytes: content.len() as u64,
        sha256: digest_of(content),
    };
    manifest.members = members.iter().map(member).collect();
    let text = json(&manifest);
    let signature = json(&Signature {
        algorithm: ALGORITHM.to_owned(),
        public_key: key.public().to_string(),
        signature: key.sign(manifest.purpose.signed_as(), &text),
    });
    let first = [(MANIFEST, text.as_slice()), (SIGNATURE, signature.as_slice())];
    let rest = members.iter().map(|(name, content)| (name.as_str(), content.as_slice()));
    archive::write(first.into_iter().chain(rest)).map_err(|name| NotSo(format!("`{name}` cannot be a member")))
}

/// A file that is whole: every byte of it is as it was when it was signed.
#[derive(Debug)]
pub struct Opened<'b> {
    /// What is in it.
    pub manifest: Manifest,
    /// The key that it says it was signed with; whose that is, it cannot say.
    pub signer: PublicKey,
    /// The members that the manifest lists, in order.
    pub members: Vec<(&'b str, &'b [u8])>,
}

impl<'b> Opened<'b> {
    /// The member of this name.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&'b [u8]> {
        self.members.iter().find(|(other, _)| *other == name).map(|(_, content)| *content)
    }
}

/// Opens a signed file: its form, its signature, and the digest of every member. With `pinned`, the signature has to be by that key; then
/// nothing of the file is looked into before that is known.
///
/// # Errors
/// The first thing that is not as it was.
pub fn open<'b>(bytes: &'b [u8], purpose: Purpose, pinned: Option<&PublicKey>) -> Result<Opened<'b>, NotSo> {
    let no = |what: String| NotSo(what);
    let members = archive::read(bytes).map_err(|error| no(format!("it is not the file that was written: {error}")))?;
    let [(MANIFEST, text), (SIGNATURE, signature), rest @ ..] = members.as_slice() else {
        return Err(no("it does not begin with a manifest and its signature".to_owned()));
    };
    let signed: Signature =
        serde_json::from_slice(signature).map_err(|error| no(format!("its signature cannot be read: {error}")))?;
    let signer = PublicKey::parse(&signed.public_key).filter(|_| signed.algorithm == ALGORITHM);
    let signer = signer.ok_or_else(|| no("it is signed in a way that this version does not know".to_owned()))?;
    if json(&signed) != *signature {
        return Err(no("its signature is not written as it was".to_owned()));
    }
    if let Some(pinned) = pinned.filter(|pinned| **pinned != signer) {
        return Err(no(format!(
            "it is signed with another key: {}, not {}",
            signer.fingerprint(),
            pinned.fingerprint()
        )));
    }
    if !signer.has_signed(purpose.signed_as(), text, &signed.signature) {
        return Err(no("its signature is not of this manifest, or not for this purpose".to_owned()));
    }
    let manifest: Manifest =
        serde_json::from_slice(text).map_err(|error| no(format!("its manifest cannot be read: {error}")))?;
    if manifest.format != FORMAT || manifest.purpose != purpose {
        return Err(no(format!("it has form {}, and this muster reads {FORMAT}", manifest.format)));
    }
    if manifest.members.len() != rest.len() {
        return Err(no(format!("it has {} members, and its manifest names {}", rest.len(), manifest.members.len())));
    }
    for (listed, (name, content)) in manifest.members.iter().zip(rest) {
        if listed.name != *name || listed.bytes != content.len() as u64 || listed.sha256 != digest_of(content) {
            return Err(no(format!("its member {name} is not the one that was signed")));
        }
    }
    Ok(Opened { manifest, signer, members: rest.to_vec() })
}
