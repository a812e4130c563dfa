//! Finds programs inside a container by the mark that Muster gave them: the container client may be dead while they go
//! on.

use super::client::{CALL_VARIABLE, client};
use super::inspect::inspect;
use crate::model::fault::OpError;
use crate::ops::context::ReadContext;
use crate::ops::process::ReadCommand;

/// What was found inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inside {
    /// The container does not run, so nothing runs in it.
    Down,
    /// Nothing with this mark runs.
    Nothing,
    /// Programs with these process ids (inside the container) run.
    Works(Vec<u32>),
    /// It cannot be looked into: no shell, or a user whose processes may not be read.
    Blind(String),
}

/// Prints the ids of all processes whose environment holds the mark. The mark is read from standard input, so that the
/// search does not find itself. Only what every image with a shell has: `tr` and `grep`.
const SEARCH: &str = r#"read -r mark || exit 3
for folder in /proc/[0-9]*; do
    if tr '\0' '\n' <"$folder/environ" 2>/dev/null | grep -qxF "$mark"; then echo "${folder#/proc/}"; fi
done
echo end"#;

/// Looks for programs of this call inside a container, as the user they run as.
///
/// # Errors
/// When the container client does not answer.
pub fn look_inside(
    context: &ReadContext<'_>,
    container: &str,
    user: Option<&str>,
    key: &str,
) -> Result<Inside, OpError> {
    if !inspect(context, container)?.running {
        return Ok(Inside::Down);
    }
    let mut command = client(["exec", "-i"]);
    if let Some(user) = user {
        command.argv.extend(["--user".to_owned(), user.to_owned()]);
    }
    command.argv.extend([container, "sh", "-c", SEARCH].map(str::to_owned));
    command.stdin = Some(format!("{CALL_VARIABLE}={key}\n").into_bytes());
    let seen = context.run_read(&ReadCommand { any_exit: true, ..command })?;
    if seen.code != 0 || !seen.stdout.trim_end().ends_with("end") {
        // It may have stopped between the two looks.
        if !inspect(context, container)?.running {
            return Ok(Inside::Down);
        }
        if seen.code == 0 {
            // The client may lose the end of what a program inside printed, or all of it.
            let fault = format!("cannot look into container {container}: the answer was lost on its way");
            return Err(OpError::transient(fault));
        }
        return Ok(Inside::Blind(super::client::tail(&seen.stderr)));
    }
    let found: Vec<u32> = seen.stdout.lines().filter_map(|line| line.trim().parse().ok()).collect();
    Ok(if found.is_empty() { Inside::Nothing } else { Inside::Works(found) })
}
