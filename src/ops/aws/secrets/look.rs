//! Looking at a secret. What operations decide is written once, over this: the live backend asks AWS, the sandbox its world.

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::primitives::DateTime;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::Timestamp;
use crate::model::fault::OpError;
use crate::ops::aws::client::Line;
use crate::ops::aws::found;

/// The stage of the version that is used.
const CURRENT: &str = "AWSCURRENT";
/// The stage of the version that was used before.
const PREVIOUS: &str = "AWSPREVIOUS";

/// A secret as it is, without what stands in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Described {
    /// Whether there is one.
    pub exists: bool,
    /// Its name; empty when there is none, as all that follows.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// The KMS key it is encrypted with; empty for the account's own.
    pub kms_key: String,
    /// Whether AWS puts new values there by itself, on a schedule.
    pub rotated: bool,
    /// The version that is used (`AWSCURRENT`).
    pub current: String,
    /// The version that was used before (`AWSPREVIOUS`); empty when there is none.
    pub previous: String,
    /// The versions that have a stage: the current one first, then the one before it.
    pub versions: Vec<Version>,
    /// When it was last changed.
    pub changed_at: String,
    /// When it will be deleted, if somebody has asked for that; otherwise empty.
    pub deleted_at: String,
}

/// A version of a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Version {
    /// Its id.
    pub version: String,
    /// Its stages: `AWSCURRENT`, `AWSPREVIOUS` and those that people gave.
    pub stages: Vec<String>,
}

impl Described {
    /// Whether it has this version.
    #[must_use]
    pub fn has(&self, version: &str) -> bool {
        self.versions.iter().any(|one| one.version == version)
    }
}

/// What can be asked about a secret.
pub trait Look {
    /// The secret of this name or ARN.
    ///
    /// # Errors
    /// When it cannot be asked now.
    fn secret(&self, id: &str) -> Result<Option<Described>, OpError>;

    /// What stands in a version of it; `None` when that is not known here.
    ///
    /// # Errors
    /// When it cannot be asked now, or holds no text.
    fn contents(&self, id: &str, version: &str) -> Result<Option<String>, OpError>;
}

/// The name of a secret that may be given by its ARN: without the six letters that AWS adds.
#[must_use]
pub fn plain_name(id: &str) -> &str {
    let Some((_, name)) = id.strip_prefix("arn:").and_then(|arn| arn.split_once(":secret:")) else { return id };
    match name.rsplit_once('-') {
        Some((plain, added)) if added.len() == 6 => plain,
        _ => name,
    }
}

/// What stands in a version of a secret, which the redactor does not know yet.
///
/// # Errors
/// As [`Line::call`]; refused, when it holds bytes.
pub fn contents(line: &Line<'_>, id: &str, version: &str) -> Result<String, OpError> {
    let act = format!("cannot read secret {id}");
    let (name, which) = (id.to_owned(), version.to_owned());
    let answer = line.call(&act, |sm: Client| sm.get_secret_value().secret_id(name).version_id(which).send())?;
    answer.secret_string.ok_or_else(|| {
        OpError::refused(format!("{act}: it holds bytes, not a text")).with_hint("Muster reads secrets that are text")
    })
}

pub(in crate::ops::aws) fn time(at: Option<i64>) -> String {
    at.and_then(|at| Timestamp::from_second(at).ok()).map(|at| at.to_string()).unwrap_or_default()
}

impl Look for Line<'_> {
    fn secret(&self, id: &str) -> Result<Option<Described>, OpError> {
        let name = id.to_owned();
        let answer =
            found(self.call(&format!("cannot look at secret {id}"), |sm: Client| {
                sm.describe_secret().secret_id(name).send()
            }))?;
        let Some(answer) = answer else { return Ok(None) };
        let all = answer.version_ids_to_stages.unwrap_or_default().into_iter();
        let mut versions: Vec<Version> = all.map(|(version, stages)| Version { version, stages }).collect();
        let bears = |one: &Version, stage: &str| one.stages.iter().any(|other| other == stage);
        versions.sort_by_key(|one| (!bears(one, CURRENT), !bears(one, PREVIOUS), one.version.clone()));
        let with = |stage: &str| {
            let found = versions.iter().find(|one| bears(one, stage));
            found.map(|one| one.version.clone()).unwrap_or_default()
        };
        Ok(Some(Described {
            exists: true,
            name: answer.name.unwrap_or_default(),
            arn: answer.arn.unwrap_or_default(),
            kms_key: answer.kms_key_id.unwrap_or_default(),
            rotated: answer.rotation_enabled.unwrap_or_default(),
            current: with(CURRENT),
            previous: with(PREVIOUS),
            versions,
            changed_at: time(answer.last_changed_date.as_ref().map(DateTime::secs)),
            deleted_at: time(answer.deleted_date.as_ref().map(DateTime::secs)),
        }))
    }

    fn contents(&self, id: &str, version: &str) -> Result<Option<String>, OpError> {
        self.secrets.contents_in_aws(&self.account.access, id, version).map(Some)
    }
}

/// The secret, which has to be there and to stay.
pub(super) fn present(look: &dyn Look, act: &str, id: &str) -> Result<Described, OpError> {
    let found = look.secret(id)?.ok_or_else(|| {
        OpError::refused(format!("{act}: there is none"))
            .with_hint("is it the right account and region? `sts.identity` tells which one this is")
    })?;
    if !found.deleted_at.is_empty() {
        return Err(OpError::refused(format!("{act}: somebody has deleted it, it is gone at {}", found.deleted_at))
            .with_hint("`aws secretsmanager restore-secret` takes that back"));
    }
    if found.current.is_empty() {
        return Err(OpError::refused(format!("{act}: it has no current version"))
            .with_hint("give it a value by hand first: there would be no way back to none"));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_one_name_however_it_is_given() {
        let arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:horizons/config/app-secrets-a1B2c3";
        assert_eq!(plain_name(arn), "horizons/config/app-secrets");
        assert_eq!(plain_name("horizons/config/app-secrets"), "horizons/config/app-secrets");
    }
}
