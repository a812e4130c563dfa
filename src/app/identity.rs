//! Who is at the keyboard: the OS user, asserted. `MUSTER_ACTOR` says it for automation.

use crate::model::command::Actor;

/// Who is at the keyboard: `alice@host`.
#[must_use]
pub fn actor() -> Actor {
    // A name stands in lines that people trust: none may end a line or move the cursor.
    let given = std::env::var("MUSTER_ACTOR").unwrap_or_default().replace(char::is_control, " ");
    if !given.trim().is_empty() {
        return Actor { name: given.trim().to_owned() };
    }
    let uid = rustix::process::getuid().as_raw();
    let user = std::fs::read_to_string("/etc/passwd")
        .ok()
        .and_then(|text| {
            text.lines().find_map(|line| {
                let mut fields = line.split(':');
                let name = fields.next()?;
                (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
            })
        })
        .unwrap_or_else(|| format!("uid{uid}"));
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Actor { name: format!("{user}@{host}") }
}
