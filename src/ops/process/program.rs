//! What a program to run is: its command, what it may see of our environment, and what it printed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::fault::OpError;

/// A program that is waited for.
#[derive(Clone, Debug, Default)]
pub struct ReadCommand {
    /// The binary, found on `PATH`, and its arguments. No shell.
    pub argv: Vec<String>,
    /// Its whole environment beyond `PATH`, `HOME`, `LANG=C.UTF-8`, `TZ=UTC` and what a container client needs to find
    /// its server (`DOCKER_HOST`, `CONTAINER_HOST`, `XDG_RUNTIME_DIR`, …). Values may be secrets: they never appear in
    /// errors.
    pub env: BTreeMap<String, String>,
    /// Where it runs.
    pub cwd: Option<PathBuf>,
    /// What it reads; nothing when absent.
    pub stdin: Option<Vec<u8>>,
    /// A file it reads instead, which does not pass through our memory.
    pub stdin_file: Option<PathBuf>,
    /// How long it may take; 30 s when absent.
    pub timeout: Option<Duration>,
    /// Whether an exit code other than 0 is an answer rather than an error.
    pub any_exit: bool,
}

/// What a short program printed. At most 16 MiB of each stream; more is an error, never a cut text.
#[derive(Clone, Debug, Default)]
pub struct Captured {
    /// Its exit code; 128 + signal when killed.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// A supervised program. Input and output stream between it and files; nothing passes through memory.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct WriteCommand {
    /// The binary and its arguments. No shell.
    pub argv: Vec<String>,
    /// Its environment, as in [`ReadCommand::env`]. Passed to the supervisor by pipe, never written to disk.
    pub env: BTreeMap<String, String>,
    /// Where it runs.
    pub cwd: Option<PathBuf>,
    /// A file it reads as standard input.
    pub stdin: Option<PathBuf>,
    /// Or a text it reads instead, which may hold secrets: passed to the supervisor by pipe and on in memory, never written to disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin_text: Option<String>,
    /// A file its standard output goes to: written under `<path>.part-<key>`, synced and renamed on a good exit code,
    /// removed otherwise. Never over an existing file unless `replace`.
    pub stdout: Option<PathBuf>,
    /// Whether `stdout` may replace a file.
    pub replace: bool,
    /// Mode of the `stdout` file, 0o600 when absent.
    pub stdout_mode: Option<u32>,
    /// How long it may take; its whole process group is killed then.
    pub timeout: Option<Duration>,
    /// The exit codes that mean that it did what it should; 0 alone when empty.
    pub ok_codes: Vec<i32>,
}

/// The variables of our own environment that programs see too.
const PASSED_ON: [&str; 16] = [
    "PATH",
    "HOME",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "DBUS_SESSION_BUS_ADDRESS",
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "DOCKER_CONFIG",
    "DOCKER_CERT_PATH",
    "DOCKER_TLS_VERIFY",
    "CONTAINER_HOST",
    "CONTAINERS_CONF",
    "CONTAINERS_STORAGE_CONF",
    "CONTAINERS_REGISTRIES_CONF",
];

/// What programs see of our environment.
pub(in crate::ops) fn base_environment() -> BTreeMap<String, String> {
    let mut env: BTreeMap<String, String> =
        PASSED_ON.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?))).collect();
    env.entry("PATH".to_owned())
        .or_insert_with(|| "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into());
    env.insert("LANG".into(), "C.UTF-8".into());
    env.insert("TZ".into(), "UTC".into());
    env
}

/// Refuses a program that cannot be started, with a reason that names what is missing. `env` is the program's own.
pub(in crate::ops) fn check_program(
    argv: &[String],
    cwd: Option<&Path>,
    env: &BTreeMap<String, String>,
) -> Result<(), OpError> {
    let Some(program) = argv.first().filter(|program| !program.is_empty()) else {
        return Err(OpError::refused("cannot run a program: `argv` names none"));
    };
    if argv.iter().any(|arg| arg.contains('\0')) {
        return Err(OpError::refused(format!("cannot run {program}: an argument holds a NUL character")));
    }
    let ill_named = |name: &str| name.is_empty() || name.contains(['=', '\0']);
    if let Some((name, _)) = env.iter().find(|(name, value)| ill_named(name) || value.contains('\0')) {
        return Err(OpError::refused(format!(
            "cannot run {program}: environment variable `{name}` is not well-formed"
        )));
    }
    if let Some(cwd) = cwd
        && !cwd.is_dir()
    {
        return Err(OpError::refused(format!("cannot run {program} in {}: no such folder", cwd.display())));
    }
    find(program, cwd, env).map(|_| ())
}

/// Where a program is that could be run, as operations would find it.
///
/// # Errors
/// Refused, when it is not there.
pub fn find_program(program: &str) -> Result<PathBuf, OpError> {
    find(program, None, &base_environment())
}

fn find(program: &str, cwd: Option<&Path>, env: &BTreeMap<String, String>) -> Result<PathBuf, OpError> {
    let is_program = |path: &PathBuf| {
        use std::os::unix::fs::PermissionsExt;
        path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    let found = if program.contains('/') {
        Some(cwd.unwrap_or(Path::new("/")).join(program)).filter(is_program)
    } else {
        let path = env.get("PATH").map_or("", String::as_str);
        std::env::split_paths(path).map(|folder| folder.join(program)).find(is_program)
    };
    found.ok_or_else(|| {
        OpError::refused(format!("cannot run {program}: there is no such program here"))
            .with_hint(format!("install {program}, or put the folder it is in on PATH"))
    })
}

/// The end of a text that a program printed, at most `limit` bytes. When something is cut away in front, a broken first
/// line goes too: half a secret could not be recognised and redacted.
pub(in crate::ops) fn tail_text(bytes: &[u8], limit: usize, already_cut: bool) -> String {
    let from = bytes.len().saturating_sub(limit);
    let mut tail = &bytes[from..];
    if (from > 0 && bytes[from - 1] != b'\n') || (from == 0 && already_cut) {
        let whole = tail.iter().position(|&b| b == b'\n').or_else(|| tail.iter().position(u8::is_ascii_whitespace));
        tail = whole.map_or(&[][..], |at| &tail[at + 1..]);
    }
    String::from_utf8_lossy(tail).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_starts_with_a_whole_line() {
        assert_eq!(tail_text(b"first\nsecond\nthird", 11, false), "third");
        assert_eq!(tail_text(b"first\nsecond\n", 7, false), "second\n");
        assert_eq!(tail_text(b"short", 100, false), "short");
        assert_eq!(tail_text(b"half-a-secret", 5, false), "");
    }

    #[test]
    fn a_malformed_environment_is_refused_without_its_values() {
        let env = [("A".to_owned(), "secret\0".to_owned())].into();
        let error = check_program(&["sh".to_owned()], None, &env).unwrap_err();
        assert!(error.message.contains("`A`") && !error.message.contains("secret"), "{error}");
    }
}
