//! The access policy of a vault: what it forbids to everybody, whatever one's own permissions are.

use crate::model::fault::OpError;
use crate::model::{Value, glob};

use super::look::Look;

/// The actions that a policy forbids to everybody without a condition, as the policy writes them: `backup:StartRestoreJob`,
/// `backup:*`. What hangs on a condition, or is forbidden to some, is not told here.
#[must_use]
pub fn forbidden(document: &str) -> Vec<String> {
    let Ok(policy) = serde_json::from_str::<Value>(document) else { return Vec::new() };
    let mut all: Vec<String> = each(&policy["Statement"])
        .filter(|statement| {
            statement["Effect"] == "Deny"
                && statement.get("Condition").is_none_or(|one| one.as_object().is_some_and(serde_json::Map::is_empty))
                && is_everybody(&statement["Principal"])
                && each(&statement["Resource"]).any(|resource| resource == "*")
        })
        .flat_map(|statement| {
            each(&statement["Action"]).filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The items of a list, or the one thing that stands for a list of it.
fn each(value: &Value) -> impl Iterator<Item = &Value> {
    match value {
        Value::Array(items) => items.iter(),
        Value::Null => [].iter(),
        one => std::slice::from_ref(one).iter(),
    }
}

fn is_everybody(principal: &Value) -> bool {
    principal == "*" || each(&principal["AWS"]).any(|one| one == "*")
}

/// Refuses what the vault's own policy forbids to everybody. `act` reads like `cannot restore x`.
///
/// # Errors
/// Refused, when it does; what goes wrong while the policy is looked for.
pub(super) fn allows(look: &dyn Look, act: &str, vault: &str, action: &str) -> Result<(), OpError> {
    let denies = look.forbidden(vault)?.unwrap_or_default();
    let wanted = action.to_ascii_lowercase();
    let Some(denial) = denies.iter().find(|denial| glob::matches(&denial.to_ascii_lowercase(), &wanted)) else {
        return Ok(());
    };
    let message = format!("{act}: the access policy of vault {vault} forbids {denial} to everybody");
    Err(OpError::refused(message).with_hint(
        "take the denial out of the policy (aws backup get-backup-vault-access-policy shows it), which is a decision of \
         whoever guards the backups, or use another vault",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forbidden_to_everybody_is_told_and_nothing_else() {
        let policy = |statement: &str| format!(r#"{{"Version": "2012-10-17", "Statement": {statement}}}"#);
        let deny = r#"{"Effect": "Deny", "Principal": {"AWS": "*"}, "Action": ["backup:StartRestoreJob", "backup:Delete*"], "Resource": "*"}"#;
        let both = ["backup:Delete*", "backup:StartRestoreJob"];
        for statement in [deny.to_owned(), format!("[{deny}]"), deny.replace(r#"{"AWS": "*"}"#, r#""*""#)] {
            assert_eq!(forbidden(&policy(&statement)), both, "{statement}");
        }
        for statement in [
            deny.replace("Deny", "Allow"),
            deny.replace(r#""AWS": "*""#, r#""AWS": "arn:aws:iam::1:role/x""#),
            deny.replace(
                r#""Resource": "*""#,
                r#""Resource": "*", "Condition": {"Bool": {"aws:SecureTransport": "false"}}"#,
            ),
            "[]".to_owned(),
            "7".to_owned(),
        ] {
            assert_eq!(forbidden(&policy(&statement)), Vec::<String>::new(), "{statement}");
        }
        assert_eq!(forbidden("no document"), Vec::<String>::new());
    }
}
