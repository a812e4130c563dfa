//! The playbooks that stand in the binary, so that `muster run omnichat-restore` works on a machine with nothing else.

/// Playbook, file and text of each file of `/playbooks`.
const FILES: &[(&str, &str, &str)] = &[];

/// A file of a shipped playbook.
#[must_use]
pub fn file(playbook: &str, name: &str) -> Option<&'static str> {
    FILES.iter().find(|(of, file, _)| *of == playbook && *file == name).map(|(_, _, text)| *text)
}

/// The name as it stands in the binary, if there is such a playbook.
#[must_use]
pub fn name(name: &str) -> Option<&'static str> {
    names().find(|other| *other == name)
}

/// The names of all shipped playbooks.
pub fn names() -> impl Iterator<Item = &'static str> {
    FILES.iter().filter(|(_, file, _)| *file == super::bundle::MAIN).map(|(of, ..)| *of)
}
