//! What the operations on RDS check alike, and the tags that they give.

use std::collections::BTreeMap;

use aws_sdk_rds::types::Tag;

use super::database::{Database, KEY_TAG, Kind, RUN_TAG};
use super::state::{Stand, stand};
use crate::model::fault::{ErrorClass, OpError};
use crate::ops::aws::entry::{Look, Of};
use crate::ops::aws::fault::Complaint;

/// The tags of what a call makes: those that are asked for, and those that say whose it is.
pub(super) fn tags(of: Of<'_>, asked: Option<&BTreeMap<String, String>>) -> Vec<Tag> {
    let ours = [(RUN_TAG, of.run), (KEY_TAG, of.key)];
    let asked = asked.into_iter().flatten().map(|(name, value)| (name.as_str(), value.as_str()));
    asked.chain(ours).map(|(name, value)| Tag::builder().key(name).value(value).build()).collect()
}

/// Checks a name that a call gives: AWS turns capitals into small letters without a word, and the thing is then not found.
pub(super) fn check_name(act: &str, name: &str, most: usize) -> Result<(), OpError> {
    let fits = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && !name.contains("--")
        && !name.ends_with('-')
        && name.len() <= most;
    if fits {
        return Ok(());
    }
    Err(OpError::refused(format!("{act}: `{name}` is no name that AWS keeps")).with_hint(format!(
        "up to {most} small letters, digits and hyphens, a letter first, no two hyphens in a row and none at the end"
    )))
}

/// Checks that nobody gives tags that Muster gives itself.
pub(in crate::ops::aws) fn check_tags(act: &str, tags: Option<&BTreeMap<String, String>>) -> Result<(), OpError> {
    let ours = |name: &&String| name.starts_with("muster.") || name.starts_with("aws:");
    match tags.and_then(|tags| tags.keys().find(ours)) {
        Some(name) => Err(OpError::refused(format!("{act}: the tag {name} is not for playbooks to give"))),
        None => Ok(()),
    }
}

/// The database of this name, which has to be there.
pub(super) fn present(look: &dyn Look, act: &str, kind: Kind, id: &str) -> Result<Database, OpError> {
    look.database(kind, id)?.ok_or_else(|| {
        OpError::refused(format!("{act}: there is no {} {id}", kind.word()))
            .with_hint("is it the right account and region? `sts.identity` tells which one this is")
    })
}

/// Checks that AWS takes changes to a database now.
pub(super) fn check_settled(act: &str, kind: Kind, found: &Database) -> Result<(), OpError> {
    let (id, status) = (&found.id, &found.status);
    match stand(kind, status) {
        Stand::Usable => Ok(()),
        Stand::Coming | Stand::New => Err(OpError::transient(format!("{act}: {} {id} is {status}", kind.word()))
            .with_hint("rds.wait_available waits until it is available")),
        Stand::Broken { why, choices } => {
            Err(OpError::refused(format!("{act}: {} {id} is {status}: {why}", kind.word())).with_hint(choices))
        }
    }
}

/// Whose something is, by its tag.
pub(super) fn owner(owned_by: &str) -> String {
    match owned_by {
        "" => "no run made it".to_owned(),
        run => format!("run {run} made it"),
    }
}

/// Checks that a name is free.
pub(super) fn check_free(look: &dyn Look, act: &str, kind: Kind, id: &str) -> Result<(), OpError> {
    let Some(found) = look.database(kind, id)? else { return Ok(()) };
    let owner = owner(&found.owned_by);
    Err(OpError::refused(format!("{act}: {} {id} is there already ({owner}, {})", kind.word(), found.status))
        .with_hint("put the run's short id into the name, or rename the old one away by rds.rename"))
}

/// Somebody else was faster with a name: whose it is now, if that can be seen.
pub(super) fn taken(look: &dyn Look, act: &str, kind: Kind, id: &str, complaint: Complaint) -> OpError {
    match check_free(look, act, kind, id) {
        Err(error) if error.class == ErrorClass::Refused => error,
        _ => complaint.into(),
    }
}

/// Whether AWS refused because of the state that the thing is in.
pub(super) fn is_state(complaint: &Complaint) -> bool {
    let code = complaint.code.trim_end_matches("Fault");
    ["InvalidDBInstanceState", "InvalidDBClusterStateFault", "InvalidDBClusterState", "InvalidDBSnapshotState"]
        .contains(&code)
        || code == "InvalidDBClusterSnapshotState"
}
