//! A tar of plain files in the one form that the same files always have. What has any other form is refused: every byte of a file that
//! is read is either content or follows from it.

use std::collections::BTreeSet;

/// The longest file that is read.
pub const LARGEST: u64 = 1 << 30;

/// The most members that a file may have.
pub const MOST: usize = 100_000;

/// The longest name of a member.
const LONGEST_NAME: usize = 100;

const BLOCK: usize = 512;

/// The largest member that a tar header can name.
const LARGEST_MEMBER: u64 = 0o77_777_777_777;

/// A file is no archive of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {at}: {what}")]
pub struct NoArchive {
    /// Where.
    pub at: usize,
    /// What is wrong there.
    pub what: String,
}

/// Whether a name can be that of a member: relative, of plain letters, without a way out of its folder.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let part = |part: &str| !part.is_empty() && !part.starts_with('.') && part.chars().all(plain);
    name.len() <= LONGEST_NAME && name.split('/').all(part)
}

/// The members as an archive, in the order given.
///
/// # Errors
/// The name of the first member that cannot be written: it is no name, or too large.
pub fn write<'m>(members: impl IntoIterator<Item = (&'m str, &'m [u8])>) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    for (name, content) in members {
        let header = header(name, content.len() as u64).ok_or_else(|| name.to_owned())?;
        bytes.extend_from_slice(&header);
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    }
    bytes.resize(bytes.len() + 2 * BLOCK, 0);
    Ok(bytes)
}

fn header(name: &str, size: u64) -> Option<[u8; BLOCK]> {
    if !is_name(name) || size > LARGEST_MEMBER {
        return None;
    }
    let mut header = tar::Header::new_ustar();
    header.set_path(name).ok()?;
    header.set_size(size);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_cksum();
    Some(*header.as_bytes())
}

/// The members of an archive that [`write`] made, in order.
///
/// # Errors
/// When it has any other form: another kind of member, a name that leads elsewhere, a name twice, bytes that are not nothing between
/// members or after the last, more members or more bytes than are read.
pub fn read(bytes: &[u8]) -> Result<Vec<(&str, &[u8])>, NoArchive> {
    let wrong = |at: usize, what: &str| NoArchive { at, what: what.to_owned() };
    if bytes.len() as u64 > LARGEST {
        return Err(wrong(0, "it is longer than 1 GiB"));
    }
    let zero = |part: &[u8]| part.iter().all(|byte| *byte == 0);
    let mut members = Vec::new();
    let mut names = BTreeSet::new();
    let mut at = 0;
    loop {
        let block = bytes.get(at..at + BLOCK).ok_or_else(|| wrong(at, "it ends too early"))?;
        if zero(block) {
            break;
        }
        if members.len() == MOST {
            return Err(wrong(at, "it has more than 100,000 members"));
        }
        let (name, size) = named(block).ok_or_else(|| wrong(at, "there is no plain file by a plain name"))?;
        if header(name, size).is_none_or(|canonical| canonical[..] != *block) {
            return Err(wrong(at, "the member is described in another way than this program does"));
        }
        let from = at + BLOCK;
        let size = usize::try_from(size).ok().filter(|size| *size <= bytes.len() - from);
        let size = size.ok_or_else(|| wrong(at, "it ends before its member does"))?;
        let to = from + size;
        let padded = from + size.next_multiple_of(BLOCK);
        if !bytes.get(to..padded).is_some_and(zero) {
            return Err(wrong(to, "there is something between two members"));
        }
        if !names.insert(name) {
            return Err(wrong(at, "a name stands there twice"));
        }
        members.push((name, &bytes[from..to]));
        at = padded;
    }
    if bytes.len() != at + 2 * BLOCK || !zero(&bytes[at..]) {
        return Err(wrong(at, "it does not end as it should"));
    }
    Ok(members)
}

/// The name and the size that a header claims.
fn named(block: &[u8]) -> Option<(&str, u64)> {
    let name = block.get(..LONGEST_NAME)?;
    let end = name.iter().position(|byte| *byte == 0).unwrap_or(LONGEST_NAME);
    let name = std::str::from_utf8(&name[..end]).ok().filter(|name| is_name(name))?;
    let digits = std::str::from_utf8(block.get(124..135)?).ok()?;
    Some((name, u64::from_str_radix(digits, 8).ok()?))
}
