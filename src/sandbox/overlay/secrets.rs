//! Secrets of AWS in a plan: which a call looks at and changes, which versions of a live one there are, and what differs
//! afterwards. Of what stands in them a plan holds handles.

use serde::Deserialize;
use serde_json::json;

use super::diff::{Difference, push, sides};
use super::import::Importer;
use super::state::State;
use crate::model::Value;
use crate::ops::args::Confidential;
use crate::ops::aws::Access;
use crate::ops::aws::secrets::{Contents, Described, plain_name};
use crate::sandbox::aws::{Kept, Secret};
use crate::sandbox::world::World;

fn access(args: &Value) -> Access {
    args.get("aws").and_then(|aws| Access::deserialize(aws).ok()).unwrap_or_default()
}

fn name(args: &Value) -> &str {
    plain_name(args.get("secret").and_then(Value::as_str).unwrap_or_default())
}

/// The key of the secret that a call names.
pub(super) fn key(args: &Value) -> String {
    access(args).resource("secrets", name(args))
}

impl Importer<'_> {
    /// Looks at the secret that the call names.
    pub(super) fn see_secret(&self, state: &mut State, key: &str) -> Result<(), String> {
        let args = &self.request.args;
        let access = access(args);
        let label = access.label();
        match &state.world.aws.secrets_of {
            Some(known) if *known != label => {
                return Err("a plan follows the secrets of one account and region, and it began with another".into());
            }
            Some(_) => {}
            None => state.world_mut().aws.secrets_of = Some(label),
        }
        if state.is_own(key) || state.seen.contains(key) {
            return Ok(());
        }
        let found: Described = self.ask("secrets.describe", json!({ "secret": args["secret"], "aws": access }))?;
        if found.exists {
            let kept = |version: &String| Kept { id: version.clone(), value: Value::Null, note: Value::Null };
            let mut earlier: Vec<Kept> = found
                .versions
                .iter()
                .map(|one| &one.version)
                .filter(|version| **version != found.current && **version != found.previous)
                .map(kept)
                .collect();
            earlier.extend(Some(&found.previous).filter(|version| !version.is_empty()).map(kept));
            let value = self.shape(&args["secret"], &access);
            let secret = Secret {
                value,
                id: found.current,
                arn: found.arn,
                kms_key: found.kms_key,
                rotated: found.rotated,
                earlier_versions: earlier,
                ..Secret::default()
            };
            state.world_mut().aws.secrets.insert(name(args).to_owned(), secret);
        }
        state.seen.insert(key.to_owned());
        Ok(())
    }
}

impl Importer<'_> {
    /// What is known of a secret without its contents: its fields as handles, and where those lead that are URLs. Nothing, when
    /// it may not be read.
    fn shape(&self, secret: &Value, access: &Access) -> Value {
        let Ok(found) = self.ask::<Contents>("secrets.read", json!({ "secret": secret, "aws": access })) else {
            return Value::Null;
        };
        if found.fields.is_empty() {
            return json!(found.value);
        }
        let stand_in = |(name, handle): (&String, &Confidential)| {
            let value = found.hosts.get(name).map_or_else(|| json!(handle), |host| json!(format!("secret://{host}")));
            (name.clone(), value)
        };
        found.fields.iter().map(stand_in).collect()
    }
}

/// What a reviewer sees of a secret: which version is used, and what was put.
fn shown(secret: &Secret) -> Value {
    let mut shown = json!({ "version": secret.id });
    for (part, what) in secret.note.as_object().into_iter().flatten() {
        if !what.as_object().is_some_and(serde_json::Map::is_empty) {
            shown[part] = what.clone();
        }
    }
    shown
}

/// What differs between the secrets of two worlds.
pub(super) fn differences(before: &World, after: &World, found: &mut Vec<Difference>) {
    let label = after.aws.secrets_of.as_deref().filter(|label| !label.is_empty());
    let label = label.map_or(String::new(), |label| format!("{}:", label.replace('/', "|")));
    for item in before.aws.secrets.diff(&after.aws.secrets) {
        let (name, old, new) = sides(item);
        let key = format!("secrets/{label}{name}");
        push(key, old.map_or(Value::Null, shown), new.map_or(Value::Null, shown), found);
    }
}
