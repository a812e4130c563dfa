//! Dump files in custom format: looking at them, and reading them to their end.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::client::{Server, explain};
use crate::model::fault::OpError;
use crate::ops::context::ReadContext;
use crate::ops::files::{cannot, digest_file};
use crate::ops::process::ReadCommand;
use crate::ops::spec::{Effect, Operation, Read};

/// `pg.check_dump`.
pub struct CheckDump;

/// Which dump to check.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckDumpArgs {
    /// The server whose tools read it. It need not run unless it is in a container.
    pub server: Server,
    /// The dump file on this host.
    pub path: String,
}

/// A dump that can be read to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Dump {
    /// What it holds: lines of `pg_restore --list`.
    pub entries: u64,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, in hex.
    pub sha256: String,
}

/// What the head of a dump says of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// What it holds.
    pub entries: u64,
    /// The database it was made of.
    pub database: String,
    /// The major version of the server it was made of.
    pub major: Option<u32>,
}

/// Reading a dump of this size may take so long.
const LONG: Duration = Duration::from_secs(6 * 3600);

/// Looks at the first bytes of a file: is it a dump in custom format at all?
///
/// # Errors
/// Failed, saying what it is instead.
pub fn check_head(act: &str, path: &str) -> Result<(), OpError> {
    let mut file = std::fs::File::open(path).map_err(|e| cannot("read", Path::new(path), &e))?;
    let mut head = Vec::new();
    file.by_ref().take(64).read_to_end(&mut head).map_err(|e| cannot("read", Path::new(path), &e))?;
    if head.starts_with(b"PGDMP") {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&head);
    let (fault, hint) = if head.is_empty() {
        ("it is empty (0 bytes)", "the program that made it failed; a backup of nothing is no backup")
    } else if text.starts_with("--") || text.starts_with("SET ") || text.starts_with("\\restrict") {
        (
            "it is a plain SQL dump, not one in custom format",
            "make dumps with pg.dump or `pg_dump -Fc`: only those can be checked and restored whole",
        )
    } else if head.starts_with(&[0x1f, 0x8b]) {
        (
            "it is compressed by gzip, not a dump in custom format",
            "unpack it first, or make dumps with `pg_dump -Fc`, which compresses by itself",
        )
    } else if text.starts_with("age-encryption.org") || text.starts_with("-----BEGIN") {
        ("it is encrypted", "decrypt it first")
    } else {
        ("it is no dump in custom format", "make dumps with pg.dump or `pg_dump -Fc`")
    };
    Err(OpError::failed(format!("{act}: {fault}")).with_hint(hint))
}

/// What the script prints after all that pg_restore printed: the container client may lose the end.
const END: &str = "; muster: end of listing";

/// Runs pg_restore on a dump, without a database.
fn read_dump(
    context: &ReadContext<'_>,
    act: &str,
    server: &Server,
    path: &str,
    argv: &[&str],
) -> Result<String, OpError> {
    // A probe runs under the key of its call; the tools that it starts itself are not that call's.
    let context = &ReadContext { key: "", ..*context };
    let script = format!("\"$@\" || exit\necho '{END}'");
    let command = ReadCommand {
        stdin_file: Some(PathBuf::from(path)),
        timeout: Some(LONG),
        any_exit: true,
        ..server.script(context, "", &script, argv)?
    };
    for _ in 0..4 {
        let seen = context.run_read(&command)?;
        if seen.code == 0 && seen.stdout.trim_end().ends_with(END) {
            return Ok(seen.stdout);
        }
        if seen.code != 0 && !seen.stderr.trim().is_empty() {
            return Err(explain(act, server, seen.code, &seen.stderr));
        }
    }
    Err(OpError::transient(format!("{act}: what pg_restore said was lost on its way")))
}

/// What the head of a dump says of it.
///
/// # Errors
/// Failed, when it cannot be read.
pub fn list(context: &ReadContext<'_>, act: &str, server: &Server, path: &str) -> Result<Listing, OpError> {
    check_head(act, path)?;
    Ok(parse_listing(&read_dump(context, act, server, path, &["pg_restore", "--list"])?))
}

fn parse_listing(text: &str) -> Listing {
    let mut listing = Listing::default();
    for line in text.lines() {
        let Some(comment) = line.strip_prefix(';') else {
            listing.entries += u64::from(!line.trim().is_empty());
            continue;
        };
        if let Some(name) = comment.trim().strip_prefix("dbname: ") {
            listing.database = name.to_owned();
        } else if let Some(version) = comment.trim().strip_prefix("Dumped from database version: ") {
            listing.major = version.split('.').next().and_then(|major| major.trim().parse().ok());
        }
    }
    listing
}

/// Reads a dump to its end.
///
/// # Errors
/// Failed, when it is cut short, damaged, or no dump.
pub fn check(context: &ReadContext<'_>, act: &str, server: &Server, path: &str) -> Result<(Dump, Listing), OpError> {
    let listing = list(context, act, server, path)?;
    read_dump(context, act, server, path, &["pg_restore", "-f", "/dev/null"])?;
    let digested = digest_file(Path::new(path)).map_err(|e| cannot("read", Path::new(path), &e))?;
    Ok((Dump { entries: listing.entries, bytes: digested.bytes, sha256: digested.sha256 }, listing))
}

impl Operation for CheckDump {
    const NAME: &'static str = "pg.check_dump";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "reads a dump in custom format to its end, so that one that is empty, cut short, \
         damaged or of another kind is found out";
    const PERMISSION: &'static str = "pg_restore; reading the file";
    const TYPICAL: Duration = Duration::from_secs(2);
    type Args = CheckDumpArgs;
    type Output = Dump;

    fn resource(args: &CheckDumpArgs) -> String {
        crate::ops::docker::file_resource(&args.path)
    }
}

impl Read for CheckDump {
    fn read(context: &ReadContext<'_>, args: CheckDumpArgs) -> Result<Dump, OpError> {
        let act = format!("cannot trust dump {}", args.path);
        check(context, &act, &args.server, &args.path).map(|(dump, _)| dump)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_counts_what_is_no_comment() {
        let text = "\
;
; Archive created at 2026-01-01
;     dbname: chatbot_db
;     Dumped from database version: 15.18 (Debian)
;

215; 1259 16386 TABLE public chat x
3380; 0 16386 TABLE DATA public chat x
";
        let listing = parse_listing(text);
        assert_eq!(listing, Listing { entries: 2, database: "chatbot_db".to_owned(), major: Some(15) });
    }
}
